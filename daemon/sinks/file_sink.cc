#include "daemon/sinks/file_sink.h"

#include "daemon/limits.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <string_view>

namespace ringlog::service {

namespace {

// True: it was there.
bool fill_in(std::string& path, std::string_view name, const std::string& value) {
  bool is_found = false;
  for (size_t at = 0; (at = path.find(name, at)) != std::string::npos; at += value.size()) {
    path.replace(at, name.size(), value);
    is_found = true;
  }
  return is_found;
}

}  // namespace

Result<std::unique_ptr<Sink>> make_file_sink(const std::string& url, const SinkParts* parts) {
  const std::string path = url.substr(url.find("://") + 3);
  if (path.size() < 2 || path.front() != '/' || path.find('\0') != std::string::npos) {
    return Error{Code::kInvalidArgument, "sink " + url + " names no absolute path"};
  }
  if (parts == nullptr) return std::unique_ptr<Sink>();
  return std::unique_ptr<Sink>(std::make_unique<FileSink>(path));
}

Sink::Limits FileSink::limits() const {
  return {.rows = kSinkBatchRows, .bytes = kSinkBatchBytes, .interval_ms = kSinkIntervalMs};
}

Status FileSink::open(const store::RunMeta& run, const std::string& cursor) {
  const bool has_run = fill_in(path_, "{run}", run.run_id);
  if (fill_in(path_, "{project}", run.project) || has_run) {
    const std::string folder = path_.substr(0, std::max<size_t>(1, path_.rfind('/')));
    if (Status made = shm::make_directories(folder, 0755); !made) return made;
  }
  auto file = shm::open_file(path_, O_RDWR | O_CREAT, 0644);
  if (!file) return file.take_error();
  if (::flock(file->get(), LOCK_EX | LOCK_NB) != 0) {
    return Error{Code::kIo, path_ + ": another run is written to it"};
  }
  auto size = shm::file_size(file->get(), path_);
  if (!size) return size.take_error();
  // A new run goes behind what is there already: several runs may share a file one after another.
  offset_ = cursor.empty() ? *size : std::strtoull(cursor.c_str(), nullptr, 10);
  if (*size < offset_) {
    return Error{Code::kCorrupt, path_ + " has " + std::to_string(*size) + " bytes, but " +
                                     std::to_string(offset_) + " were written to it"};
  }
  if (::ftruncate(file->get(), static_cast<off_t>(offset_)) != 0) {
    return shm::errno_error("truncate " + path_);
  }
  file_ = std::move(*file);
  return Done{};
}

size_t FileSink::add(const store::RowView& row) {
  const size_t before = batch_.size();
  // A cell that is no value is the store's fault; the row is left out rather than the file broken.
  if (!json_.append(row, batch_)) {
    batch_.resize(before);
    ++left_out_;
    return before;
  }
  batch_ += '\n';
  return batch_.size();
}

std::optional<SendResult> FileSink::send() {
  const auto retry = [this](const Error& why) {
    // What was written of the batch is written over next time.
    static_cast<void>(::ftruncate(file_.get(), static_cast<off_t>(offset_)));
    return SendResult{.kind = SendResult::Kind::kRetry, .message = why.message};
  };
  if (::lseek(file_.get(), static_cast<off_t>(offset_), SEEK_SET) < 0) {
    return retry(shm::errno_error("seek in " + path_));
  }
  if (const Status s = shm::write_all(file_.get(), std::as_bytes(std::span(batch_)), path_); !s) {
    return retry(s.error());
  }
  if (::fdatasync(file_.get()) != 0) return retry(shm::errno_error("sync " + path_));
  offset_ += batch_.size();
  return SendResult{};
}

}  // namespace ringlog::service
