#pragma once
// What the machine is and how far apart its two cores are: without it no figure can be compared.

#include "bench/common.h"

namespace ringlog::bench {

// machine.cpu, machine.kernel, machine.cpus, machine.cacheline_rtt_ns, machine.timer_ns,
// machine.timer_step_ns, machine.clock_realtime_ns.
void add_machine_figures(Figures& figures);

// One read of CLOCK_REALTIME, as each row takes one.
double realtime_clock_ns();

// One word sent to the other core and back, in nanoseconds; the median of many short runs.
double cacheline_rtt_ns();

}  // namespace ringlog::bench
