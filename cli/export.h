#pragma once
// What the parts of `ringlog export` share: a format is a function that reads a run and writes it.
//
// Each says how much it wrote; messages are the caller's.  One thread.

#include <ringlog/result.h>

#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "cli/context.h"
#include "cli/output.h"
#include "cli/target_file.h"

namespace ringlog::cli {

struct ExportCount {
  uint64_t rows = 0;           // read
  uint64_t left_out = 0;       // of these, such as the format has no place for
  uint64_t missing_files = 0;  // that were saved, and are no longer in the run's folder
};

// A file of a folder that is being written: made, filled through out(), closed by finish().
class ExportFile {
 public:
  //   kIo, kPermission  it cannot be made; the message names the path
  static Result<ExportFile> create(const std::string& path) {
    auto file = TargetFile::create(path);
    if (!file) return file.take_error();
    return ExportFile(path, *std::move(file));
  }

  Output& out() { return *out_; }
  // Writes the rest and makes it durable.  kIo: the disk is full or fails.
  Status finish() {
    out_->flush();
    if (Status s = out_->status(); !s) return s;
    return file_.publish();
  }

 private:
  ExportFile(const std::string& path, TargetFile file)
      : file_(std::move(file)), out_(std::make_unique<Output>(file_.fd(), path)) {}

  TargetFile file_;
  std::unique_ptr<Output> out_;  // stays where it is when the file moves
};

// TensorBoard: an event file for each process that logged, in `dir`, or, where several ranks or
// forked workers logged, in folders of theirs.
//   kIo, kCorrupt, …  as the reader and the files say
Result<ExportCount> export_tfevents(RunReader& run, const std::string& dir);

// W&B: makes the folder of a run that `wandb sync` uploads in the folder `path`, named as W&B does;
// with `splits_ranks` one for each rank that logged.  A `path` that is named so is itself that
// folder.
//   kInvalidArgument  it is there already
//   kIo, kCorrupt, …  as the reader and the files say
Result<ExportCount> export_wandb(RunReader& run, const std::string& path, bool splits_ranks);

}  // namespace ringlog::cli
