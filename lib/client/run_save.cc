// Run::save(): files that belong to a run.

#include "client/run_core.h"
#include "client/save_files.h"
#include "shm/copy_file.h"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <optional>
#include <string>
#include <utility>

namespace ringlog {

using client::FileToSave;

namespace {

// Files of one save() with kNow: copies them one after another.
class CopyNow {
 public:
  CopyNow(const std::string& folder, const SaveOptions& options)
      : folder_(folder), options_(options) {
    // Of several threads and processes that save at the same time each has a draft of its own.
    static std::atomic<uint64_t> next{0};
    draft_ = ".ringlog-" + std::to_string(::getpid()) + "-" +
             std::to_string(next.fetch_add(1, std::memory_order_relaxed)) + ".part";
  }

  void expect(const FileToSave& file) {
    if (auto stamp = shm::stamp_of(file.source)) report_.bytes_left += stamp->size;
  }

  // The copy as its record tells it; nothing: error() says why.
  std::optional<record::FileFacts> copy(const FileToSave& file) {
    auto copied = shm::copy_file({.source = file.source,
                                  .folder = folder_,
                                  .name = file.name,
                                  .draft = draft_,
                                  .on_bytes = [this](uint64_t bytes) {
                                    advance(bytes);
                                    return true;
                                  }});
    if (!copied) {
      if (error_.code == Code::kOk) error_ = copied.take_error();
      return {};
    }
    ++report_.files;
    return record::FileFacts{
        .name = file.name,
        .source = file.source,
        .policy = SavePolicy::kNow,
        .state = record::FileState::kKept,
        .size = copied->stamp.size,
        .problem = copied->has_changed ? "it changed each time it was copied" : "",
        .is_final = true};
  }

  const SaveReport& report() const { return report_; }
  const Error& error() const { return error_; }

 private:
  void advance(uint64_t bytes) {
    report_.bytes += bytes;
    report_.bytes_left -= std::min(report_.bytes_left, bytes);
    if (options_.on_progress) options_.on_progress(report_);
  }

  const std::string folder_;
  const SaveOptions& options_;
  std::string draft_;
  SaveReport report_;
  Error error_;
};

}  // namespace

Status Run::save(const std::string& path) {
  auto saved = save(path, {});
  if (!saved) return saved.take_error();
  return Done{};
}

Result<SaveReport> Run::save(const std::string& pattern, const SaveOptions& options) {
  if (core_->dir().empty()) return Error{Code::kDisabled, "save: this run does not log"};
  auto files = client::find_files(pattern, options);
  if (!files) return std::move(files.take_error()).in("save");
  if (options.policy != SavePolicy::kNow) {
    for (const FileToSave& file : *files) {
      Status told = core_->publish(
          record::encode_file({.name = file.name, .source = file.source, .policy = options.policy},
                              shm::realtime_ns()));
      if (!told) return std::move(told.take_error()).in("save " + file.name);
    }
    return SaveReport{};
  }
  CopyNow copy(core_->dir() + "/files", options);
  for (const FileToSave& file : *files) copy.expect(file);
  for (const FileToSave& file : *files) {
    const auto facts = copy.copy(file);
    if (!facts) continue;
    Status told = core_->publish(record::encode_file(*facts, shm::realtime_ns()));
    if (!told) return std::move(told.take_error()).in("save " + file.name);
  }
  if (copy.error().code == Code::kOk) return copy.report();
  Error error = Error(copy.error()).in("save");
  if (files->size() > 1) {
    error.message += " (" + std::to_string(copy.report().files) + " of " +
                     std::to_string(files->size()) + " files were kept)";
  }
  return error;
}

}  // namespace ringlog
