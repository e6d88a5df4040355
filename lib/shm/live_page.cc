#include "shm/live_page.h"

#include "shm/sigbus.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

namespace ringlog::shm {

namespace {

// Times that a reader begins anew.
constexpr int kTriesMax = 8;

uint64_t live_file_size(uint64_t capacity) { return kPageSize + 2 * capacity; }

uint64_t text_offset(uint64_t serial, uint64_t capacity) {
  return kPageSize + (serial & 1) * capacity;
}

}  // namespace

std::string live_page_path(const std::string& runtime_dir, std::string_view run_id,
                           std::string_view run_dir) {
  uint64_t hash = 14695981039346656037ULL;  // FNV-1a: runs of one id in two folders differ
  for (const char c : run_dir) hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211ULL;
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string name;
  for (int i = 0; i < 16; ++i, hash >>= 4) name += kDigits[hash & 15];
  return runtime_dir + "/live/" + std::string(run_id) + "-" + name + ".live";
}

Result<std::unique_ptr<LivePageWriter>> LivePageWriter::open(const std::string& path) {
  if (Status s = private_directory(path.substr(0, path.rfind('/'))); !s) return s.take_error();
  auto fd = open_file(path, O_RDWR | O_CREAT | O_NOFOLLOW, 0600);
  if (!fd) return fd.take_error();
  auto size = file_size(fd->get(), path);
  if (!size) return size.take_error();
  if (*size != live_file_size(kLiveTextMax)) {
    // Only the page of words is written now; texts take room when they come.
    if (::ftruncate(fd->get(), 0) != 0) return errno_error("truncate " + path);
    if (Status s = allocate_file(fd->get(), kPageSize, path); !s) return s.take_error();
    if (::ftruncate(fd->get(), static_cast<off_t>(live_file_size(kLiveTextMax))) != 0) {
      return errno_error("extend " + path);
    }
  }
  void* const address =
      ::mmap(nullptr, kPageSize, PROT_READ | PROT_WRITE, MAP_SHARED, fd->get(), 0);
  if (address == MAP_FAILED) return errno_error("map " + path);
  return std::unique_ptr<LivePageWriter>(
      new LivePageWriter(path, std::move(*fd), static_cast<LivePage*>(address)));
}

LivePageWriter::LivePageWriter(std::string path, Fd fd, LivePage* page)
    : path_(std::move(path)),
      fd_(std::move(fd)),
      page_(page),
      // Every process of the user could cut the file.
      guard_((install_sigbus_guard(), guard_range(page, kPageSize))) {
  page_->version = kLiveVersion;
  page_->capacity = static_cast<uint32_t>(kLiveTextMax);
  page_->is_closed.store(0, std::memory_order_relaxed);
  page_->magic = kLiveMagic;
}

LivePageWriter::~LivePageWriter() {
  unguard_range(guard_);
  ::munmap(page_, kPageSize);
}

Status LivePageWriter::publish(std::string_view text, int64_t time_ns) {
  if (text.size() > kLiveTextMax) {
    return Error{Code::kTooLarge, path_ + ": a summary of " + std::to_string(text.size()) +
                                      " bytes; " + std::to_string(kLiveTextMax) + " are allowed"};
  }
  // This process alone writes, so what it reads is its own.
  const uint64_t serial = page_->serial.load(std::memory_order_relaxed) + 1;
  // By a system call: a tmpfs that is full is an error here and not a signal.
  auto at = static_cast<off_t>(text_offset(serial, kLiveTextMax));
  for (std::string_view rest = text; !rest.empty();) {
    const ssize_t written = ::pwrite(fd_.get(), rest.data(), rest.size(), at);
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return errno_error("write " + path_);
    rest.remove_prefix(static_cast<size_t>(written));
    at += written;
  }
  page_->sizes[serial & 1].store(text.size(), std::memory_order_relaxed);
  page_->times_ns[serial & 1].store(time_ns, std::memory_order_relaxed);
  // ORDER live: publishes the text, its size and its time.
  page_->serial.store(serial, std::memory_order_release);
  // ORDER live: what the next call writes over, the text before this one with its size and time,
  // comes after this serial for everybody.  A reader that met any of it sees, behind its acquire
  // fence, that its own serial is no more the newest.
  std::atomic_thread_fence(std::memory_order_release);
  return Done{};
}

void LivePageWriter::remove() {
  ::unlink(path_.c_str());
  page_->is_closed.store(1, std::memory_order_relaxed);
}

Result<std::unique_ptr<LivePageReader>> LivePageReader::open(const std::string& path) {
  auto fd = open_file(path, O_RDONLY | O_NOFOLLOW);
  if (!fd) return fd.take_error();
  LivePage page{};
  auto head = std::as_writable_bytes(std::span(&page, 1)).first(offsetof(LivePage, serial));
  if (Status s = read_at(fd->get(), head, 0, path); !s) return s.take_error();
  if (page.magic != kLiveMagic) return Error{Code::kCorrupt, path + " is not a live page"};
  if (page.version != kLiveVersion) {
    return Error{Code::kVersion, path + " has version " + std::to_string(page.version) +
                                     ", this program reads " + std::to_string(kLiveVersion)};
  }
  auto size = file_size(fd->get(), path);
  if (!size) return size.take_error();
  if (page.capacity > kLiveTextMax || *size < live_file_size(page.capacity)) {
    return Error{Code::kCorrupt, path + " is cut short"};
  }
  void* const address =
      ::mmap(nullptr, live_file_size(page.capacity), PROT_READ, MAP_SHARED, fd->get(), 0);
  if (address == MAP_FAILED) return errno_error("map " + path);
  return std::unique_ptr<LivePageReader>(
      new LivePageReader(static_cast<const std::byte*>(address), page.capacity));
}

LivePageReader::~LivePageReader() {
  ::munmap(const_cast<std::byte*>(bytes_), live_file_size(capacity_));
}

Result<LiveText> LivePageReader::read() const {
  const auto& page = *reinterpret_cast<const LivePage*>(bytes_);
  LiveText out;
  out.is_last = page.is_closed.load(std::memory_order_relaxed) != 0;
  for (int i = 0; i < kTriesMax; ++i) {
    // ORDER live: with the release store, so that the text of this serial is whole.
    const uint64_t serial = page.serial.load(std::memory_order_acquire);
    if (serial == 0) return Error{Code::kNotFound, "the run has no summary yet"};
    const uint64_t size = page.sizes[serial & 1].load(std::memory_order_relaxed);
    out.time_ns = page.times_ns[serial & 1].load(std::memory_order_relaxed);
    const auto* text = reinterpret_cast<const char*>(bytes_ + text_offset(serial, capacity_));
    out.text.assign(text, std::min<uint64_t>(size, capacity_));
    // ORDER live: size, time and text were read before the serial is looked at again; the service
    // overwrites them only behind the release fence after it has published the next one.
    std::atomic_thread_fence(std::memory_order_acquire);
    if (page.serial.load(std::memory_order_relaxed) == serial) return out;
  }
  return Error{Code::kTimeout, "the live summary changes too fast"};
}

}  // namespace ringlog::shm
