#pragma once
// FileSink: rows as JSON lines in a local file, each exactly once.
//
// The cursor is the length of the file behind the last acknowledged batch.  A batch is synced
// before it is acknowledged; whatever stands behind the cursor at open() was never acknowledged and
// is cut off, so a file is locked while a run is written to it.  Lines are as `ringlog export
// --format jsonl` writes them.  {run} and {project} in the path stand for the run's.
//
// Network thread only.  Blocks for the disk.

#include "daemon/sinks/sink.h"
#include "shm/posix.h"
#include "store/row_json.h"

#include <cstdint>
#include <string>

namespace ringlog::service {

class FileSink final : public Sink {
 public:
  explicit FileSink(std::string path) : path_(std::move(path)) {}

  Limits limits() const override;
  //   kIo, kPermission, kNotFound  the file cannot be made or written; another run has it
  //   kCorrupt     the file is shorter than what was acknowledged: somebody changed it
  Status open(const store::RunMeta& run, const std::string& cursor) override;
  size_t add(const store::RowView& row) override;
  std::optional<SendResult> send() override;
  std::string cursor() const override { return std::to_string(offset_); }
  uint64_t left_out() const override { return left_out_; }
  void clear() override {
    batch_.clear();
    left_out_ = 0;
  }

 private:
  std::string path_;
  shm::Fd file_;
  uint64_t offset_ = 0;  // bytes acknowledged
  std::string batch_;
  uint64_t left_out_ = 0;  // of the batch
  store::RowJson json_;
};

// As make_sink(); without parts it only checks the URL.
Result<std::unique_ptr<Sink>> make_file_sink(const std::string& url, const SinkParts* parts);

}  // namespace ringlog::service
