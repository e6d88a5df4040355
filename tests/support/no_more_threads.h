#pragma once
// A process that can have no more threads, as long as this object lives: the stack that a new one
// would get is larger than the address space, so that pthread_create fails with EAGAIN as it does
// at a limit of the system.  Those that are there go on.
//
// One at a time in a process.  Threads whose maker names the size of their stack are made all the
// same.

#include <pthread.h>

#include <cstddef>

namespace ringlog::test {

class NoMoreThreads {
 public:
  NoMoreThreads() {
    ::pthread_getattr_default_np(&before_);
    pthread_attr_t huge;
    ::pthread_attr_init(&huge);
    ::pthread_attr_setstacksize(&huge, size_t{1} << 50);
    ::pthread_setattr_default_np(&huge);
    ::pthread_attr_destroy(&huge);
  }
  ~NoMoreThreads() {
    ::pthread_setattr_default_np(&before_);
    ::pthread_attr_destroy(&before_);
  }
  NoMoreThreads(const NoMoreThreads&) = delete;
  NoMoreThreads& operator=(const NoMoreThreads&) = delete;

 private:
  pthread_attr_t before_{};
};

}  // namespace ringlog::test
