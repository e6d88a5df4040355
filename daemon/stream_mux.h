#pragma once
// StreamMux: the runs that the service has open, and the processes attached to them.
//
// Turns control requests into work of the other threads and their results into replies.  Opens a
// run's stream when somebody asks for it and closes it when nobody is attached and everything is
// sent, or cannot be sent now: then it is opened again in its turn (backlog.h).  Watches the
// processes and ends their producers.
//
// Belongs to the control thread; nothing here blocks: what touches a disk is done by the opener's
// and the store thread.  Replies are given by callback on the control thread, maybe before the call
// returns.

#include "daemon/agreement.h"
#include "daemon/backlog.h"
#include "daemon/clock.h"
#include "daemon/diff_keeper.h"
#include "daemon/drain.h"
#include "daemon/file_keeper.h"
#include "daemon/gauges.h"
#include "daemon/large_replies.h"
#include "daemon/limits.h"
#include "daemon/loop.h"
#include "daemon/monitor/monitor.h"
#include "daemon/network.h"
#include "daemon/opener.h"
#include "daemon/process_watch.h"
#include "daemon/recovery.h"
#include "daemon/run_spec.h"
#include "daemon/stream.h"
#include "daemon/tidier.h"
#include "daemon/unsent_notes.h"
#include "daemon/writer.h"

#include <ringlog/result.h>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace ringlog::service {

template <typename T>
using Reply = std::function<void(Result<T>)>;

// Which run a request is about: its directory, or an id that only one open run has.
struct RunName {
  std::string run_id{};
  std::string dir{};  // absolute; empty: by id

  // For messages.
  std::string text() const { return dir.empty() ? "run " + run_id : "the run in " + dir; }
};

// Somebody who has runs forwarded, as long as it exists: a connection.
struct SyncClient {
  uint64_t id = 0;  // unique in the service
};

// To a request that was read after its client had given up; for the log, it reaches nobody.
Error unheard_error(const Peer& peer);

class StreamMux {
 public:
  // All must outlive the mux.
  struct Parts {
    Loop& loop;
    Opener& opener;
    Drain& drain;
    Writer& writer;
    Network& network;
    Tidier& tidier;
    DiffKeeper& diffs;
    FileKeeper& files;
    LargeReplies& large;
    Monitor& monitor;
    Backlog& backlog;
    const UnsentNotes& notes;  // network thread
    const Clock& clock;
    shm::SegmentPlaces segments;
    uint32_t epoch = 0;
    std::string runtime_dir{};  // where live summaries are; empty: there are none
    int64_t unsent_stay_ms = kUnsentStayMs;
    // Adopts what killed programs left; before a run is opened, which may be one of theirs.
    std::function<void()> take_over = [] {};
  };
  explicit StreamMux(Parts parts) : parts_(std::move(parts)) {}
  StreamMux(const StreamMux&) = delete;
  StreamMux& operator=(const StreamMux&) = delete;

  // The requests of schema/control.capnp.
  //   kInvalidArgument  a field that cannot be used
  //   kNotFound         no such run is open
  //   kInvalidArgument  an id that several open runs have
  //   kIo, kPermission, kCorrupt, kVersion  the run's store cannot be opened; the disk
  //   kTooLarge         a limit
  void inform_init(RunSpec spec, Peer peer, Reply<Attached> reply);
  // `uuids` of the connection's segments: their process knows of them.
  void inform_start(const std::string& run_id, const std::vector<std::string>& uuids,
                    const Reply<Done>& reply);
  // Of `spec` the place and the producer count.
  void attach(const RunSpec& spec, Peer peer, Reply<Attached> reply);
  // `segment` by name, or a memfd.  Replies the segment's uuid.
  void resume(const std::string& segment, shm::Fd memfd, const Peer& peer,
              const Reply<std::string>& reply);
  void put_blob(const RunName& name, store::BlobId id, uint64_t size, shm::Fd fd, const Peer& peer,
                Reply<Done> reply);
  // `uuids` of the connection's segments; those of the peer are looked through too.
  Result<std::string> fetch_reply(std::vector<std::string> uuids, uint32_t slot, uint32_t word,
                                  const Peer& peer);
  void finish(const std::string& uuid, int32_t exit_code, Reply<Done> reply);
  void request_stop(const RunName& name, const Reply<Done>& reply);
  // Samples the machine for the run each `interval_ms`, for `time_ms`.  kInvalidArgument: beyond
  // the limits of a burst.  kNotFound: the run is not open.
  void burst(const RunName& name, int64_t interval_ms, int64_t time_ms, const Reply<Done>& reply);
  // Gives all ranks one step at which they stop or checkpoint; replies in kAgreeSampleMs.
  void agree(const RunName& name, Wish wish, const Reply<Agreed>& reply);
  // Without a name: all.  Without a barrier also a closed run whose sinks are behind, by directory.
  void query(const RunName& name, bool barrier, Reply<std::vector<RunStatus>> reply);
  // Forwards a stored run, opened if need be, to the sinks of `spec` until end_sync() or
  // end_syncs(), one of which is called before `client` goes.  Replies when what was committed is
  // stored and the sinks are at work.
  //   kNotFound  there is no such run
  void sync(const RunSpec& spec, const std::shared_ptr<SyncClient>& client,
            const Reply<std::vector<RunStatus>>& reply);
  void end_sync(const std::string& dir, const SyncClient& client);
  void end_syncs(const SyncClient& client);
  // What moves in the run of this directory, empty: in all; replies in kGaugesWaitMs at the latest.
  //   kNotFound  no run is open there; kTimeout  the drain thread is busy
  void gauges(const std::string& dir, const Reply<Gauges>& reply);
  // Ends every producer as killed; replies when all is stored and synced.
  void teardown(Reply<Done> reply);

