#pragma once
// ViewEnv: LevelDB's files as they were at one moment, in memory and in mappings.  Internal to
// lib/store.
//
// LevelDB insists on a lock, on writing its recovery and on tidying up.  It may do all that here:
// tables are mappings that outlive their deletion, everything else is a copy, what LevelDB writes
// stays in memory, and what it deletes is gone only for it.  So a view needs no permission to
// write, disturbs nobody, and can even be repaired when the real files are damaged.
//
// Safe from any thread, as LevelDB wants it.  Must outlive the DB that uses it.

#include <leveldb/env.h>
#include <ringlog/result.h>
#include <sys/types.h>

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace ringlog::store {

// A file's bytes: mapped, or in memory.
class FileBytes {
 public:
  virtual ~FileBytes() = default;
  virtual std::string_view bytes() const = 0;
};

// A whole file, mapped.  It stays readable when the file is deleted; must not be truncated.
class MappedFile : public FileBytes {
 public:
  // kNotFound, kPermission, kIo.
  static Result<std::shared_ptr<const MappedFile>> map(const std::string& path);
  ~MappedFile() override;
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  std::string_view bytes() const override { return {static_cast<const char*>(address_), size_}; }
  // True when `path` is still this file, of this size.
  bool is_still(const std::string& path) const;

 private:
  MappedFile() = default;
  void* address_ = nullptr;
  size_t size_ = 0;
  dev_t device_ = 0;
  ino_t inode_ = 0;
};

class MemoryFile : public FileBytes {
 public:
  MemoryFile() = default;
  explicit MemoryFile(std::string bytes) : bytes_(std::move(bytes)) {}
  std::string_view bytes() const override { return bytes_; }
  // By one thread, while nobody reads.
  void append(std::string_view more) { bytes_.append(more); }

 private:
  std::string bytes_;
};

// Name within the folder → bytes.
using Files = std::map<std::string, std::shared_ptr<const FileBytes>>;

class ViewEnv : public leveldb::EnvWrapper {
 public:
  // The folder that LevelDB is told.
  static constexpr const char* kDir = "/view";

  // Tables are written by the thread that makes this one and by no other: the recovery of a log is
  // welcome, a compaction would be wasted.
  explicit ViewEnv(Files files);

  leveldb::Status NewSequentialFile(const std::string& name,
                                    leveldb::SequentialFile** file) override;
  leveldb::Status NewRandomAccessFile(const std::string& name,
                                      leveldb::RandomAccessFile** file) override;
  leveldb::Status NewWritableFile(const std::string& name, leveldb::WritableFile** file) override;
  leveldb::Status NewAppendableFile(const std::string& name, leveldb::WritableFile** file) override;
  bool FileExists(const std::string& name) override;
  leveldb::Status GetChildren(const std::string& dir, std::vector<std::string>* names) override;
  leveldb::Status RemoveFile(const std::string& name) override;
  leveldb::Status CreateDir(const std::string& name) override;
  leveldb::Status RemoveDir(const std::string& name) override;
  leveldb::Status GetFileSize(const std::string& name, uint64_t* size) override;
  leveldb::Status RenameFile(const std::string& from, const std::string& to) override;
  leveldb::Status LockFile(const std::string& name, leveldb::FileLock** lock) override;
  leveldb::Status UnlockFile(leveldb::FileLock* lock) override;

 private:
  std::shared_ptr<const FileBytes> find(const std::string& name);

  const std::thread::id maker_ = std::this_thread::get_id();
  std::mutex mutex_;
  Files files_;  // by whole path; guarded by mutex_
};

}  // namespace ringlog::store
