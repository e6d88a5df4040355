// What somebody asks of a run that goes on.
//
// stop, checkpoint: its ranks are to stop or to save themselves, all at the same step; they see it
// in run.should_stop() and run.should_checkpoint().  burst: its machine is to be sampled more
// often.

#include <fmt/format.h>

#include <cmath>

#include "cli/commands.h"
#include "cli/format.h"
#include "cli/service.h"
#include "store/runs.h"

namespace ringlog::cli {

namespace {

constexpr std::chrono::milliseconds kAgreeWait{5'000};

Result<reader::OpenRun> find(const Context& context, const std::string& name) {
  auto place = store::resolve_run(context.root, name);
  if (!place) return place.take_error();
  auto open = find_open_run(place->dir, false, kAgreeWait);
  if (!open) return open.take_error().in("run " + printable(place->run_id));
  open->run.run_id = printable(open->run.run_id);
  return open;
}

void warn_of_late(const AgreedStep& agreed) {
  if (agreed.late == 0) return;
  say(fmt::format("warning: {} past step {} before the others could agree on it",
                  agreed.late == 1 ? "1 rank was" : fmt::format("{} ranks were", agreed.late),
                  agreed.step));
}

}  // namespace

int run_stop(Context& context, const StopOptions& options) {
  auto open = find(context, options.run);
  if (!open) return fail(open.take_error().in("stop"));
  auto agreed = ask_agree(*open->service, open->run.dir, true, kAgreeWait);
  if (!agreed) return fail(agreed.take_error().in("stop"));
  std::string line = "asked run " + open->run.run_id + " to stop";
  if (agreed->asking > 0) line += fmt::format(", its ranks at step {}", agreed->step);
  context.out.write(line + "\n");
  warn_of_late(*agreed);
  return kExitOk;
}

int run_checkpoint(Context& context, const StopOptions& options) {
  auto open = find(context, options.run);
  if (!open) return fail(open.take_error().in("checkpoint"));
  auto agreed = ask_agree(*open->service, open->run.dir, false, kAgreeWait);
  if (!agreed) return fail(agreed.take_error().in("checkpoint"));
  if (agreed->asking == 0) {
    return fail(Error{Code::kNotFound,
                      "checkpoint: no rank of run " + open->run.run_id +
                          " has asked for it so far: the program calls should_checkpoint(step)"});
  }
  context.out.write(
      fmt::format("asked run {} for a checkpoint at step {}\n", open->run.run_id, agreed->step));
  if (agreed->asking < agreed->ranks) {
    say(fmt::format("warning: only {} of {} ranks have asked for it so far", agreed->asking,
                    agreed->ranks));
  }
  warn_of_late(*agreed);
  return kExitOk;
}

int run_burst(Context& context, const BurstOptions& options) {
  auto open = find(context, options.run);
  if (!open) return fail(open.take_error().in("burst"));
  const std::chrono::milliseconds interval(std::llround(1000 / options.rate));
  const std::chrono::milliseconds time(std::llround(1000 * options.time_s));
  if (Status s = ask_burst(*open->service, open->run.dir, interval, time, kAgreeWait); !s) {
    return fail(s.take_error().in("burst"));
  }
  context.out.write(fmt::format("sampling run {} each {} ms for {:g} s\n", open->run.run_id,
                                interval.count(), options.time_s));
  return kExitOk;
}

}  // namespace ringlog::cli