  // Before a service ends with the process it is in: waits until what has ended is stored, and lets
  // go of the segments of all who finished, this process's among them.  Calls `done` after
  // kShutdownWaitMs at the latest.
  void leave_process(std::function<void()> done);

  // A segment that an earlier service left behind.
  void adopt(FoundSegment found);
  // Segments, by uuid, that nobody could read so far: their processes are not ended for the want of
  // them.  Beside those before, until forget_awaited().
  void await(std::set<std::string> uuids) { unread_.merge(uuids); }
  void forget_awaited() { unread_.clear(); }
  // True when a segment was adopted, or is being, or will be once that is possible.
  bool has_segment(const std::string& uuid) const;
  // Calls `done` when all that is committed now is stored, after kShutdownWaitMs at the latest.
  void drain_all(std::function<void()> done);
  // Every kHousekeepingMs: closes runs that nobody needs.
  void keep_house();
  // An ended run that an earlier service has not sent whole.
  void add_unsent(const UnsentRun& run);
  // No run is open, but maybe to be sent to sinks that have taken nothing for `unsent_stay_ms`.
  bool is_idle() const;

 private:
  // A producer that has not ended.
  struct Member {
    std::shared_ptr<Port> port;  // nullptr: its memfd has not been resumed
    int32_t pid = 0;
    uint64_t pid_start = 0;
    std::shared_ptr<shm::Fd> pidfd;  // nullptr: it was dead when we came
    std::unique_ptr<Loop::Watch> watch;
    bool is_dead = false;
    bool is_settled = false;  // its final state is stored
    // Through which it was asked for, until its process is known to have heard of it.
    std::shared_ptr<const PeerSocket> asked_through;
    int64_t dead_since_ms = 0;
  };
  enum class State { kOpening, kOpen, kClosing };
  struct Run {
    RunInfo info;
    State state = State::kOpening;
    std::shared_ptr<Stream> stream;                          // kOpen, kClosing
    std::vector<std::function<void(Result<Run*>)>> waiting;  // until it is open
    std::map<uint32_t, Member> members;                      // by producer
    std::set<uint64_t> sync_clients;                         // who has it forwarded now
    std::vector<std::function<void()>> settle_waiters;       // until no dead member is left
    std::string notice;                                      // for the next process that joins
    int64_t empty_since_ms = 0;
    bool is_close_asked = false;
    bool is_from_backlog = false;  // nobody wants it but its sinks
    std::optional<Behind> behind;  // kClosing: its sinks are
    int64_t behind_next_ms = 0;    // when to try again
    bool is_to_be_noted = false;   // kClosing: the next service is to try again
  };
  using WithRun = std::function<void(Result<Run*>)>;

  // stream_mux.cc: runs
  // Of those who wait for a run to be opened.
  enum class Turn { kFirst, kLast };
  void with_run(const RunInfo& info, Turn turn, WithRun then);
  void start_opening(Run& run);
  void on_opened(const std::string& dir, Opener::Opened opened);
  std::shared_ptr<Stream> make_stream(const Run& run, OpenedRun& opened);
  Result<Run*> find_run(const RunName& name);
  // Calls `then` with the run once it is open, if a service that has just started is still opening
  // it.  kNotFound, kInvalidArgument as above; errors of opening it.
  void with_known_run(const RunName& name, const WithRun& then);
  void ask_close(Run& run);
  void start_closing(const std::string& dir, const Network::View& sinks, bool is_quiet);
  void keep_open(const std::string& dir);
  void on_closed(const std::string& dir);
  void quarantine(const std::shared_ptr<Port>& port, uint32_t ring, uint64_t position,
                  const std::string& dir);

