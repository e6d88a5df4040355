// What people type for RUN, and the paths of nested metrics.
//
// A name that is resolved leads to a run, by its folder or by the beginning of its id; one that is
// not says so.  Keys survive being joined to a path and taken apart again.

#include <filesystem>
#include <string>
#include <vector>

#include "record/path.h"
#include "store/runs.h"
#include "temp_dir.h"
#include "tests/fuzz/input.h"

namespace ringlog::fuzz {
namespace {

namespace fs = std::filesystem;

// A root with a few runs whose names lie close to each other.
class Root {
 public:
  Root() {
    for (const char* run : {"demo/run", "demo/run-2", "demo/latest", "other/run-2", "other/x.y"}) {
      fs::create_directories(fs::path(directory_.path()) / run / "store");
    }
    fs::create_directories(fs::path(directory_.path()) / "demo" / "no-run");
  }
  const std::string& path() const { return directory_.path(); }

 private:
  test::TempDir directory_{"/dev/shm"};
};

void check_run(const std::string& name) {
  static const Root root;
  const auto place = store::resolve_run(root.path(), name);
  if (!place) {
    return require(!place.error().message.empty() && place.error().code != Code::kCorrupt,
                   "a name that means no run says why");
  }
  require(fs::is_directory(fs::path(place->dir) / "store"), "a run has a store");
  const bool is_path = name.find('/') != std::string::npos || fs::exists(fs::path(name));
  require(is_path || name == "latest" || place->run_id.starts_with(name),
          "a name is the beginning of its run's id");
}

void check_path(const std::string& path) {
  const std::vector<std::string> keys = record::split_path(path);
  bool is_whole = true;
  for (const std::string& key : keys) is_whole &= !key.empty();
  if (!is_whole) return;  // keys are never empty where paths are made
  const std::string joined = record::join_path({keys.begin(), keys.end()});
  require(record::split_path(joined) == keys, "keys survive being joined");
  if (record::is_utf8(path)) {
    for (const std::string& key : keys) require(record::is_utf8(key), "keys stay UTF-8");
    require(record::is_utf8(record::display_path(path)), "what is shown is UTF-8");
  }
}

}  // namespace
}  // namespace ringlog::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  ringlog::fuzz::check_path(text);
  ringlog::fuzz::check_run(text.substr(0, text.find('\0')));
  return 0;
}
