#include <fmt/format.h>

#include <filesystem>

#include "cli/doctor.h"
#include "cli/format.h"
#include "cli/producers.h"

namespace ringlog::cli {

namespace {

namespace fs = std::filesystem;

// Bytes of broken rings that the service kept aside, in files of the run's folder.
void check_quarantine(const std::string& dir, Findings& findings) {
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(dir + "/files", error)) {
    if (!entry.path().filename().string().starts_with("quarantine-")) continue;
    findings.push_back({Health::kWarn, "kept aside", entry.path().string(),
                        "bytes of a ring that was no longer read; send them with your report"});
  }
}

void check_producers(store::RunReader& reader, Findings& findings) {
  const auto producers = reader.producers();
  if (!producers) {
    findings.push_back({Health::kFail, "ranks", producers.error().message, "ringlog verify"});
    return;
  }
  uint64_t missing = 0;
  bool is_poisoned = false;
  for (const store::ProducerState& producer : *producers) {
    for (const store::RingState& ring : producer.rings) missing += ring.missing;
    for (const std::string& note : poison_notes(producer)) {
      is_poisoned = true;
      findings.push_back({Health::kFail, "rings", note,
                          "the process wrote over its ring, or its file was cut; rows after that "
                          "place are lost and counted"});
    }
  }
  if (!is_poisoned) findings.push_back({Health::kOk, "rings", "all were read to their end", ""});
  if (missing == 0) {
    findings.push_back({Health::kOk, "rows", "no gap was seen", ""});
  } else {
    findings.push_back({Health::kFail, "rows", format_plural(missing, "row") + " missing",
                        "ringlog verify tells which ranks lost them"});
  }
}

void check_store(const OpenRun& run, Findings& findings) {
  const std::vector<std::string>& damage = run.reader->damage();
  for (const std::string& line : damage) {
    const bool is_last = &line == &damage.back();
    findings.push_back({Health::kFail, "store", line,
                        is_last ? "what can be read is shown; the next program that logs to the "
                                  "run mends the store, without what is lost"
                                : ""});
  }
  if (damage.empty()) findings.push_back({Health::kOk, "store", "opens, nothing is damaged", ""});
  const auto rows = run.reader->row_count();
  if (!rows) {
    findings.push_back({Health::kFail, "chunks", rows.error().message, "ringlog verify"});
    return;
  }
  findings.push_back({Health::kOk, "chunks", format_plural(*rows, "row"), ""});
}

void check_state(const OpenRun& run, Findings& findings) {
  const auto meta = run.reader->meta();
  if (!meta) {
    findings.push_back({Health::kFail, "description", meta.error().message,
                        "the run was never started, or its first batch is damaged"});
    return;
  }
  const std::string text =
      printable(meta->state) + (run.is_live ? ", the service has it open" : "");
  if (meta->state != "running" || run.is_live) {
    findings.push_back({Health::kOk, "state", text, ""});
    return;
  }
  findings.push_back({Health::kWarn, "state", text + ", but no service has it open",
                      "ringlog service start stores what its processes left and finds out how they "
                      "ended"});
}

}  // namespace

void check_run(const Context& context, const std::string& name, Findings& findings) {
  auto run = open_run(context, name);
  if (!run) {
    const bool is_there = run.error().code != Code::kNotFound;
    findings.push_back(
        {Health::kFail, "store", run.error().message,
         is_there ? "restore it from a copy, or ringlog rm it" : "ringlog ls lists the runs"});
    return;
  }
  findings.push_back({Health::kOk, "run", run->place.run_id + " in " + run->place.dir, ""});
  check_locks(run->place.dir, findings);
  check_store(*run, findings);
  check_state(*run, findings);
  check_producers(*run->reader, findings);
  check_quarantine(run->place.dir, findings);
}

}  // namespace ringlog::cli
