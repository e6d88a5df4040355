// verify: the loss ledger of a run, from reading every sequence number in its store.

#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "cli/commands.h"
#include "cli/format.h"
#include "cli/processes.h"
#include "cli/table.h"
#include "client/run_core.h"

namespace ringlog::cli {

namespace {

struct Totals {
  uint64_t attempted = 0;
  uint64_t stored = 0;
  uint64_t dropped = 0;
  uint64_t missing = 0;
  uint64_t duplicated = 0;
  std::vector<std::string> poisoned;  // rings that are not read any more, a line each
  std::vector<std::string> unread;    // why what processes committed last is not known, likewise
  std::vector<std::string> lost_records;  // that are no rows, likewise; no failure
  bool is_ok() const {
    return missing == 0 && duplicated == 0 && poisoned.empty() && unread.empty();
  }
};

Totals total_of(const std::vector<LedgerEntry>& ledger) {
  Totals totals;
  std::vector<ProcessDescription> processes;
  for (const LedgerEntry& entry : ledger) {
    totals.attempted += entry.attempted;
    totals.stored += entry.stored;
    totals.dropped += entry.dropped;
    totals.missing += entry.missing;
    totals.duplicated += entry.duplicated;
    for (std::string& note : poison_notes(entry.process)) {
      totals.poisoned.push_back(std::move(note));
    }
    processes.push_back(entry.process);
  }
  totals.unread = unread_notes(processes);
  totals.lost_records = lost_record_notes(processes);
  return totals;
}

// Without `ringlog exec`, which keeps output and never logs a row.
std::vector<LedgerEntry> rows_ledger(std::vector<LedgerEntry> ledger) {
  std::erase_if(ledger, [](const LedgerEntry& entry) {
    return entry.process.worker == client::kExecWorker && entry.attempted == 0 && entry.ok() &&
           entry.process.lost_records == 0;
  });
  return ledger;
}

Json document_of_ledger(const RunDescription& about, const std::vector<std::string>& damage,
                        const std::vector<LedgerEntry>& ledger, bool is_ok) {
  Json producers = Json::array();
  for (const LedgerEntry& entry : ledger) {
    producers.push_back({{"rank", entry.process.rank},
                         {"attempt", entry.process.attempt},
                         {"worker", entry.process.worker},
                         {"pid", entry.process.pid},
                         {"attempted", entry.attempted},
                         {"stored", entry.stored},
                         {"dropped", entry.dropped},
                         {"missing", entry.missing},
                         {"duplicated", entry.duplicated},
                         {"state", entry.process.state},
                         {"poisoned", poison_notes(entry.process)},
                         {"unread", entry.process.unread},
                         {"lost_records", entry.process.lost_records}});
  }
  return {{"run", about.id},
          {"ok", is_ok},
          {"behind", about.is_behind},
          {"producers", std::move(producers)},
          {"damage", damage}};
}

Table::Cell count_cell(uint64_t count, Ink ink_if_any) {
  return {format_count(count), count == 0 ? Ink::kPlain : ink_if_any};
}

std::string table_of_ledger(const std::vector<LedgerEntry>& ledger, const Style& style) {
  constexpr auto kRight = Table::Align::kRight;
  Table table({{"RANK"},
               {"ATTEMPT", kRight},
               {"PID", kRight},
               {"STATE"},
               {"ATTEMPTED", kRight},
               {"STORED", kRight},
               {"DROPPED", kRight},
               {"MISSING", kRight},
               {"DOUBLE", kRight}});
  for (const LedgerEntry& entry : ledger) {
    table.add({{process_label(entry.process)},
               {std::to_string(entry.process.attempt)},
               {std::to_string(entry.process.pid)},
               {printable(entry.process.state), state_ink(entry.process.state)},
               {format_count(entry.attempted)},
               {format_count(entry.stored)},
               count_cell(entry.dropped, Ink::kYellow),
               count_cell(entry.missing, Ink::kRed),
               count_cell(entry.duplicated, Ink::kRed)});
  }
  return table.render(style);
}

std::string verdict_of(const Totals& totals, bool is_ok, const Style& style) {
  const std::string counts =
      fmt::format("{} attempted, {} stored, {} dropped", format_plural(totals.attempted, "row"),
                  format_count(totals.stored), format_count(totals.dropped));
  if (is_ok) {
    return fmt::format("{}: {}, none missing, none double\n", paint(style, Ink::kGreen, "ok"),
                       counts);
  }
  std::string text =
      fmt::format("{}: {}, {} missing, {} double\n", paint(style, Ink::kRed, "NOT OK"), counts,
                  format_count(totals.missing), format_count(totals.duplicated));
  for (const std::string& note : totals.poisoned) text += note + "; its later rows are lost\n";
  for (const std::string& note : totals.unread) text += note + "\n";
  return text;
}

}  // namespace

int run_verify(Context& context, const VerifyOptions& options) {
  auto run = open_run(context, options.run);
  if (!run) return fail(run.error());
  auto about = run->description();
  if (!about) return fail(about.error());
  auto entries = run->ledger();
  if (!entries) return fail(entries.error());
  const std::vector<LedgerEntry> ledger = rows_ledger(*std::move(entries));
  const Totals totals = total_of(ledger);
  // What is lost may have told of rows that nobody misses now.
  const bool is_ok = totals.is_ok() && run->damage().empty();
  if (context.is_json) {
    print_json(context, document_of_ledger(*about, run->damage(), ledger, is_ok));
  } else {
    context.out.write(table_of_ledger(ledger, context.style));
    context.out.write(verdict_of(totals, is_ok, context.style));
    for (const std::string& note : totals.lost_records) context.out.write(note + "\n");
    if (about->is_behind) {
      context.out.write(
          "the service did not answer in time: what was committed last is not counted\n");
    }
    if (!run->damage().empty()) {
      context.out.write(
          "damaged: what the store told of other rows may be lost with them; ringlog "
          "doctor says what cannot be read\n");
    }
  }
  return is_ok ? kExitOk : kExitFailed;
}

}  // namespace ringlog::cli
