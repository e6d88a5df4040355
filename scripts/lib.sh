# shellcheck shell=bash
# What the scripts share; sourced, never run.  Sets strict mode, `root`, `jobs`, the environment.

set -euo pipefail

root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
logs="$root/build/logs"
script="${0##*/}"
cd "$root"

# Debian's own tools, whatever else is installed; plain messages in every language setting.
export PATH="/usr/bin:/bin:/usr/sbin:/sbin:$PATH"
export LC_ALL=C.UTF-8
export HOME="${HOME:-/root}"
export PYTHONDONTWRITEBYTECODE=1
# A compiler cache that cannot be written would fail every compilation.
if ! mkdir -p "${CCACHE_DIR:-$HOME/.cache/ccache}" 2>/dev/null; then
  export CCACHE_DIR="$root/build/ccache"
fi

packages_build=(
  bindfs build-essential ca-certificates capnproto ccache cmake git libblosc-dev libboost-dev
  libcapnp-dev libcli11-dev libcurl4-openssl-dev libfmt-dev libgmock-dev libgtest-dev libisal-dev
  libleveldb-dev libprotobuf-dev libspdlog-dev libtomlplusplus-dev libzstd-dev ninja-build
  nlohmann-json3-dev pkg-config protobuf-compiler python3 zlib1g-dev)
# Servers that tests send runs to.  What the first need is installed; the second are only unpacked,
# below build/servers, because installing them would start them.
packages_test=(clickhouse-common iproute2 openssl)
packages_unpacked=(clickhouse-server influxdb victoria-metrics)
packages_check=(clang clang-format clang-tidy libclang-rt-dev)

# say MESSAGE...: progress, on stderr.
say() { printf '%s: %s\n' "$script" "$*" >&2; }

# die MESSAGE...: says why and stops.
die() {
  say "$*"
  exit 1
}

# usage_of FILE: the comment at the top of a script, for --help.
usage_of() { sed -n '2,/^[^#]/{s/^# \{0,1\}//p}' "$1"; }

# How many compilers run at once: one per core, and 2 GiB of memory for each.
parallelism() {
  local cores gib
  cores="$(nproc)"
  gib="$(awk '/^MemAvailable:/ {print int($2 / 1048576)}' /proc/meminfo 2>/dev/null || true)"
  local by_memory=$((${gib:-2} / 2))
  local n=$((cores < by_memory ? cores : by_memory))
  echo $((n > 0 ? n : 1))
}
jobs="$(parallelism)"
# ninja and ctest take their defaults from these.
export CMAKE_BUILD_PARALLEL_LEVEL="$jobs"

# missing_packages PACKAGE...: those not installed.
missing_packages() {
  local package
  for package in "$@"; do
    if [[ "$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null)" != installed ]]; then
      echo "$package"
    fi
  done
}

# install_packages PACKAGE...: installs what is missing, or returns at once.
install_packages() {
  command -v dpkg-query >/dev/null || die "needs a Debian system (dpkg, apt-get); packages: $*"
  local missing
  mapfile -t missing < <(missing_packages "$@")
  if ((${#missing[@]} == 0)); then
    return 0
  fi
  local as_root=(env)
  if (($(id -u) != 0)); then
    command -v sudo >/dev/null || die "needs root or sudo to install: ${missing[*]}"
    as_root=(sudo env)
  fi
  local apt=("${as_root[@]}" DEBIAN_FRONTEND=noninteractive
    apt-get -q -y -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3)
  say "installing ${missing[*]}"
  logged apt-update "${apt[@]}" update
  logged apt-install "${apt[@]}" install --no-install-recommends "${missing[@]}"
}

# unpack_packages FOLDER PACKAGE...: the files of packages, without installing them.
unpack_packages() {
  local folder="$1" package
  shift
  for package in "$@"; do
    if [[ -e "$folder/$package.unpacked" ]]; then continue; fi
    mkdir -p "$folder"
    (cd "$folder" && rm -f "$package"_*.deb &&
      logged "download-$package" apt-get -q -o Acquire::Retries=3 download "$package")
    dpkg-deb -x "$folder/$package"_*.deb "$folder"
    rm -f "$folder/$package"_*.deb
    touch "$folder/$package.unpacked"
  done
}

# logged NAME COMMAND...: runs a command with its output in build/logs/NAME.log; when it fails,
# shows the end of that file and returns the command's status.
logged() {
  local name="$1" status=0 started=$SECONDS
  shift
  mkdir -p "$logs"
  "$@" >"$logs/$name.log" 2>&1 </dev/null || status=$?
  if ((status != 0)); then
    say "$name failed (status $status) after $((SECONDS - started)) s; the end of $logs/$name.log:"
    tail -n 60 "$logs/$name.log" >&2
    return "$status"
  fi
  say "$name: ok, $((SECONDS - started)) s"
}

# build_preset PRESET [TARGET...]: configures and builds, everything unless targets are named.
build_preset() {
  local preset="$1"
  local cache="$root/build/$preset/CMakeCache.txt"
  shift
  # A tree that was copied or moved cannot use its old build directory.
  if [[ -f "$cache" ]] && ! grep -qxF "CMAKE_HOME_DIRECTORY:INTERNAL=$root" "$cache"; then
    say "build/$preset belongs to another checkout; starting afresh"
    rm -rf "$root/build/$preset"
  fi
  logged "configure-$preset" cmake --preset "$preset"
  say "building $preset with $jobs jobs"
  logged "build-$preset" cmake --build --preset "$preset" -j "$jobs" ${1:+--target} "$@"
}

# in_tree PATTERN...: files of the repository that match ("*" crosses folders), new ones included,
# ignored ones not.
in_tree() {
  local file pattern
  all_files | while IFS= read -r file; do
    for pattern in "$@"; do
      # shellcheck disable=SC2053  # the right side is a pattern
      if [[ "$file" == $pattern && -f "$file" ]]; then echo "$file" && break; fi
    done
  done
}

all_files() {
  if [[ -e .git ]] && command -v git >/dev/null; then
    git -c safe.directory="$root" ls-files --cached --others --exclude-standard --deduplicate
  else
    find . \( -path ./build -o -name '.?*' \) -prune -o -type f -print | sed 's,^\./,,' | sort
  fi
}
