#pragma once
// lib/shm's own ring, doorbell and mailbox, compiled over the model's atomics: what the models
// explore is the production code, line by line.
//
//   in production             here
//   std::atomic<T>            ringlog_model_atomic (atomic.h): each access is a step
//   atomic_thread_fence       a step
//   futex(2)                  steps with the kernel's own barriers (explorer.h)
//   pread(2) of ring bytes    a copy from the arena, checked for races; no ring here is so large
//                             that it would be mapped
//   spin_while()              one look
//   CLOCK_MONOTONIC           stands still until a wait of the thread times out
//   reply and ring bytes      plain memory of the arena, checked for races
//
// An executable that includes this must not link ringlog_shm, whose code it replaces.

#include <ringlog/result.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "atomic.h"

// The models end processes themselves.
#undef RINGLOG_FAILPOINTS

#define atomic ringlog_model_atomic
#define atomic_thread_fence ringlog_model_atomic_thread_fence

#include "shm/mailbox.cc"
#include "shm/ring.cc"
#include "shm/ring_reader.cc"

namespace ringlog::shm {

// Where the rings' bytes are; read_at() takes the descriptor for an index into it.
inline std::vector<std::byte*> g_model_files;

Status read_at(int fd, std::span<std::byte> into, uint64_t offset, const std::string&) {
  const std::byte* const from = g_model_files[static_cast<size_t>(fd)] + offset;
  model::read_plain(from, into.size());
  std::copy_n(from, into.size(), into.begin());
  return Done{};
}

std::unique_ptr<GuardedMapping> GuardedMapping::map(int, uint64_t, size_t) { return nullptr; }
GuardedMapping::~GuardedMapping() = default;
bool GuardedMapping::copy(size_t, std::span<std::byte>) const { return false; }

int64_t monotonic_ns() { return model::now_ns(); }
int64_t deadline_ns(int64_t start_ns, std::chrono::nanoseconds timeout) {
  return start_ns + std::clamp<int64_t>(timeout.count(), 0, INT64_MAX - start_ns);
}

void futex_wait(const std::atomic<uint32_t>& word, uint32_t expected, std::chrono::nanoseconds) {
  model::Operation wait;
  wait.kind = model::Kind::kFutexWait;
  wait.address = &word;
  wait.size = sizeof word;
  wait.expected = expected;
  model::perform(wait);
}

uint32_t spin_while(const std::atomic<uint32_t>& word, uint32_t, std::chrono::nanoseconds) {
  return word.load(std::memory_order_acquire);  // one look stands for many
}

void futex_wake_all(const std::atomic<uint32_t>& word) {
  model::Operation wake;
  wake.kind = model::Kind::kFutexWake;
  wake.address = &word;
  wake.size = sizeof word;
  model::perform(wake);
}

}  // namespace ringlog::shm

#undef atomic
#undef atomic_thread_fence
