#pragma once
// Command lines of the test programs: `--name value` pairs.

#include <cstdint>
#include <map>
#include <stdexcept>
#include <string>

namespace e2e {

class Options {
 public:
  Options(int argc, char** argv) {
    for (int i = 1; i + 1 < argc; i += 2) {
      const std::string name = argv[i];
      if (!name.starts_with("--")) throw std::runtime_error("not an option: " + name);
      values_[name.substr(2)] = argv[i + 1];
    }
    if (argc % 2 == 0) throw std::runtime_error(std::string("no value: ") + argv[argc - 1]);
  }

  std::string text(const std::string& name, const std::string& otherwise = "") const {
    const auto it = values_.find(name);
    return it == values_.end() ? otherwise : it->second;
  }
  uint64_t number(const std::string& name, uint64_t otherwise) const {
    const auto it = values_.find(name);
    return it == values_.end() ? otherwise : std::stoull(it->second);
  }

 private:
  std::map<std::string, std::string> values_;
};

}  // namespace e2e
