#include "client/process_facts.h"

#include <elf.h>
#include <link.h>
#include <sched.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <filesystem>

#include "client/environment_facts.h"
#include "client/git_facts.h"
#include "client/redact.h"
#include "shm/posix.h"

namespace ringlog::client {

namespace {

constexpr size_t kPathMax = 4096;
constexpr size_t kCommandMax = size_t{16} << 10;

// The linker's note in one part of the program's memory; "": it has none.
std::string build_id_in(const char* note, size_t size) {
  for (size_t at = 0; at + sizeof(ElfW(Nhdr)) <= size;) {
    ElfW(Nhdr) header;
    std::memcpy(&header, note + at, sizeof header);
    const size_t name = at + sizeof header;
    const size_t data = name + ((header.n_namesz + 3) & ~size_t{3});
    if (data > size || header.n_descsz > size - data) return "";
    if (header.n_type == NT_GNU_BUILD_ID && header.n_namesz == 4 &&
        std::memcmp(note + name, "GNU", 4) == 0) {
      constexpr std::string_view kDigits = "0123456789abcdef";
      std::string id;
      for (size_t i = 0; i < header.n_descsz; ++i) {
        const auto byte = static_cast<unsigned char>(note[data + i]);
        id += kDigits[byte >> 4];
        id += kDigits[byte & 15];
      }
      return id;
    }
    at = data + ((header.n_descsz + 3) & ~size_t{3});
  }
  return "";
}

// Called for each loaded object; the program itself is the first.
int find_build_id(dl_phdr_info* info, size_t, void* found) {
  for (int i = 0; i < info->dlpi_phnum; ++i) {
    const ElfW(Phdr)& part = info->dlpi_phdr[i];
    if (part.p_type != PT_NOTE) continue;
    auto& id = *static_cast<std::string*>(found);
    id = build_id_in(reinterpret_cast<const char*>(info->dlpi_addr + part.p_vaddr), part.p_memsz);
    if (!id.empty()) break;
  }
  return 1;
}

std::string executable() {
  std::array<char, kPathMax> path{};
  const ssize_t size = ::readlink("/proc/self/exe", path.data(), path.size());
  return size <= 0 ? "" : as_utf8({path.data(), static_cast<size_t>(size)}, kPathMax);
}

std::string directory() {
  std::error_code error;
  return std::filesystem::current_path(error).string();
}

// By the environment, as a name service may be a network away.
std::string user() {
  for (const char* name : {"USER", "LOGNAME"}) {
    if (const char* value = std::getenv(name); value != nullptr && *value != '\0') {
      return as_utf8(value, 256);
    }
  }
  return "uid " + std::to_string(::getuid());
}

std::string system_name() {
  utsname name{};
  if (::uname(&name) != 0) return "";
  return std::string(name.sysname) + " " + name.release + " " + name.machine;
}

uint32_t usable_cpus() {
  cpu_set_t set;
  return ::sched_getaffinity(0, sizeof set, &set) == 0 ? static_cast<uint32_t>(CPU_COUNT(&set)) : 0;
}

}  // namespace

std::vector<std::string> command_line() {
  std::vector<std::string> words;
  auto text = shm::read_file("/proc/self/cmdline", kCommandMax);
  if (!text) return words;
  for (size_t at = 0; at < text->size();) {
    const size_t end = std::min(text->find('\0', at), text->size());
    words.push_back(as_utf8(std::string_view(*text).substr(at, end - at), kCommandMax));
    at = end + 1;
  }
  return without_secrets(std::move(words));
}

record::ProcessFacts process_facts(const ResolvedSettings& settings) {
  record::ProcessFacts facts;
  facts.settings = setting_facts(settings);
  if (settings.surroundings == Surroundings::kOff) return facts;
  facts.executable = executable();
  ::dl_iterate_phdr(find_build_id, &facts.build_id);
  facts.command = command_line();
  const std::string here = directory();
  facts.directory = as_utf8(here, kPathMax);
  facts.user = user();
  facts.system = system_name();
  facts.cpus = usable_cpus();
  facts.environment = environment_facts();
  facts.container = container_facts("");
  facts.git = read_git(here);
  return facts;
}

std::string diffed_work_tree(const ResolvedSettings& settings) {
  if (settings.surroundings != Surroundings::kOn) return "";
  const record::GitFacts git = read_git(directory());
  return git.commit.empty() ? "" : git.root;
}

}  // namespace ringlog::client
