"""An installed ringlog serves programs built elsewhere, through CMake and through pkg-config.

Installs the build under test into a folder of its own, moves that folder (nothing in it may name
where it was), builds a program outside the repository, runs it and verifies its run.
"""

import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import unittest

BUILD = pathlib.Path(os.environ.get(
    "RINGLOG_BUILD_DIR", pathlib.Path(__file__).resolve().parents[2] / "build" / "release"))
CMAKE = os.environ.get("CMAKE_COMMAND", "cmake")

ROW_COUNT = 1000
MAIN = """#include <ringlog/ringlog.h>
int main() {
  auto run = ringlog::init({.project = "package"});
  for (int step = 0; step < 1000; ++step) run.log({{"loss", 1.0 / (step + 1)}});
  return run.error().code == ringlog::Code::kOk ? 0 : 1;
}
"""
READER = """#include <ringlog/reader.h>
#include <cstdio>
int main() {
  auto run = ringlog::open("latest");
  if (!run) return 1;
  auto table = run->table({.metrics = {"loss"}});
  if (!table) return 2;
  std::printf("%zu rows, first %g", table->size(), table->find("loss")->float64[0]);
  return 0;
}
"""
CMAKE_LISTS = """cmake_minimum_required(VERSION 3.25)
project(consumer LANGUAGES CXX)
find_package(ringlog 0.1 REQUIRED)
add_executable(consumer main.cc)
target_link_libraries(consumer PRIVATE ringlog::ringlog)
add_executable(reader reader.cc)
target_link_libraries(reader PRIVATE ringlog::reader)
"""


def run(*command, cwd=None, env=None, timeout=300):
    """Runs a command; its output is the message when it fails."""
    done = subprocess.run([str(word) for word in command], cwd=cwd, env=env, timeout=timeout,
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise AssertionError(f"{' '.join(map(str, command))}: exit {done.returncode}\n"
                             f"{done.stdout}\n{done.stderr}")
    return done.stdout


class Package(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        # Short: a socket's path has 108 bytes.
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="rlpkg"))
        cls.addClassCleanup(shutil.rmtree, cls.folder, ignore_errors=True)
        run(CMAKE, "--install", BUILD, "--prefix", cls.folder / "first")
        cls.prefix = cls.folder / "moved"
        (cls.folder / "first").rename(cls.prefix)
        cls.lib_dir = next(cls.prefix.rglob("libringlog.so")).parent

    def setUp(self):
        self.work = self.folder / self.id().rsplit(".", 1)[-1]
        self.work.mkdir()
        (self.work / "main.cc").write_text(MAIN)
        (self.work / "reader.cc").write_text(READER)
        # Nothing of the surroundings: no settings, no launcher's rank, no other service.
        self.env = {key: value for key, value in os.environ.items()
                    if key in ("PATH", "HOME", "TMPDIR", "CCACHE_DIR")}
        self.env.update(LC_ALL="C.UTF-8", XDG_CONFIG_HOME=str(self.work),
                        RINGLOG_RUNTIME_DIR=str(self.folder / "rt"), RINGLOG_MODE="offline")

    def check_reader(self, program):
        """A program that reads finds what the other one logged, and the logging one none of it."""
        self.assertEqual(run(program, cwd=self.work, env=self.env), f"{ROW_COUNT} rows, first 1")
        loaded = run("ldd", self.lib_dir / "libringlog.so")
        self.assertNotIn("leveldb", loaded, "what logs loads no store")
        self.assertIn("leveldb", run("ldd", self.lib_dir / "libringlog_reader.so"))

    def check_program(self, program):
        ringlog = self.prefix / "bin" / "ringlog"
        self.addCleanup(subprocess.run, [ringlog, "service", "stop"], env=self.env, timeout=60,
                        check=False, stdin=subprocess.DEVNULL, capture_output=True)
        run(program, cwd=self.work, env=self.env, timeout=60)
        report = json.loads(run(ringlog, "verify", "latest", "--json", cwd=self.work, env=self.env))
        self.assertTrue(report["ok"], report)
        self.assertEqual([p["stored"] for p in report["producers"]], [ROW_COUNT], report)

    def test_cmake_finds_it(self):
        (self.work / "CMakeLists.txt").write_text(CMAKE_LISTS)
        build = self.work / "build"
        run(CMAKE, "-S", self.work, "-B", build, f"-DCMAKE_PREFIX_PATH={self.prefix}",
            env=self.env)
        run(CMAKE, "--build", build, env=self.env)
        self.check_program(build / "consumer")
        self.check_reader(build / "reader")

    def test_pkg_config_finds_it(self):
        self.env["PKG_CONFIG_PATH"] = str(self.lib_dir / "pkgconfig")
        self.build_with_pkg_config("ringlog", "main.cc", "consumer")
        self.check_program(self.work / "consumer")
        self.build_with_pkg_config("ringlog-reader", "reader.cc", "reader")
        self.check_reader(self.work / "reader")

    def build_with_pkg_config(self, package, source, program):
        flags = run("pkg-config", "--cflags", "--libs", package, env=self.env).split()
        run("c++", "-std=c++20", "-O1", source, "-o", program, *flags,
            f"-Wl,-rpath,{self.lib_dir}", cwd=self.work, env=self.env)

    def test_the_installed_programs_start(self):
        self.assertIn("0.1", run(self.prefix / "bin" / "ringlog", "--version", env=self.env))
        run(self.prefix / "bin" / "ringlogd", "--help", env=self.env)

    def test_headers_are_those_of_the_library_only(self):
        installed = sorted(path.name for path in (self.prefix / "include").rglob("*.h"))
        self.assertIn("ringlog.h", installed)
        self.assertEqual({path.parent.name for path in (self.prefix / "include").rglob("*.h")},
                         {"ringlog"})


if __name__ == "__main__":
    unittest.main()
