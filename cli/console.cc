#include "cli/console.h"

#include <fmt/format.h>

#include <algorithm>
#include <deque>
#include <iterator>
#include <utility>

#include "client/run_core.h"
#include "store/row_json.h"

namespace ringlog::cli {

namespace {

// Lines that are put in order of time together; bounds the memory of an export.
constexpr size_t kBatchLinesMax = 65536;
// Bytes of a process's newest output that hold its last lines, unless these are very long.
constexpr size_t kTailSizeMax = size_t{64} << 10;
constexpr auto kConsoleRecord = static_cast<uint16_t>(schema::Record::CONSOLE);

void sort_by_time(std::vector<ConsoleEntry>& entries) {
  std::stable_sort(entries.begin(), entries.end(),
                   [](const auto& a, const auto& b) { return a.line.time_ns < b.line.time_ns; });
}

void keep_newest(std::vector<ConsoleEntry>& entries, size_t count) {
  sort_by_time(entries);
  if (entries.size() > count) {
    entries.erase(entries.begin(), entries.end() - static_cast<std::ptrdiff_t>(count));
  }
}

std::string_view data_of(schema::Console::Reader console) {
  const auto chars = console.getData().asChars();
  return {chars.begin(), chars.size()};
}

bool is_stderr(schema::Console::Reader console) {
  return console.getStream() == schema::Console::Stream::STDERR;
}

// The newest output of one process, cut at a line's beginning.
struct RecentOutput {
  struct Piece {
    std::string bytes;
    bool is_stderr;
    int64_t time_ns;
  };
  std::deque<Piece> pieces;
  size_t size = 0;
  bool is_cut = false;

