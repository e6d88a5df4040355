// Intake: how producers end, and what is made of it.

#include "daemon/intake.h"
#include "shm/failpoint.h"

#include <optional>
#include <utility>
#include <vector>

namespace ringlog::service {

void Intake::end(uint32_t producer, const EndFacts& facts) {
  for (const auto& port : ports_) {
    if (port->producer != producer) continue;
    // A death was seen before we came here: all stores of the process are visible.
    const std::vector<uint64_t> tails = tails_of(*port);
    if (!port->end) {
      port->end = facts;
      port->end_targets = tails;
    }
    if (port->is_settled && port->state.is_end_implied) revise(*port, facts);
    if (!facts.is_leaving || port->retire_targets) continue;
    port->retire_targets = tails;
    port->is_dirty = true;
    touch();
  }
}

void Intake::retire(uint32_t producer) {
  for (const auto& port : ports_) {
    if (port->producer != producer || !port->is_settled || port->retire_targets) continue;
    port->retire_targets = tails_of(*port);
    port->is_dirty = true;
    touch();
  }
}

void Intake::end_without_segment(store::ProducerState state, const EndFacts& facts) {
  std::optional<ExitInfo> finish;
  const bool is_known = facts.exit_word || facts.kernel;
  if (state.said_end && !(is_known && state.has_said_implied_end())) {
    finish = ExitInfo{state.said_end->exit_code, state.said_end->signal};
  }
  End end = decide_end(finish, facts);
  if (!finish && !facts.exit_word && !facts.kernel && !facts.forced) {
    end.cause = "it is gone with its shared memory; did the machine restart?";
  }
  state.state = end.state;
  state.exit_code = end.exit_code;
  state.signal = end.signal;
  state.cause = end.cause;
  state.ended_ns = clock_.realtime_ns();
  state.is_end_unread = true;
  board_.update(state, state.ended_ns);
  start_batch();
  batch_->commit.ended.push_back(state.producer);
  batch_->commit.producers.push_back(std::move(state));
  batch_->is_urgent = true;
  batch_->is_synced = true;
}

void Intake::forget_blobs(uint32_t producer) {
  start_batch();
  batch_->commit.gone.push_back(producer);
  batch_->is_urgent = true;
}

void Intake::settle(const std::shared_ptr<Port>& port) {
  RINGLOG_FAILPOINT("producer_end");
  refresh_state(*port);
  port->state.is_end_implied =
      port->notes.is_finish_implied && port->notes.finish.value_or(ExitInfo{1, 0}).exit_code == 0;
  port->is_settled = true;
  set_end(*port, decide_end(port->notes.finish, *port->end));
}

// A run that was destroyed has finished well, unless its process then says or suffers something
// else.
void Intake::revise(Port& port, const EndFacts& facts) {
  const bool is_known = facts.exit_word || facts.kernel;
  port.state.is_end_implied = false;
  port.is_settle_told = false;
  set_end(port, is_known ? decide_end(std::nullopt, facts) : decide_end(ExitInfo{}, facts));
}

void Intake::set_end(Port& port, const End& end) {
  store::ProducerState& state = port.state;
  state.state = end.state;
  state.exit_code = end.exit_code;
  state.signal = end.signal;
  state.cause = end.cause;
  state.ended_ns = clock_.realtime_ns();
  port.is_dirty = true;
  board_.update(state, state.ended_ns);
  start_batch();
  batch_->commit.ended.push_back(port.producer);
  batch_->is_urgent = true;
  batch_->is_synced = true;
}

}  // namespace ringlog::service
