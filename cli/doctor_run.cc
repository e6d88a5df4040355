#include <fmt/format.h>

#include <filesystem>

#include "cli/doctor.h"
#include "cli/format.h"
#include "cli/processes.h"

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

void check_processes(RunReader& run, Findings& findings) {
  const auto processes = run.processes();
  if (!processes) {
    findings.push_back({Health::kFail, "ranks", processes.error().message, "ringlog verify"});
    return;
  }
  uint64_t missing = 0;
  bool is_whole = true;
  for (const ProcessDescription& process : *processes) {
    missing += process.missing;
    for (const std::string& note : poison_notes(process)) {
      is_whole = false;
      findings.push_back({Health::kFail, "rings", note,
                          "the process wrote over its ring, or its file was cut; rows after that "
                          "place are lost and counted"});
    }
  }
  for (const std::string& note : unread_end_notes(*processes)) {
    is_whole = false;
    findings.push_back({Health::kFail, "rings", note,
                        "shared memory goes with the machine or the container; how many rows went "
                        "with it is not known"});
  }
  // Of those that run, the finding about the service tells.
  if (!unread_notes(*processes).empty()) is_whole = false;
  if (is_whole) findings.push_back({Health::kOk, "rings", "all were read to their end", ""});
  if (missing == 0) {
    findings.push_back({Health::kOk, "rows", "no gap was seen", ""});
  } else {
    findings.push_back({Health::kFail, "rows", format_plural(missing, "row") + " missing",
                        "ringlog verify tells which ranks lost them"});
  }
}

void check_store(RunReader& run, Findings& findings) {
  const std::vector<std::string>& damage = run.damage();
  for (const std::string& line : damage) {
    const bool is_last = &line == &damage.back();
    findings.push_back({Health::kFail, "store", line,
                        is_last ? "what can be read is shown; the next program that logs to the "
                                  "run mends the store, without what is lost"
                                : ""});
  }
  if (damage.empty()) findings.push_back({Health::kOk, "store", "opens, nothing is damaged", ""});
  const auto rows = run.row_count();
  if (!rows) {
    findings.push_back({Health::kFail, "chunks", rows.error().message, "ringlog verify"});
    return;
  }
  findings.push_back({Health::kOk, "chunks", format_plural(*rows, "row"), ""});
}

void check_state(const RunDescription& about, Findings& findings) {
  if (about.state.empty()) {
    findings.push_back({Health::kFail, "description", "there is none",
                        "the run was never started, or its first batch is damaged"});
    return;
  }
  const std::string text =
      printable(about.state) + (about.is_live ? ", the service has it open" : "");
  if (about.state != "running" || about.is_live) {
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
  auto about = run->description();
  if (!about) {
    findings.push_back({Health::kFail, "description", about.error().message,
                        "its first batch is damaged; restore it from a copy"});
    return;
  }
  findings.push_back({Health::kOk, "run", about->id + " in " + about->dir, ""});
  check_locks(about->dir, findings);
  check_store(*run, findings);
  check_state(*about, findings);
  check_processes(*run, findings);
  check_quarantine(about->dir, findings);
}

}  // namespace ringlog::cli
