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

// The service, to ask it about a run; `id` becomes the run's.
Result<std::unique_ptr<client::ControlClient>> find(const Context& context, const std::string& name,
                                                    std::string& id) {
  auto place = store::resolve_run(context.root, name);
  if (!place) return place.take_error();
  id = place->run_id;
  auto service = connect_service();
  if (!service) {
    return service.take_error().in("run " + printable(id) +
                                   ": nobody to ask; the service is not running");
  }
  return service;
}

Result<AgreedStep> agree(const Context& context, const std::string& name, bool is_stop,
                         std::string& run_id) {
  auto service = find(context, name, run_id);
  if (!service) return service.take_error();
  auto agreed = ask_agree(**service, run_id, is_stop, kAgreeWait);
  run_id = printable(run_id);
  return agreed;
}

void warn_of_late(const AgreedStep& agreed) {
  if (agreed.late == 0) return;
  say(fmt::format("warning: {} past step {} before the others could agree on it",
                  agreed.late == 1 ? "1 rank was" : fmt::format("{} ranks were", agreed.late),
                  agreed.step));
}

}  // namespace

int run_stop(Context& context, const StopOptions& options) {
  std::string run_id;
  auto agreed = agree(context, options.run, true, run_id);
  if (!agreed) return fail(agreed.take_error().in("stop"));
  std::string line = "asked run " + run_id + " to stop";
  if (agreed->asking > 0) line += fmt::format(", its ranks at step {}", agreed->step);
  context.out.write(line + "\n");
  warn_of_late(*agreed);
  return kExitOk;
}

int run_checkpoint(Context& context, const StopOptions& options) {
  std::string run_id;
  auto agreed = agree(context, options.run, false, run_id);
  if (!agreed) return fail(agreed.take_error().in("checkpoint"));
  if (agreed->asking == 0) {
    return fail(Error{Code::kNotFound,
                      "checkpoint: no rank of run " + run_id +
                          " has asked for it so far: the program calls should_checkpoint(step)"});
  }
  context.out.write(
      fmt::format("asked run {} for a checkpoint at step {}\n", run_id, agreed->step));
  if (agreed->asking < agreed->ranks) {
    say(fmt::format("warning: only {} of {} ranks have asked for it so far", agreed->asking,
                    agreed->ranks));
  }
  warn_of_late(*agreed);
  return kExitOk;
}

int run_burst(Context& context, const BurstOptions& options) {
  std::string run_id;
  auto service = find(context, options.run, run_id);
  if (!service) return fail(service.take_error().in("burst"));
  const std::chrono::milliseconds interval(std::llround(1000 / options.rate));
  const std::chrono::milliseconds time(std::llround(1000 * options.time_s));
  if (Status s = ask_burst(**service, run_id, interval, time, kAgreeWait); !s) {
    return fail(s.take_error().in("burst"));
  }
  context.out.write(fmt::format("sampling run {} each {} ms for {:g} s\n", printable(run_id),
                                interval.count(), options.time_s));
  return kExitOk;
}

}  // namespace ringlog::cli
