#pragma once
// A service for the benchmarks, apart from the user's own: its runtime directory, its root of runs,
// its process.
//
// Belongs to one thread.  Everything is removed and ended by the destructors.

#include "bench/common.h"

#include <sys/types.h>

#include <memory>
#include <string>

namespace ringlog::bench {

struct Folders {
  std::string disk;           // where runs are stored: --folder, or the usual place
  std::string shared_memory;  // where the runtime directory is made: --shm, or /dev/shm
};
Folders folders_of(const Arguments& arguments);

// Folders and environment without the service: whoever calls ringlog::init() first starts one.
class Place {
 public:
  // Changes this process's environment so that it and its children use the place.
  explicit Place(const Folders& folders);
  // Ends the service that a client may have started here.
  ~Place();
  Place(const Place&) = delete;
  Place& operator=(const Place&) = delete;

  const std::string& runtime_dir() const { return runtime_.path(); }
  const std::string& root() const { return root_.path(); }
  // The service of this place that a client started, or -1.
  pid_t find_service() const;
  // Ends it and waits.
  void end_service() const;

 private:
  TempFolder runtime_;
  TempFolder root_;
};

// A service started here, as a child.
class Service {
 public:
  explicit Service(const Place& place);
  // Lets it store what it has, then ends it; not one that was killed.
  ~Service();
  Service(const Service&) = delete;
  Service& operator=(const Service&) = delete;
  pid_t pid() const { return process_->pid(); }
  // SIGKILL, and waits until it is gone.
  void kill();

 private:
  std::unique_ptr<Child> process_;  // nullptr: killed
};

// Waits until a service has put all its runs away: they are closed three seconds after their last
// process ended.
void wait_until_closed(pid_t service, const std::string& root);

// Bytes that a process made the file system write so far: what it dirtied, page by page, also of
// files that are gone.  0 where the file system is in memory.
uint64_t disk_bytes_written(pid_t pid);

// Bytes of all files below a folder, as the disk holds them.
uint64_t disk_bytes(const std::string& folder);

}  // namespace ringlog::bench
