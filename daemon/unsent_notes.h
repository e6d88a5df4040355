#pragma once
// UnsentNotes: which runs have sinks that may be behind, for the next service.
//
// A run that has ended has no segment, so nothing in the runtime directory tells of it, and that
// is gone with the machine anyway.  So a file says it for each run, from before its first row can
// be sent until all its sinks have everything: the run's directory and the URLs, which never hold
// a password.  How far each sink is stands in the run's store.
//
//   $XDG_STATE_HOME or ~/.local/state
//     ringlog/unsent-<hash>/      of the machine's name and the user's runtime directory
//       <hash of the run>.json    {"dir": "/runs/demo/r1", "sinks": ["clickhouse+http://…"],
//                                  "service": its own runtime directory}
//
// The services inside programs share the folder with the one that is not; what one of them has
// noted is its own business while its program runs.
//
// Safe from any thread; blocks for the disk.

#include <ringlog/result.h>

#include <string>
#include <vector>

namespace ringlog::service {

// A run with sinks that may not have everything.
struct UnsentRun {
  std::string dir;
  std::vector<std::string> sinks;  // without credentials
  std::string service{};           // read(): who noted it
};

class UnsentNotes {
 public:
  // The folder need not exist.  Empty: nothing is kept.  `service` is the runtime directory of the
  // service that writes.
  UnsentNotes(std::string folder, std::string service)
      : folder_(std::move(folder)), service_(std::move(service)) {}

  // What this service and those that are gone noted.  One that cannot be read is logged and left
  // alone.
  std::vector<UnsentRun> read() const;
  // On the disk when it returns; a note that says the same already stays as it is.
  //   kIo, kPermission  it cannot be written
  Status write(const UnsentRun& run) const;
  void remove(const std::string& dir) const;

 private:
  std::string path_of(const std::string& dir) const;
  bool is_anothers(const std::string& service) const;

  const std::string folder_;
  const std::string service_;
};

// The folder of all services whose in-process directories are in one folder
// (RuntimeDir::in_process); empty: the environment names no home.
std::string unsent_folder(const std::string& in_process);

}  // namespace ringlog::service
