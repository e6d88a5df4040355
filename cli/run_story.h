#pragma once
// RunStory: everything that `show` tells of a run, read once, for the page and for programs.
//
// Plain functions of their arguments; one thread.  Asks the services of this user whether they have
// the run open, and waits half a second at most for the answer.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "cli/alerts_view.h"
#include "cli/commands.h"
#include "cli/console.h"
#include "cli/files_view.h"
#include "cli/metrics_view.h"
#include "cli/processes.h"
#include "cli/service.h"
#include "cli/surroundings.h"
#include "cli/system_view.h"

namespace ringlog::cli {

// Everything that is shown, read once.
struct RunStory {
  RunDescription about;
  std::vector<ProcessDescription> processes;
  Tree config;
  Tree summary;
  std::vector<store::Metric> metrics;
  store::MetricRules rules;
  store::AggregatesByPath aggregates;
  store::Stats stats;                 // the last ones
  std::vector<ConsoleEntry> console;  // the last lines
  std::vector<ProcessEntry> surroundings;
  std::vector<FileEntry> files;
  Alerts alerts;
  uint64_t rows = 0;
  std::vector<LiveSink> live_sinks;
  std::vector<std::string> notes;
};

// A part that cannot be read becomes a note.
RunStory read_story(RunReader& run, RunDescription about, const ShowOptions& options);

// Of a run that goes on: until now.  Nanoseconds.
int64_t duration_ns(const RunDescription& about);

// A sink as the store knows it, while no service sends to it.
struct StoredSink {
  std::string url;
  std::string state;
  uint64_t sent = 0;
  uint64_t lag = 0;
  std::string error;
};

// The sinks as the store knows them; nothing while the service knows more.
std::vector<StoredSink> stored_sinks(const RunStory& story);

// The document of `show --json`.
Json document_of(const RunStory& story);

}  // namespace ringlog::cli