  void add(Piece piece) {
    size += piece.bytes.size();
    pieces.push_back(std::move(piece));
    while (size - pieces.front().bytes.size() > kTailSizeMax) {
      size -= pieces.front().bytes.size();
      pieces.pop_front();
      is_cut = true;
    }
  }
  // What is left of a line whose beginning is gone would be told as a line.
  void drop_half_lines() {
    if (!is_cut) return;
    for (const bool stream : {false, true}) {
      for (Piece& piece : pieces) {
        if (piece.is_stderr != stream) continue;
        const size_t end = piece.bytes.find('\n');
        piece.bytes.erase(0, end == std::string::npos ? end : end + 1);
        if (end != std::string::npos) break;
      }
    }
  }
};

}  // namespace

Result<Console::Speaker*> Console::find_speaker(uint32_t producer) {
  const auto known = speakers_.find(producer);
  if (known != speakers_.end()) return &known->second;
  auto producers = reader_.producers();
  if (!producers) return producers.take_error();
  ConsoleEntry who;
  for (const store::ProducerState& p : *producers) {
    if (p.producer == producer) who = {p.rank, p.attempt, p.worker, {}};
  }
  const bool is_wanted =
      ranks_.empty() || std::find(ranks_.begin(), ranks_.end(), who.rank) != ranks_.end();
  return &speakers_
              .try_emplace(producer, Speaker{who, is_wanted, formats::ConsoleLines(held_lines_)})
              .first->second;
}

Status Console::read(const Visitor& visitor) {
  Status found = Done{};
  Status read = reader_.for_each_record(kConsoleRecord, next_lsn_, [&](const auto& view) {
    next_lsn_ = view.lsn + 1;
    auto speaker = find_speaker(view.producer);
    if (!speaker) {
      found = speaker.take_error();
      return false;
    }
    if (!(*speaker)->is_wanted) return true;
    const auto console = view.record.getConsole();
    (*speaker)->lines.add(data_of(console), is_stderr(console), view.record.getTimeNs(),
                          [&](formats::ConsoleLine line) {
                            ConsoleEntry entry = (*speaker)->who;
                            entry.line = std::move(line);
                            visitor(std::move(entry));
                          });
    return true;
  });
  return found ? read : found;
}

Status Console::find_speakers() {
  Status found = Done{};
  Status read = reader_.for_each_record(kConsoleRecord, next_lsn_, [&](const auto& view) {
    if (auto speaker = find_speaker(view.producer); !speaker) found = speaker.take_error();
    return static_cast<bool>(found);
  });
  return found ? read : found;
}

void Console::finish(const Visitor& visitor) {
  std::vector<ConsoleEntry> rest;
  for (auto& [producer, speaker] : speakers_) {
    speaker.lines.finish([&, &who = speaker.who](formats::ConsoleLine line) {
      rest.push_back(who);
      rest.back().line = std::move(line);
    });
  }
  sort_by_time(rest);
  for (ConsoleEntry& entry : rest) visitor(std::move(entry));
}

Result<std::vector<ConsoleEntry>> Console::read_last(size_t count, bool is_whole) {
  std::vector<ConsoleEntry> entries;
  const auto take = [&](ConsoleEntry entry) {
    entries.push_back(std::move(entry));
    if (entries.size() >= count + kBatchLinesMax) keep_newest(entries, count);
  };
  if (Status s = read(take); !s) return s.take_error();
  if (is_whole) finish(take);
  keep_newest(entries, count);
  return entries;
}

std::string Console::label(const ConsoleEntry& entry) const {
  const auto speaking = std::count_if(speakers_.begin(), speakers_.end(),
                                      [](const auto& known) { return known.second.is_wanted; });
  if (speaking < 2) return "";
  if (entry.worker == 0 || entry.worker == client::kExecWorker) {
    return fmt::format("[rank{}] ", entry.rank);
  }
  return fmt::format("[rank{} w{}] ", entry.rank, entry.worker);
}

Result<std::vector<ConsoleEntry>> last_console_lines(store::RunReader& reader, size_t count) {
  std::map<uint32_t, RecentOutput> outputs;
  Status read = reader.for_each_record(kConsoleRecord, 0, [&](const store::RecordView& view) {
    const auto console = view.record.getConsole();
    outputs[view.producer].add(
        {std::string(data_of(console)), is_stderr(console), view.record.getTimeNs()});
    return true;
  });
  if (!read) return read.take_error();
  auto producers = reader.producers();
  if (!producers) return producers.take_error();
  std::vector<ConsoleEntry> entries;
  for (auto& [producer, output] : outputs) {
    ConsoleEntry who;
    for (const store::ProducerState& p : *producers) {
      if (p.producer == producer) who = {p.rank, p.attempt, p.worker, {}};
    }
    const auto take = [&](formats::ConsoleLine line) {
      entries.push_back(who);
      entries.back().line = std::move(line);
    };
    output.drop_half_lines();
    formats::ConsoleLines lines(formats::kConsoleHeldLines);
    for (const auto& piece : output.pieces) {
      lines.add(piece.bytes, piece.is_stderr, piece.time_ns, take);
    }
    lines.finish(take);
  }
  keep_newest(entries, count);
  return entries;
}

Json json_of(const ConsoleEntry& entry) {
  Json json = {{"rank", entry.rank}, {"attempt", entry.attempt}, {"worker", entry.worker}};
  json["time"] = json_seconds(entry.line.time_ns);
  json["stream"] = entry.line.is_stderr ? "stderr" : "stdout";
  json["text"] = entry.line.text;
  return json;
}

Result<uint64_t> write_console(store::RunReader& reader, std::vector<int32_t> ranks, bool is_json,
                               Output& out) {
  Console console(reader, std::move(ranks), formats::kConsoleHeldLines);
  uint64_t count = 0;
  std::vector<ConsoleEntry> batch;
  const auto flush = [&] {
    sort_by_time(batch);
    for (const ConsoleEntry& entry : batch) {
      out.write(is_json ? json_line(json_of(entry))
                        : console.label(entry) + entry.line.text + "\n");
      out.spill();
    }
    count += batch.size();
    batch.clear();
  };
  const auto take = [&](ConsoleEntry entry) {
    batch.push_back(std::move(entry));
    if (batch.size() >= kBatchLinesMax) flush();
  };
  if (Status s = console.find_speakers(); !s) return s.take_error();
  if (Status s = console.read(take); !s) return s.take_error();
  console.finish(take);
  flush();
  return count;
}

}  // namespace ringlog::cli
