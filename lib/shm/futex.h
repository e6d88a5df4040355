#pragma once
// Waiting on a 32-bit word shared between processes.
//
// Raw futex(2) without FUTEX_PRIVATE_FLAG: std::atomic::wait uses a process-private futex and never
// wakes across processes.  Safe from any thread and in signal handlers.

#include <atomic>
#include <chrono>
#include <cstdint>

namespace ringlog::shm {

// Sleeps while `word` holds `expected`, at most `timeout`.  Returns for any reason: a wake, another
// value, the timeout, a signal, so the caller looks again.
void futex_wait(const std::atomic<uint32_t>& word, uint32_t expected,
                std::chrono::nanoseconds timeout);

// Looks at `word` until it holds something else than `expected`, at most `timeout`, and returns
// what it holds then (acquire).  For what usually happens sooner than a sleeper is woken.
uint32_t spin_while(const std::atomic<uint32_t>& word, uint32_t expected,
                    std::chrono::nanoseconds timeout);

// Wakes everybody who sleeps on `word`.
void futex_wake_all(const std::atomic<uint32_t>& word);

}  // namespace ringlog::shm
