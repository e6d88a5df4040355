#pragma once
// A directory that exists as long as the object.  Not copied, not moved; one thread.

#include <stdlib.h>

#include <cstdlib>
#include <filesystem>
#include <stdexcept>
#include <string>
#include <system_error>

namespace ringlog::test {

class TempDir {
 public:
  // Below `base`; without one below $TMPDIR or /tmp.
  explicit TempDir(const std::string& base = {}) {
    const char* const variable = std::getenv("TMPDIR");
    const std::string fallback = variable != nullptr && *variable == '/' ? variable : "/tmp";
    path_ = (base.empty() ? fallback : base) + "/ringlog-test-XXXXXX";
    if (::mkdtemp(path_.data()) == nullptr) throw std::runtime_error("mkdtemp " + path_);
  }
  ~TempDir() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;

  const std::string& path() const { return path_; }
  std::string file(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

}  // namespace ringlog::test
