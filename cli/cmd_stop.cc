// stop: asks the processes of a run to stop; they see it in run.should_stop().

#include "cli/commands.h"
#include "cli/format.h"
#include "cli/service.h"
#include "store/runs.h"

namespace ringlog::cli {

namespace {
constexpr std::chrono::milliseconds kStopWait{5'000};
}

int run_stop(Context& context, const StopOptions& options) {
  auto place = store::resolve_run(context.root, options.run);
  if (!place) return fail(place.error());
  auto service = connect_service();
  if (!service) {
    return fail(service.take_error().in("run " + printable(place->run_id) +
                                        ": nobody to ask; the service is not running"));
  }
  if (Status s = ask_stop(**service, place->run_id, kStopWait); !s) {
    return fail(s.take_error().in("stop"));
  }
  context.out.write("asked run " + printable(place->run_id) + " to stop\n");
  return kExitOk;
}

}  // namespace ringlog::cli
