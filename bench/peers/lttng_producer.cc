// The producer of the LTTng peer, a program of its own: LTTng's library starts threads in every
// process that loads it, which would disturb the other peers.
//
// Writes the records of a job as events; prints when it began to count and when it was done.

#include "bench/common.h"
#include "bench/peers/peer.h"

#define LTTNG_UST_TRACEPOINT_CREATE_PROBES
#define LTTNG_UST_TRACEPOINT_DEFINE
#include "bench/peers/lttng_tracepoint.inc"

int main(int argc, char** argv) {
  using namespace ringlog::bench;
  return run_main(argc, argv, [](const Arguments& arguments, Figures& figures) {
    Job job;
    job.record_size = static_cast<size_t>(arguments.number("size", 80));
    job.count = static_cast<uint64_t>(arguments.number("count", 1000));
    const auto warm = static_cast<uint64_t>(arguments.number("warm", 0));
    Source source(job);
    const double cpu_before = cpu_seconds();
    int64_t begin_ns = 0;
    for (uint64_t i = 0; i < job.count; ++i) {
      if (i == warm) begin_ns = now_ns();
      const auto* bytes = reinterpret_cast<const uint8_t*>(source.next());
      lttng_ust_tracepoint(ringlog_bench, record, bytes, job.record_size);
    }
    // As text: nanoseconds have more digits than figures are printed with.
    figures.note("begin_ns", std::to_string(begin_ns));
    figures.note("end_ns", std::to_string(now_ns()));
    figures.note("cpu_ns", std::to_string(int64_t((cpu_seconds() - cpu_before) * 1e9)));
  });
}
