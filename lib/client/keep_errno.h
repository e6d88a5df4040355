#pragma once
// KeepErrno: leaves errno as it was found.
//
// log() may run in a signal handler, and the program that it interrupts may be about to look why a
// system call of its own has failed.  For the ways of log() that make system calls.

#include <cerrno>

namespace ringlog::client {

class KeepErrno {
 public:
  KeepErrno() : kept_(errno) {}
  ~KeepErrno() { errno = kept_; }
  KeepErrno(const KeepErrno&) = delete;
  KeepErrno& operator=(const KeepErrno&) = delete;

 private:
  const int kept_;
};

}  // namespace ringlog::client
