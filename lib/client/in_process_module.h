#pragma once
// What libringlog_in_process.so offers: a service for the program that loads it.
//
// The module is loaded at run time (client/in_process.h), because a program that logs must not load
// the libraries that a service needs.  Module and library are of one build: `version` is compared.

#include <cstddef>

extern "C" {
struct RinglogInProcess {
  const char* version;  // RINGLOG_VERSION
  // Starts a service in `runtime_dir`, on threads and with descriptors of its own; returns when it
  // listens.  nullptr: it cannot; `error` has the reason, cut to `error_size` bytes.
  void* (*start)(const char* runtime_dir, char* error, size_t error_size);
  // Stores what is committed, ends the service and its threads, and removes its directory unless
  // processes that live on have segments there.  Waits kShutdownWaitMs at most for the disk.
  void (*stop)(void* service);
};
}

namespace ringlog::client {
inline constexpr const char* kInProcessFile = "libringlog_in_process.so";
inline constexpr const char* kInProcessSymbol = "ringlog_in_process";  // const RinglogInProcess
}  // namespace ringlog::client
