// Logs until somebody asks the run to stop.

#include <ringlog/ringlog.h>

#include <poll.h>

#include <cstdio>

int main() {
  auto run = ringlog::init();
  std::puts("logging");
  std::fflush(stdout);
  for (int i = 0; !run.should_stop(); ++i) {
    run.log({{"i", i}});
    ::poll(nullptr, 0, 1);
  }
  return 0;
}
