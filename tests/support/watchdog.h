#pragma once
// Ends a test program that hangs, saying which test it was; never a bound on how long a test may
// take.
//
// One at a time in a process.  It uses alarm(2), so it starts no thread (death tests fork) and a
// forked child does not inherit it.

#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include <cstring>

namespace ringlog::test {

class Watchdog {
 public:
  explicit Watchdog(unsigned seconds = 100) {
    struct sigaction action {};
    action.sa_handler = [](int) {
      constexpr char kText[] = "watchdog: this test hangs\n";
      [[maybe_unused]] const ssize_t n = ::write(2, kText, sizeof kText - 1);
      ::abort();
    };
    ::sigaction(SIGALRM, &action, &previous_);
    ::alarm(seconds);
  }
  ~Watchdog() {
    ::alarm(0);
    ::sigaction(SIGALRM, &previous_, nullptr);
  }
  Watchdog(const Watchdog&) = delete;
  Watchdog& operator=(const Watchdog&) = delete;

 private:
  struct sigaction previous_ {};
};

}  // namespace ringlog::test