  // mux_unsent.cc: ended runs whose sinks are behind
  void note_unsent(const Run& run);
  void open_unsent(const RunInfo& info);
  void open_due_unsent();
  static Behind behind_of(const Run& run, const Network::View& sinks);
  const RunStatus* find_unsent(const std::string& dir) const;

  // mux_joins.cc: new producers
  void join(Run& run, const ProducerSpec& spec, const std::string& host, const Peer& peer,
            const std::string& notice, const Reply<Attached>& reply);
  void let_go_unheard(Run& run, const Peer& peer);
  void reply_when_stored(Run& run, const std::shared_ptr<Port>& port,
                         const std::shared_ptr<Attached>& attached, std::shared_ptr<shm::Fd> pidfd,
                         const Reply<Attached>& reply);

  // mux_members.cc: producers
  void add_member(Run& run, std::shared_ptr<Port> port, const store::ProducerState& state,
                  std::shared_ptr<shm::Fd> pidfd, std::function<void()> stored);
  void watch(Run& run, uint32_t producer);
  void on_dead(const std::string& dir, uint32_t producer);
  void look_for_exit(const std::string& dir, uint32_t producer);
  void end_member(Run& run, uint32_t producer, const EndFacts& facts);
  bool has_port(const std::string& dir, uint32_t producer) const;
  void on_settled(const std::string& dir, uint32_t producer);
  void retire(const std::string& dir, uint32_t producer);
  void retire_finished(int32_t pid);
  void on_retired(const std::string& dir, uint32_t producer);
  bool has_settled() const;
  void end_files(const Run& run, uint32_t producer);
  Status adopt_into(Run& run, FoundSegment& found);
  static Error somebody_else(const Run& run, const store::ProducerState& state);
  static void revoke_end(store::ProducerState& state);
  void keep_orphan(FoundSegment found, const Error& why);
  void adopt_orphans(const std::string& dir);
  uint32_t last_orphan(const std::string& dir) const;
  void note_dead_members(Run& run);
  static bool is_unwatched(const Run& run);
  static bool has_unsettled_dead(const Run& run);
  void when_settled(Run& run, std::function<void()> done);
  static void answer_settled(Run& run);

  // mux_lost.cc: producers whose segments cannot be read
  void check_lost(Run& run);
  static bool is_of_earlier_boot(const shm::SegmentHeader& header);
  Status adopt_unread(Run& run, const FoundSegment& found, store::ProducerState state);

  // mux_queries.cc
  static Ports rank_ports(const Run& run);
  static std::shared_ptr<Port> speaker_of(const Run& run);
  static void stop_members(Run& run);
  void store_blob(const std::shared_ptr<Stream>& stream, store::BlobId id, uint64_t size,
                  const std::shared_ptr<shm::Fd>& file, const Reply<Done>& reply);
  void query_open(const std::vector<std::string>& dirs, bool with_barrier,
                  const Reply<std::vector<RunStatus>>& reply);
  void barrier(const std::vector<std::string>& dirs, std::function<void()> done);
  void drain_runs(const std::function<void()>& done);
  void collect(const std::vector<std::string>& dirs, const Reply<std::vector<RunStatus>>& reply);
  std::vector<std::string> open_dirs() const;
  std::vector<std::shared_ptr<Stream>> open_streams(const std::vector<std::string>& dirs) const;

  // mux_gauges.cc
  struct GaugesLook;
  void ask_sinks(const std::shared_ptr<GaugesLook>& look);

  const Parts parts_;
  std::map<std::string, std::unique_ptr<Run>> runs_;                  // by directory
  std::map<std::string, std::pair<std::string, uint32_t>> segments_;  // uuid → dir, producer
  std::set<std::string> adopting_;                                    // uuids
  std::vector<FoundSegment> orphans_;  // segments whose store cannot be opened now, or process seen
  int64_t next_orphan_try_ms_ = 0;
  std::set<std::string> unread_;         // uuids
  std::function<void()> retire_waiter_;  // until no settled member is left; leave_process()
};

}  // namespace ringlog::service
