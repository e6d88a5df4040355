#include "store/durable_env.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string_view>
#include <utility>

namespace ringlog::store {

namespace {

using leveldb::Status;

Status sync_directory_of(const std::string& file) {
  const std::string dir = file.substr(0, file.rfind('/'));
  const int fd = open(dir.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return Status::IOError(dir, std::strerror(errno));
  const bool synced = fsync(fd) == 0;
  const int error = errno;
  close(fd);
  return synced ? Status::OK() : Status::IOError(dir, std::strerror(error));
}

}  // namespace

class DurableEnv::LogFile : public leveldb::WritableFile {
 public:
  LogFile(DurableEnv& env, std::string name, leveldb::WritableFile* file)
      : env_(env), name_(std::move(name)), file_(file) {}
  ~LogFile() override {
    if (unsynced_) env_.retire(name_, std::move(file_));
  }

  Status Append(const leveldb::Slice& data) override {
    unsynced_ = true;
    return file_->Append(data);
  }
  Status Flush() override { return file_->Flush(); }
  // The file is closed when it is destroyed: until then it may have to be synced.
  Status Close() override { return file_->Flush(); }

  Status Sync() override {
    Status status = env_.sync_retired();
    if (status.ok()) status = file_->Sync();
    if (status.ok() && !entry_synced_) status = sync_directory_of(name_);
    if (!status.ok()) return status;
    entry_synced_ = true;
    unsynced_ = false;
    return status;
  }

 private:
  DurableEnv& env_;
  const std::string name_;
  std::unique_ptr<leveldb::WritableFile> file_;
  bool unsynced_ = false;
  bool entry_synced_ = false;
};

DurableEnv::~DurableEnv() = default;

Status DurableEnv::NewWritableFile(const std::string& name, leveldb::WritableFile** file) {
  Status status = target()->NewWritableFile(name, file);
  if (status.ok() && std::string_view(name).ends_with(".log")) {
    *file = new LogFile(*this, name, *file);  // LevelDB owns it
  }
  return status;
}

Status DurableEnv::RemoveFile(const std::string& name) {
  {
    const std::lock_guard lock(mutex_);
    retired_.erase(name);
  }
  return target()->RemoveFile(name);
}

void DurableEnv::retire(const std::string& name, std::unique_ptr<leveldb::WritableFile> file) {
  const std::lock_guard lock(mutex_);
  retired_[name] = std::move(file);
}

Status DurableEnv::sync_retired() {
  const std::lock_guard lock(mutex_);
  while (!retired_.empty()) {
    Status status = retired_.begin()->second->Sync();
    if (!status.ok()) return status;
    retired_.erase(retired_.begin());
  }
  return Status::OK();
}

}  // namespace ringlog::store
