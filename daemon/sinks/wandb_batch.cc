#include "daemon/sinks/wandb_batch.h"

#include "daemon/limits.h"
#include "formats/console_lines.h"
#include "formats/step_merge.h"
#include "formats/tfevents.h"
#include "formats/utf8.h"
#include "formats/wandb_rows.h"
#include "record/limits.h"

#include <algorithm>
#include <functional>
#include <map>
#include <set>
#include <utility>

namespace ringlog::service {

namespace {

// What planning needs of a row.
struct RowPlace {
  uint64_t seq;
  uint64_t step;
  int64_t time_ns;
};
using Lanes = std::map<store::LaneId, std::vector<RowPlace>>;

// Bytes of a row as JSON, roughly.
size_t size_of(const store::RowView& row) {
  constexpr size_t kOwnFields = 80;
  constexpr size_t kNumber = 24;
  size_t size = kOwnFields;
  for (size_t i = 0; i < row.size(); ++i) {
    const bool is_number = row.column(i).type != store::ColumnType::kOther;
    size += row.column(i).path.size() + (is_number ? kNumber : row.bytes(i).size());
  }
  return size;
}

// How many ranks have rows, and how many the launcher started.
std::pair<size_t, size_t> count_ranks(const formats::WandbFacts& facts) {
  std::set<int32_t> logged;
  int32_t started = 0;
  for (const store::ProducerState& producer : facts.producers) {
    started = std::max(started, producer.world_size);
    const bool has_rows = std::any_of(producer.rings.begin(), producer.rings.end(),
                                      [](const auto& ring) { return ring.stored > 0; });
    if (has_rows) logged.insert(producer.rank);
  }
  return {logged.size(), static_cast<size_t>(started)};
}

// Lanes of processes that still log.
size_t count_open(const store::Cursors& ends, const formats::WandbFacts& facts) {
  std::set<uint32_t> running;
  for (const store::ProducerState& producer : facts.producers) {
    if (producer.state == "running") running.insert(producer.producer);
  }
  return static_cast<size_t>(std::count_if(ends.begin(), ends.end(), [&](const auto& lane) {
    return running.contains(lane.first.producer);
  }));
}

// The first rows of each lane that are not sent, as many as one batch holds.
Status read_places(store::RunReader& reader, const store::SinkState& state, size_t rows_max,
                   size_t lane_count, Lanes& lanes, size_t& share) {
  share = std::max<size_t>(1, rows_max / std::max<size_t>(1, lane_count));
  store::RowFilter filter{.from = state.lanes, .rows_of_lane = share + 1};
  size_t bytes = 0;
  auto visited = reader.for_each_row(filter, [&](const store::RowView& row) {
    lanes[{row.producer().producer, row.ring()}].push_back({row.seq(), row.step(), row.time_ns()});
    bytes += size_of(row);
    return true;
  });
  if (!visited) return visited.take_error();
  if (bytes > kWandbBatchBytes) share = std::max<size_t>(1, share * kWandbBatchBytes / bytes);
  return Done{};
}

// The last step of a batch in which no lane has more rows than its share: steps beyond it would be
// without the values of that lane.
uint64_t last_step(const Lanes& lanes, size_t share, bool& is_full) {
  uint64_t last = formats::kStepMax;
  for (const auto& [lane, rows] : lanes) {
    if (rows.size() <= share) continue;
    is_full = true;
    uint64_t highest = 0;
    for (size_t i = 0; i < share; ++i) highest = std::max(highest, rows[i].step);
    // The highest step may go on behind the share, unless there is nothing else.
    last = std::min(last, rows.front().step < highest ? highest - 1 : highest);
  }
  return last;
}

// How many rows of a lane are in the batch.
size_t rows_in(const std::vector<RowPlace>& rows, size_t share, uint64_t step_last) {
  size_t count = 0;
  while (count < std::min(rows.size(), share)) {
    const uint64_t step = rows[count].step;
    // A step that no line can have is left out, whenever it comes.
    if (step > step_last && step <= formats::kStepMax) break;
    ++count;
  }
  return count;
}

// Takes away what others may still add to; the oldest of it.
int64_t hold(const std::vector<RowPlace>& rows, int64_t young_ns, bool is_alone, size_t& count) {
  size_t first = 0;
  if (is_alone) {
    // Only the newest step can be logged to again.
    for (first = count; first > 0 && rows[first - 1].step == rows[count - 1].step;) --first;
  }
  while (first < count && rows[first].time_ns <= young_ns) ++first;
  const bool is_held = first < count;
  count = first;
  return is_held ? rows[first].time_ns : -1;
}

void plan_rows(const Lanes& lanes, size_t share, bool is_running, bool is_alone, int64_t hold_ns,
               int64_t now_ns, WandbPlan& plan) {
  const uint64_t step_last = last_step(lanes, share, plan.is_full);
  for (const auto& [lane, rows] : lanes) {
    size_t count = rows_in(rows, share, step_last);
    const bool is_whole = count == rows.size();
    if (is_running && count > 0 && (!is_alone || is_whole)) {
      const int64_t held = hold(rows, now_ns - hold_ns, is_alone, count);
      const int64_t left = held + hold_ns - now_ns;
      if (held >= 0) plan.held_ns = plan.held_ns < 0 ? left : std::min(plan.held_ns, left);
    }
    if (count == 0) continue;
    plan.reach.lanes[lane] = rows[count - 1].seq + 1;
    plan.is_empty = false;
  }
}

Status plan_records(store::RunReader& reader, const store::SinkState& state, size_t rows_max,
                    WandbPlan& plan) {
  size_t count = 0;
  size_t bytes = 0;
  plan.reach.record_lsn = state.record_lsn;
  return reader.for_each_record({}, state.record_lsn, [&](const store::RecordView& view) {
    if (count >= rows_max || bytes >= kWandbConsoleBytes) {
      plan.is_full = true;
      return false;
    }
    ++count;
    bytes += view.record.isConsole() ? view.record.getConsole().getData().size() : 0;
    plan.has_facts |= !view.record.isConsole() && !view.record.isAlert();
    plan.reach.record_lsn = view.lsn + 1;
    plan.is_empty = false;
    return true;
  });
}

Status plan_stats(store::RunReader& reader, const WandbCursor& cursor, WandbPlan& plan) {
  size_t count = 0;
  plan.reach.stats_ns = cursor.stats_ns;
  return reader.for_each_stats(cursor.stats_ns, [&](const store::Stats& stats) {
    for (const int64_t time_ns : stats.times_ns) {
      if (time_ns <= plan.reach.stats_ns) continue;
      if (count++ >= kWandbSamplesMax) {
        plan.is_full = true;
        return false;
      }
      plan.reach.stats_ns = time_ns;
      plan.is_empty = false;
    }
    return true;
  });
}

// The consoles of all processes, from records to lines.
class Consoles {
 public:
  using Visitor = std::function<void(const std::string& label, const formats::ConsoleLine&)>;

