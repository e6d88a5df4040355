// Intake: those who wait until what is committed now is stored.

#include "daemon/intake.h"

#include <algorithm>
#include <utility>
#include <vector>

namespace ringlog::service {

void Intake::barrier(std::function<void()> done) {
  Barrier barrier;
  for (const auto& port : ports_) barrier.targets.emplace_back(port, tails_of(*port));
  barrier.done = std::move(done);
  barriers_.push_back(std::move(barrier));
}

void Intake::advance_barriers() {
  if (barriers_.empty()) return;
  for (Barrier& barrier : barriers_) {
    if (barrier.is_drained) continue;
    barrier.is_drained =
        std::all_of(barrier.targets.begin(), barrier.targets.end(), [](const auto& target) {
          const Port& port = *target.first;
          return (port.is_settled || !port.end) && is_drained_to(port, target.second);
        });
    if (!barrier.is_drained) continue;
    const bool is_batch_empty = batch_->started_ms == 0;
    barrier.serial = is_batch_empty ? std::max(in_flight_, confirmed_) : batch_->serial;
    if (!is_batch_empty) batch_->is_urgent = true;
  }
  fire_barriers();
}

void Intake::fire_barriers() {
  std::vector<std::function<void()>> fired;
  std::erase_if(barriers_, [&](Barrier& barrier) {
    if (!barrier.is_drained || barrier.serial > confirmed_) return false;
    fired.push_back(std::move(barrier.done));
    return true;
  });
  for (const auto& done : fired) done();
}

// What stood behind retire_targets is read by nobody, so nobody waits for it.
void Intake::let_go(const std::shared_ptr<Port>& port) {
  for (Barrier& barrier : barriers_) {
    std::erase_if(barrier.targets, [&](const auto& target) { return target.first == port; });
  }
  std::erase(ports_, port);
}

}  // namespace ringlog::service
