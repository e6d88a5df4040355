#pragma once
// Settings: everything init() can be told.
//
// Lowest to highest: the defaults here, $XDG_CONFIG_HOME/ringlog/settings.toml, RINGLOG_*
// variables, the fields the program sets.  A field and its variable share a name: `project`,
// RINGLOG_PROJECT. A field left at its default counts as not set.  A value that cannot be used is
// an error of init() that names the layer, the field and what is allowed.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace ringlog {

// How safe a row is; each level includes the ones before it.  docs/durability.md.
enum class Durability : uint8_t {
  kCommitted = 0,  // in shared memory: survives the death of this process
  kStored = 1,     // in the store: survives the death of the service
  kSynced = 2,     // fsync returned: survives a power cut
  kSent = 3,       // every sink acknowledged it
};

// What log() does when its ring is full.
enum class FullRing : uint8_t {
  kWait = 0,      // wait at most full_ring_wait_ms for room, then drop the newest row, counted
  kDrop = 1,      // drop the newest row at once, counted
  kCoalesce = 2,  // drop at once, but when room returns log the last value of each dropped key
};

struct Settings {
  std::string project{};             // folder of the run under `dir`; default "uncategorized"
  std::string run_id{};              // joins the run of that id; default: the launcher's, else new
  std::string name{};                // for people; default: the run id
  std::string group{};               // runs that belong together
  std::vector<std::string> tags{};   // RINGLOG_TAGS: separated by commas
  std::string notes{};               // free text
  std::string dir{};                 // root of stored runs; default ./ringlog
  std::string mode{};                // online (default) | offline | disabled
  std::optional<int32_t> rank{};     // default: the launcher's; else the lowest one not in use
  std::optional<int32_t> attempt{};  // default: the launcher's; else counted by the service
  uint64_t ring_bytes = 0;           // first ring of a process; power of two; default 1 MiB
  std::optional<FullRing> full_ring{};         // default wait
  std::optional<int64_t> full_ring_wait_ms{};  // default 1000
  std::optional<Durability> durability{};      // stored | synced: commit with fsync; default stored
  std::string console{};                       // auto (default) | off | quiet: lines on stderr
  std::optional<bool> strict{};                // init() throws instead of disabling the run
  std::vector<std::string> sinks{};            // URLs; RINGLOG_SINKS: separated by commas
  std::string monitor{};  // samples of the machine: off, or seconds between them; default 1
  // What is kept of what surrounds the process (command line, git, container…): on (default) |
  // no-diff: without the diff of the git work tree | off.
  std::string surroundings{};
  // The service runs on threads of this process instead of a process of its own: for tests and
  // sandboxes.  Default false.
  std::optional<bool> in_process{};
};

}  // namespace ringlog