  Consoles(const formats::WandbFacts& facts, bool has_ranks,
           std::map<uint32_t, WandbCursor::Console> from, uint64_t from_lsn)
      : from_(std::move(from)), from_lsn_(from_lsn) {
    for (const store::ProducerState& producer : facts.producers) {
      // `ringlog exec` around a launcher speaks for all ranks.
      if (!has_ranks || producer.worker == record::kExecWorker) continue;
      labels_[producer.producer] = "[rank" + std::to_string(producer.rank) + "] ";
    }
    first_lsn_ = from_lsn;
    for (const auto& [producer, at] : from_) first_lsn_ = std::min(first_lsn_, at.lsn);
  }

  uint64_t first_lsn() const { return first_lsn_; }

  void add(const store::RecordView& view, const Visitor& visitor) {
    const auto from = from_.find(view.producer);
    const uint64_t begin = from == from_.end() ? from_lsn_ : from->second.lsn;
    if (view.lsn < begin) return;
    Speaker& speaker =
        speakers_
            .try_emplace(
                view.producer,
                Speaker{.clean_lsn = begin, .skip = from == from_.end() ? 0 : from->second.lines})
            .first->second;
    const auto console = view.record.getConsole();
    const auto bytes = console.getData().asChars();
    const auto give = give_of(view.producer, speaker, visitor);
    speaker.lines.add({bytes.begin(), bytes.size()},
                      console.getStream() == schema::Console::Stream::STDERR,
                      view.record.getTimeNs(), give);
    speaker.bytes += bytes.size();
    // A line that never ends would be read again from its start for ever.
    if (speaker.bytes > kWandbConsoleBytes) speaker.lines.finish(give);
    if (!speaker.lines.is_clean()) return;
    speaker.clean_lsn = view.lsn + 1;
    speaker.since = speaker.bytes = 0;
  }

