// A program whose standard streams are closed, or read by nobody.
//
//   --service PID  of a service to kill half-way
//   --refuse 1     makes the library say something
//
// Exit 0: every row is stored.

#include <ringlog/ringlog.h>
#include <signal.h>
#include <unistd.h>

#include <string>

#include "options.h"

namespace {

// More than the control pages of a segment.
void write_to_all_streams() {
  const std::string line(1024, 'x');
  for (int i = 0; i < 64; ++i) {
    for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
      [[maybe_unused]] const ssize_t ignored = ::write(fd, line.data(), line.size());
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  const e2e::Options options(argc, argv);
  ringlog::Run run = ringlog::init();
  if (!run.ok()) return 2;
  if (options.number("refuse", 0) != 0) run.config({{"", 1}});
  for (int i = 0; i < 100; ++i) run.log({{"i", i}});
  if (const uint64_t service = options.number("service", 0); service != 0) {
    write_to_all_streams();
    ::kill(static_cast<pid_t>(service), SIGKILL);
  }
  for (int i = 100; i < 200; ++i) run.log({{"i", i}});
  const ringlog::FinishReport report = run.finish();
  return report.attempted == 200 && report.stored == 200 ? 0 : 3;
}
