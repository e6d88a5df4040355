// The C interface, as a program in C uses it: logs a row in two parts, saves FILE live and at its
// end, asks for a checkpoint until there is one, then finishes with what its second argument says.

#include <ringlog/c.h>

#include <cstdio>
#include <cstdlib>

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  ringlog_run* const run = ringlog_init(nullptr);
  if (ringlog_ok(run) != 1) return 3;
  const uint64_t step = 7;
  ringlog_item loss{"loss", RINGLOG_FLOAT64, {}};
  loss.value.float64 = 0.5;
  ringlog_item count{"count", RINGLOG_INT64, {}};
  count.value.int64 = 3;
  ringlog_log_part(run, &loss, 1, &step);
  ringlog_log(run, &count, 1, nullptr);
  std::printf("%d %d\n", ringlog_save(run, argv[1], RINGLOG_SAVE_END, nullptr),
              ringlog_save(run, "/nowhere/at/all", RINGLOG_SAVE_NOW, nullptr));
  std::fflush(stdout);
  uint64_t at = 8;
  while (ringlog_should_checkpoint(run, at) == 0) ++at;
  std::printf("%d %d\n", ringlog_should_checkpoint(run, at), ringlog_should_stop_at(run, at));
  ringlog_report report{};
  ringlog_finish(run, std::atoi(argv[2]), &report);
  std::printf("%d\n", static_cast<int>(report.stored));
  ringlog_free(run);
  return 0;
}
