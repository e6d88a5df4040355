#include "store/background.h"

#include "shm/posix.h"
#include "store/limits.h"

#include <leveldb/env.h>
#include <sys/stat.h>

#include <chrono>
#include <future>
#include <memory>
#include <system_error>
#include <thread>
#include <utility>

namespace ringlog::store {

namespace {

// What the thread is asked; it may answer when nobody waits any more.
struct Question {
  int fd = -1;
  std::promise<ino_t> inode;
};

ino_t inode_of(int fd) {
  struct stat info {};
  return ::fstat(fd, &info) == 0 ? info.st_ino : 0;
}

void answer(void* argument) {
  const std::unique_ptr<std::shared_ptr<Question>> question(
      static_cast<std::shared_ptr<Question>*>(argument));
  (*question)->inode.set_value(inode_of((*question)->fd));
}

}  // namespace

Status own_background_thread() {
  auto file = shm::create_memfd("ringlog-question");
  if (!file) return file.take_error();
  auto question = std::make_shared<Question>();
  question->fd = file->get();
  auto inode = question->inode.get_future();
  auto argument = std::make_unique<std::shared_ptr<Question>>(question);
  try {
    // Of a thread that cannot be made LevelDB hears with its lock held, which it then holds for
    // ever; so it is tried first.
    std::jthread([] {}).join();
    leveldb::Env::Default()->Schedule(answer, argument.get());
  } catch (const std::system_error& e) {
    return Error{Code::kIo, "LevelDB's thread cannot be made: " + e.code().message()};
  }
  static_cast<void>(argument.release());
  if (inode.wait_for(std::chrono::milliseconds(kBackgroundWaitMs)) != std::future_status::ready) {
    return Error{Code::kIo,
                 "LevelDB's thread does not answer; it is busy or this is a forked child"};
  }
  if (inode.get() == inode_of(file->get())) return Done{};
  return Error{Code::kIo, "LevelDB is in use by this program; log through ringlogd instead"};
}

}  // namespace ringlog::store
