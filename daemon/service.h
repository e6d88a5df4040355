#pragma once
// Service: the object graph of ringlogd and its seven threads.  LevelDB has one more, and while a
// run is open the monitor has its own (monitor/monitor.h).
//
//   auto service = Service::start(place, {});
//   (*service)->run();   // until SIGTERM, a teardown or nothing to do
//
// The thread that starts it becomes the control thread and must run and destroy it.  SIGTERM is
// blocked for all threads made afterwards, unless it is a guest.

#include "daemon/backlog.h"
#include "daemon/clock.h"
#include "daemon/control_loop.h"
#include "daemon/drain.h"
#include "daemon/large_replies.h"
#include "daemon/limits.h"
#include "daemon/monitor/monitor.h"
#include "daemon/network.h"
#include "daemon/opener.h"
#include "daemon/recovery.h"
#include "daemon/runtime_dir.h"
#include "daemon/server.h"
#include "daemon/stream_mux.h"
#include "daemon/tidier.h"
#include "daemon/unsent_notes.h"
#include "daemon/writer.h"
#include "shm/segment.h"

#include <ringlog/result.h>

#include <cstdint>
#include <memory>
#include <thread>

namespace ringlog::service {

struct ServiceConfig {
  int64_t idle_exit_ms = -1;  // exit after this long with nothing to do; negative: never
  bool is_guest = false;      // in a program's process (guest.h): its signals are left alone
  MonitorPlaces monitor{};    // where the machine is looked at
  // For ended runs whose sinks take nothing it stays this long all the same.
  int64_t unsent_stay_ms = kUnsentStayMs;
};

class Service {
 public:
  // Maps the doorbell, starts the threads, takes over the segments of an earlier service and
  // listens.  `place` must outlive the service.
  //   kIo, kPermission, kCorrupt  what of that does not work
  static Result<std::unique_ptr<Service>> start(const RuntimeDir& place,
                                                const ServiceConfig& config);
  // Ends the threads.
  ~Service();
  Service(const Service&) = delete;
  Service& operator=(const Service&) = delete;

  // Serves; returns when the service is to end and everything committed is stored, or its time for
  // that is up.
  void run();
  // Stores what is committed, then ends run().  Any thread.
  void stop();

 private:
  Service(const RuntimeDir& place, const ServiceConfig& config,
          std::unique_ptr<shm::Doorbell> doorbell);
  Status start_threads();
  void end_threads();
  Status listen();
  void adopt(FoundSegments found);
  void look_again();
  void look_for_leftovers();

  const RuntimeDir& place_;
  const bool is_guest_;
  const SystemClock clock_;
  const std::unique_ptr<shm::Doorbell> doorbell_;
  ControlLoop loop_;
  LargeReplies large_;
  Network network_;
  FileKeeper files_;
  Drain drain_;
  Writer writer_;
  Opener opener_;
  Tidier tidier_;
  DiffKeeper diffs_;
  Monitor monitor_;
  const UnsentNotes notes_;
  Backlog backlog_;
  StreamMux mux_;
  Server server_;
  bool is_looking_again_ = false;  // for segments that could not be read; control thread

  std::jthread network_thread_;
  std::jthread open_thread_;
  std::jthread tidy_thread_;
  std::jthread files_thread_;
  std::jthread store_thread_;
  std::jthread drain_thread_;
};

}  // namespace ringlog::service
