#pragma once
// A LevelDB environment whose disk fills up, tears writes and forgets what was not synced, when
// told.
//
// The switches may be set from any thread.

#include <leveldb/env.h>

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <shared_mutex>
#include <string>

namespace ringlog::store {

class FaultyEnv : public leveldb::EnvWrapper {
 public:
  FaultyEnv() : EnvWrapper(leveldb::Env::Default()) {}

  // Bytes that still fit on the disk; the write that crosses it is cut short.
  void set_room(int64_t bytes) { room_ = bytes; }
  void set_unlimited() { room_ = INT64_MAX; }
  void fail_syncs(bool fail) { fail_syncs_ = fail; }
  int64_t refused() const { return refused_; }
  uint64_t written() const { return written_; }

  // Nothing happens on the disk while it is held.
  std::unique_lock<std::shared_mutex> pause() { return std::unique_lock(disk_); }

  // Sizes up to which each file is on the disk for sure.
  std::map<std::string, uint64_t> synced_sizes() {
    const std::lock_guard lock(mutex_);
    return synced_;
  }

  leveldb::Status NewWritableFile(const std::string& name, leveldb::WritableFile** file) override {
    const std::shared_lock use(disk_);
    if (room_ <= 0) {
      ++refused_;
      return full(name);
    }
    leveldb::Status status = target()->NewWritableFile(name, file);
    if (status.ok()) {
      const std::lock_guard lock(mutex_);
      synced_[name] = 0;
      *file = new File(*this, name, *file);
    }
    return status;
  }
  leveldb::Status RemoveFile(const std::string& name) override {
    const std::shared_lock use(disk_);
    {
      const std::lock_guard lock(mutex_);
      synced_.erase(name);
    }
    return target()->RemoveFile(name);
  }
  leveldb::Status RenameFile(const std::string& from, const std::string& to) override {
    const std::shared_lock use(disk_);
    {
      const std::lock_guard lock(mutex_);
      synced_[to] = synced_[from];
      synced_.erase(from);
    }
    return target()->RenameFile(from, to);
  }

 private:
  static leveldb::Status full(const std::string& name) {
    return leveldb::Status::IOError(name, "No space left on device");
  }

  class File : public leveldb::WritableFile {
   public:
    File(FaultyEnv& env, std::string name, leveldb::WritableFile* file)
        : env_(env), name_(std::move(name)), file_(file) {}

    ~File() override {
      const std::shared_lock use(env_.disk_);
      file_.reset();  // writes what it still has
    }
    leveldb::Status Append(const leveldb::Slice& data) override {
      const std::shared_lock use(env_.disk_);
      const auto size = static_cast<int64_t>(data.size());
      const int64_t room = env_.room_;
      const int64_t fits = std::min(std::max<int64_t>(room, 0), size);
      if (room != INT64_MAX) env_.room_ -= fits;
      size_ += static_cast<uint64_t>(fits);
      env_.written_ += static_cast<uint64_t>(fits);
      leveldb::Status status =
          file_->Append(leveldb::Slice(data.data(), static_cast<size_t>(fits)));
      if (fits == size) return status;
      // What was torn off reaches the file, as it does on a full disk.
      file_->Flush();
      ++env_.refused_;
      return full(name_);
    }
    leveldb::Status Close() override {
      const std::shared_lock use(env_.disk_);
      return file_->Close();
    }
    leveldb::Status Flush() override {
      const std::shared_lock use(env_.disk_);
      return file_->Flush();
    }
    leveldb::Status Sync() override {
      const std::shared_lock use(env_.disk_);
      if (env_.fail_syncs_) return leveldb::Status::IOError(name_, "Input/output error");
      leveldb::Status status = file_->Flush();  // tests need no fsync
      const std::lock_guard lock(env_.mutex_);
      if (env_.synced_.contains(name_)) env_.synced_[name_] = size_;
      return status;
    }

   private:
    FaultyEnv& env_;
    const std::string name_;
    std::unique_ptr<leveldb::WritableFile> file_;
    uint64_t size_ = 0;
  };

  // Held by each change of a file, and alone by pause(); before mutex_.
  std::shared_mutex disk_;
  std::atomic<int64_t> room_{INT64_MAX};
  std::atomic<int64_t> refused_{0};
  std::atomic<uint64_t> written_{0};
  std::atomic<bool> fail_syncs_{false};
  std::mutex mutex_;
  std::map<std::string, uint64_t> synced_;  // guarded by mutex_
};

}  // namespace ringlog::store
