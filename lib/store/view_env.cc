#include "store/view_env.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "shm/posix.h"

namespace ringlog::store {

namespace {

using leveldb::Slice;
using leveldb::Status;

Status not_found(const std::string& name) { return Status::NotFound(name, "not in this view"); }

class ViewSequentialFile : public leveldb::SequentialFile {
 public:
  explicit ViewSequentialFile(std::shared_ptr<const FileBytes> file) : file_(std::move(file)) {}

  Status Read(size_t size, Slice* result, char*) override {
    const std::string_view rest = file_->bytes().substr(position_);
    *result = Slice(rest.data(), std::min(size, rest.size()));
    position_ += result->size();
    return Status::OK();
  }
  Status Skip(uint64_t size) override {
    position_ += std::min<size_t>(size, file_->bytes().size() - position_);
    return Status::OK();
  }

 private:
  std::shared_ptr<const FileBytes> file_;
  size_t position_ = 0;
};

class ViewRandomAccessFile : public leveldb::RandomAccessFile {
 public:
  explicit ViewRandomAccessFile(std::shared_ptr<const FileBytes> file) : file_(std::move(file)) {}

  Status Read(uint64_t offset, size_t size, Slice* result, char*) const override {
    const std::string_view bytes = file_->bytes();
    if (offset > bytes.size()) return Status::IOError("read", "past the end of the file");
    const std::string_view part = bytes.substr(offset, size);
    *result = Slice(part.data(), part.size());
    return Status::OK();
  }

 private:
  std::shared_ptr<const FileBytes> file_;
};

class ViewWritableFile : public leveldb::WritableFile {
 public:
  explicit ViewWritableFile(std::shared_ptr<MemoryFile> file) : file_(std::move(file)) {}
  Status Append(const Slice& data) override {
    file_->append({data.data(), data.size()});
    return Status::OK();
  }
  Status Close() override { return Status::OK(); }
  Status Flush() override { return Status::OK(); }
  Status Sync() override { return Status::OK(); }

 private:
  std::shared_ptr<MemoryFile> file_;
};

class ViewLock : public leveldb::FileLock {};

bool is_table(std::string_view name) { return name.ends_with(".ldb") || name.ends_with(".sst"); }

}  // namespace

Result<std::shared_ptr<const MappedFile>> MappedFile::map(const std::string& path) {
  const auto failed = [&](const char* call) { return shm::errno_error(path + ": " + call); };
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return failed("open");
  struct stat info {};
  const std::shared_ptr<MappedFile> file(new MappedFile());
  bool ok = fstat(fd, &info) == 0;
  file->size_ = static_cast<size_t>(info.st_size);
  file->device_ = info.st_dev;
  file->inode_ = info.st_ino;
  if (ok && file->size_ > 0) {
    void* address = mmap(nullptr, file->size_, PROT_READ, MAP_SHARED, fd, 0);
    ok = address != MAP_FAILED;
    if (ok) file->address_ = address;
  }
  const Error error = ok ? Error{} : failed("mmap");
  ::close(fd);
  if (!ok) return error;
  return std::shared_ptr<const MappedFile>(file);
}

MappedFile::~MappedFile() {
  if (address_ != nullptr) munmap(address_, size_);
}

bool MappedFile::is_still(const std::string& path) const {
  struct stat info {};
  return stat(path.c_str(), &info) == 0 && info.st_dev == device_ && info.st_ino == inode_ &&
         static_cast<size_t>(info.st_size) == size_;
}

ViewEnv::ViewEnv(Files files) : EnvWrapper(leveldb::Env::Default()) {
  for (auto& file : files) {
    files_[std::string(kDir).append("/").append(file.first)] = std::move(file.second);
  }
}

std::shared_ptr<const FileBytes> ViewEnv::find(const std::string& name) {
  const std::lock_guard lock(mutex_);
  const auto it = files_.find(name);
  return it == files_.end() ? nullptr : it->second;
}

Status ViewEnv::NewSequentialFile(const std::string& name, leveldb::SequentialFile** file) {
  *file = nullptr;
  auto bytes = find(name);
  if (bytes == nullptr) return not_found(name);
  *file = new ViewSequentialFile(std::move(bytes));  // LevelDB owns it; likewise below
  return Status::OK();
}

Status ViewEnv::NewRandomAccessFile(const std::string& name, leveldb::RandomAccessFile** file) {
  *file = nullptr;
  auto bytes = find(name);
  if (bytes == nullptr) return not_found(name);
  *file = new ViewRandomAccessFile(std::move(bytes));
  return Status::OK();
}

Status ViewEnv::NewWritableFile(const std::string& name, leveldb::WritableFile** file) {
  *file = nullptr;
  if (is_table(name) && std::this_thread::get_id() != maker_) {
    return Status::IOError(name, "a view is not compacted");
  }
  auto memory = std::make_shared<MemoryFile>();
  *file = new ViewWritableFile(memory);
  const std::lock_guard lock(mutex_);
  files_[name] = std::move(memory);
  return Status::OK();
}

Status ViewEnv::NewAppendableFile(const std::string& name, leveldb::WritableFile** file) {
  const auto before = find(name);
  auto memory = std::make_shared<MemoryFile>(before == nullptr ? std::string()
                                                               : std::string(before->bytes()));
  *file = new ViewWritableFile(memory);
  const std::lock_guard lock(mutex_);
  files_[name] = std::move(memory);
  return Status::OK();
}

bool ViewEnv::FileExists(const std::string& name) { return find(name) != nullptr; }

Status ViewEnv::GetChildren(const std::string& dir, std::vector<std::string>* names) {
  names->clear();
  const std::string prefix = dir + "/";
  const std::lock_guard lock(mutex_);
  for (auto it = files_.lower_bound(prefix); it != files_.end(); ++it) {
    if (!it->first.starts_with(prefix)) break;
    const std::string name = it->first.substr(prefix.size());
    if (name.find('/') == std::string::npos) names->push_back(name);
  }
  return Status::OK();
}

Status ViewEnv::RemoveFile(const std::string& name) {
  const std::lock_guard lock(mutex_);
  return files_.erase(name) == 1 ? Status::OK() : not_found(name);
}

Status ViewEnv::CreateDir(const std::string&) { return Status::OK(); }
Status ViewEnv::RemoveDir(const std::string&) { return Status::OK(); }

Status ViewEnv::GetFileSize(const std::string& name, uint64_t* size) {
  const auto bytes = find(name);
  *size = bytes == nullptr ? 0 : bytes->bytes().size();
  return bytes == nullptr ? not_found(name) : Status::OK();
}

Status ViewEnv::RenameFile(const std::string& from, const std::string& to) {
  const std::lock_guard lock(mutex_);
  const auto it = files_.find(from);
  if (it == files_.end()) return not_found(from);
  auto bytes = std::move(it->second);
  files_.erase(it);
  files_[to] = std::move(bytes);
  return Status::OK();
}

Status ViewEnv::LockFile(const std::string&, leveldb::FileLock** lock) {
  *lock = new ViewLock();
  return Status::OK();
}

Status ViewEnv::UnlockFile(leveldb::FileLock* lock) {
  delete lock;
  return Status::OK();
}

}  // namespace ringlog::store
