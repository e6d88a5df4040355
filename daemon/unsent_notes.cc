#include "daemon/unsent_notes.h"

#include "daemon/limits.h"
#include "daemon/log.h"
#include "daemon/names.h"
#include "shm/in_process_dir.h"
#include "shm/posix.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <array>
#include <cinttypes>
#include <cstdlib>
#include <memory>
#include <span>

namespace ringlog::service {

namespace {

using Json = nlohmann::json;

constexpr std::string_view kEnding = ".json";

std::string hex(uint64_t value) {
  std::array<char, 17> digits{};
  std::snprintf(digits.data(), digits.size(), "%016" PRIx64, value);
  return digits.data();
}

std::string text_of(const UnsentRun& run, const std::string& service) {
  const Json json = {{"dir", run.dir}, {"sinks", run.sinks}, {"service", service}};
  return json.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
}

Result<UnsentRun> read_note(const std::string& path) try {
  auto text = shm::read_file(path, kUnsentNoteBytesMax);
  if (!text) return text.take_error();
  const Json json = Json::parse(*text);
  UnsentRun run{json.at("dir"), json.at("sinks"), json.at("service")};
  if (Status s = check_root(run.dir); !s) return s.take_error();
  return run;
} catch (const Json::exception& e) {
  return Error{Code::kCorrupt, path + ": " + e.what()};
}

Status sync_folder(const std::string& folder) {
  auto fd = shm::open_file(folder, O_RDONLY | O_DIRECTORY);
  if (!fd) return fd.take_error();
  if (::fsync(fd->get()) != 0) return shm::errno_error("sync " + folder);
  return Done{};
}

Status write_file(const std::string& path, const std::string& text) {
  auto file = shm::open_file(path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW);
  if (!file) return file.take_error();
  if (Status s = shm::write_all(file->get(), std::as_bytes(std::span(text)), path); !s) return s;
  if (::fsync(file->get()) != 0) return shm::errno_error("sync " + path);
  return Done{};
}

struct CloseNotes {
  void operator()(DIR* dir) const { ::closedir(dir); }
};

}  // namespace

std::string UnsentNotes::path_of(const std::string& dir) const {
  return folder_ + "/" + hex(stable_hash(dir)) + std::string(kEnding);
}

std::vector<UnsentRun> UnsentNotes::read() const {
  std::vector<UnsentRun> runs;
  const std::unique_ptr<DIR, CloseNotes> folder(folder_.empty() ? nullptr
                                                                : ::opendir(folder_.c_str()));
  if (!folder) return runs;
  while (const dirent* entry = ::readdir(folder.get())) {
    const std::string path = folder_ + "/" + entry->d_name;
    if (!path.ends_with(kEnding)) continue;
    auto run = read_note(path);
    if (!run) {
      log().warn("unsent rows: {}", run.error().message);
    } else if (!is_anothers(run->service)) {
      runs.push_back(*std::move(run));
    }
  }
  std::sort(runs.begin(), runs.end(), [](const auto& a, const auto& b) { return a.dir < b.dir; });
  return runs;
}

// A service of a program that runs; of all others only one lives in this folder, which is us.
bool UnsentNotes::is_anothers(const std::string& service) const {
  return service != service_ && shm::is_owner_running(service);
}

Status UnsentNotes::write(const UnsentRun& run) const {
  if (folder_.empty()) return Done{};
  const std::string path = path_of(run.dir);
  const std::string text = text_of(run, service_);
  if (const auto before = shm::read_file(path, kUnsentNoteBytesMax); before && *before == text) {
    return Done{};
  }
  const std::string above = folder_.substr(0, folder_.rfind('/'));
  if (Status s = shm::make_directories(above, 0700); !s) return s;
  if (Status s = shm::private_directory(folder_); !s) return s;
  const std::string part = path + ".part";
  if (Status s = write_file(part, text); !s) return s;
  if (::rename(part.c_str(), path.c_str()) != 0) return shm::errno_error("rename " + part);
  return sync_folder(folder_);
}

void UnsentNotes::remove(const std::string& dir) const {
  if (!folder_.empty()) ::unlink(path_of(dir).c_str());
}

std::string unsent_folder(const std::string& in_process) {
  std::string home;
  const char* const state = std::getenv("XDG_STATE_HOME");
  const char* const user = std::getenv("HOME");
  if (state != nullptr && *state == '/') {
    home = state;
  } else if (user != nullptr && *user == '/') {
    home = std::string(user) + "/.local/state";
  } else {
    return "";
  }
  // A home may be shared by machines, whose services have runtime directories of one name.
  std::array<char, 256> machine{};
  static_cast<void>(::gethostname(machine.data(), machine.size() - 1));
  return home + "/ringlog/unsent-" + hex(stable_hash(machine.data() + (":" + in_process)));
}

}  // namespace ringlog::service