  void finish(const Visitor& visitor) {
    for (auto& [producer, speaker] : speakers_) {
      speaker.lines.finish(give_of(producer, speaker, visitor));
    }
  }

  // Those in the middle of a line.
  std::map<uint32_t, WandbCursor::Console> unfinished() const {
    std::map<uint32_t, WandbCursor::Console> out;
    for (const auto& [producer, speaker] : speakers_) {
      if (!speaker.lines.is_clean()) out[producer] = {speaker.clean_lsn, speaker.since};
    }
    return out;
  }

 private:
  struct Speaker {
    formats::ConsoleLines lines{0};
    uint64_t clean_lsn = 0;  // from here on nothing depends on what was before
    uint64_t since = 0;      // lines since then
    uint64_t skip = 0;       // of these, that are sent
    size_t bytes = 0;        // since then
  };

  formats::ConsoleLines::Visitor give_of(uint32_t producer, Speaker& speaker,
                                         const Visitor& visitor) {
    return [this, producer, &speaker, &visitor](const formats::ConsoleLine& line) {
      ++speaker.since;
      if (speaker.skip > 0) {
        --speaker.skip;
        return;
      }
      visitor(labels_[producer], line);
    };
  }

  const std::map<uint32_t, WandbCursor::Console> from_;
  const uint64_t from_lsn_;
  uint64_t first_lsn_ = 0;
  std::map<uint32_t, std::string> labels_;
  std::map<uint32_t, Speaker> speakers_;
};

Status read_rows(store::RunReader& reader, const store::SinkState& state,
                 const formats::WandbFacts& facts, const WandbReach& reach, WandbBatch& batch) {
  formats::StepRows merged(reach.has_ranks);
  Status added = Done{};
  const store::RowFilter filter{.from = state.lanes, .to = reach.lanes};
  auto visited = reader.for_each_row(filter, [&](const store::RowView& row) {
    ++batch.rows;
    if (row.step() > formats::kStepMax) {
      ++batch.left_out;
    } else {
      added = merged.add(row);
    }
    return static_cast<bool>(added);
  });
  if (!added) return added;
  if (!visited) return visited.take_error();
  for (const auto& [step, row] : merged.rows()) {
    std::string line =
        formats::json_of(formats::history_items(row, merged.columns(), facts.meta.created_ns));
    if (line.size() > kWandbLineBytesMax) {
      ++batch.left_out;
      continue;
    }
    batch.history.push_back(std::move(line));
    batch.after.step = step;
    batch.after.time_ns = std::max(batch.after.time_ns, row.time_ns);
  }
  return Done{};
}

Status read_records(store::RunReader& reader, const store::SinkState& state,
                    const WandbCursor& cursor, const formats::WandbFacts& facts,
                    const WandbReach& reach, WandbBatch& batch) {
  Consoles consoles(facts, reach.has_ranks, cursor.consoles, state.record_lsn);
  const auto write = [&](const std::string& label, const formats::ConsoleLine& line) {
    batch.output.push_back((line.is_stderr ? "ERROR " : "") + formats::utc_text(line.time_ns) +
                           " " + label + line.text);
  };
  Status read =
      reader.for_each_record({}, consoles.first_lsn(), [&](const store::RecordView& view) {
        if (view.lsn >= reach.record_lsn) return false;
        batch.records += view.lsn >= state.record_lsn ? 1 : 0;
        if (view.record.isConsole()) consoles.add(view, write);
        return true;
      });
  if (!read) return read;
  if (reach.ends_consoles) consoles.finish(write);
  batch.after.consoles = consoles.unfinished();
  return Done{};
}

Status read_stats(store::RunReader& reader, const WandbCursor& cursor,
                  const formats::WandbFacts& facts, const WandbReach& reach, WandbBatch& batch) {
  int64_t last_ns = cursor.stats_ns;
  return reader.for_each_stats(cursor.stats_ns, [&](const store::Stats& stats) {
    for (size_t i = 0; i < stats.samples(); ++i) {
      const int64_t time_ns = stats.times_ns[i];
      if (time_ns > reach.stats_ns) return false;
      if (time_ns <= last_ns) continue;
      last_ns = time_ns;
      batch.events.push_back(
          formats::event_json(stats.names, stats.sample(i), time_ns, facts.meta.created_ns));
    }
    return true;
  });
}

}  // namespace

Result<WandbPlan> plan_batch(store::RunReader& reader, const store::SinkState& state,
                             const WandbCursor& cursor, const formats::WandbFacts& facts,
                             size_t rows_max, int64_t now_ns) {
  WandbPlan plan;
  const bool is_running = facts.is_running({});
  const auto [logged, started] = count_ranks(facts);
  const bool is_waiting = cursor.history == 0 && logged < started;
  plan.reach.has_ranks = cursor.has_ranks || logged > 1;
  Lanes lanes;
  size_t share = 0;
  auto ends = reader.ends();
  if (!ends) return ends.take_error();
  if (Status s = read_places(reader, state, rows_max, ends->size(), lanes, share); !s) {
    return s.take_error();
  }
  plan_rows(lanes, share, is_running, count_open(*ends, facts) <= 1 && !is_waiting,
            is_waiting ? kWandbRanksWaitNs : kWandbHoldNs, now_ns, plan);
  if (Status s = plan_records(reader, state, rows_max, plan); !s) return s.take_error();
  if (Status s = plan_stats(reader, cursor, plan); !s) return s.take_error();
  plan.reach.ends_consoles = !is_running && !plan.is_full;
  if (plan.reach.ends_consoles && !cursor.consoles.empty()) plan.is_empty = false;
  return plan;
}

Result<WandbBatch> read_batch(store::RunReader& reader, const store::SinkState& state,
                              const WandbCursor& cursor, const formats::WandbFacts& facts,
                              const WandbReach& reach) {
  WandbBatch batch;
  batch.after = cursor;
  batch.after.reach.reset();
  if (Status s = read_rows(reader, state, facts, reach, batch); !s) return s.take_error();
  if (Status s = read_records(reader, state, cursor, facts, reach, batch); !s) {
    return s.take_error();
  }
  if (Status s = read_stats(reader, cursor, facts, reach, batch); !s) return s.take_error();
  batch.after.history += batch.history.size();
  batch.after.events += batch.events.size();
  batch.after.output += batch.output.size();
  batch.after.stats_ns = reach.stats_ns;
  batch.after.has_ranks = reach.has_ranks;
  return batch;
}

Result<std::string> read_console(store::RunReader& reader, const formats::WandbFacts& facts,
                                 bool has_ranks, size_t size_max) {
  Consoles consoles(facts, has_ranks, {}, 0);
  std::string text;
  const auto write = [&](const std::string& label, const formats::ConsoleLine& line) {
    if (text.size() < size_max) text += label + line.text + '\n';
  };
  constexpr auto kConsole = static_cast<uint16_t>(schema::Record::CONSOLE);
  Status read = reader.for_each_record(kConsole, 0, [&](const store::RecordView& view) {
    consoles.add(view, write);
    return text.size() < size_max;
  });
  if (!read) return read.take_error();
  consoles.finish(write);
  return text;
}

}  // namespace ringlog::service
