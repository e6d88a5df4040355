#pragma once
// Agreement: one step at which all ranks of a run do what somebody asked for, without waiting for
// each other.
//
// Each rank tells its step before it looks at the agreed one (client/run_core.cc); the service
// writes the agreed step before it looks at the ranks again.  So a rank that was not past the step
// at that second look sees it in time.  The step lies ahead of the furthest rank by what it does in
// a fifth of a second, at least by two; to write it into all segments takes microseconds.  A rank
// that was faster all the same is counted as late.
//
// Plain functions of the control thread; nothing blocks.

#include "daemon/port.h"

#include <cstdint>
#include <memory>
#include <vector>

namespace ringlog::service {

enum class Wish : uint8_t { kStop, kCheckpoint };

struct Agreed {
  uint64_t step = 0;
  uint32_t ranks = 0;   // that take part
  uint32_t asking = 0;  // of these, that ask once a step
  uint32_t late = 0;    // of these, that were past the step before they could see it
};

using Ports = std::vector<std::shared_ptr<Port>>;

// Steps of the ranks as they told them, counted from 1; 0: never.
std::vector<uint64_t> told_steps(const Ports& ports);

// `before`: told_steps() of the same ports some time ago (kAgreeSampleMs).  `step_min`: where the
// ranks are at least, from the rows they logged.
Agreed agree(const Ports& ports, const std::vector<uint64_t>& before, uint64_t step_min, Wish wish);

// A segment that comes into a run for which a step was agreed on: it is told, unless the others
// are past it.
void join_agreement(const Ports& others, Port& joining);

}  // namespace ringlog::service
