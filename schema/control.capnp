@0xe3b86c91d5f7042b;
# The control protocol: one request, one reply, at human speed, over the service's Unix socket.
#
# Both travel as framed Cap'n Proto messages.  File descriptors travel beside the message
# (SCM_RIGHTS); each request says which.  Metrics never come this way.
#
# Requests are written by clients, replies by the service; all fields since version 1.

using Cxx = import "/capnp/c++.capnp";
$Cxx.namespace("ringlog::schema");

const protocolVersion :UInt32 = 1;
# Raised when a message changes its meaning.  Other versions are refused with both numbers named.

struct ControlRequest {
  version @0 :UInt32;          # protocolVersion of the client.
  union {
    informInit @1 :RunSpec;    # Create the run or attach to it; replies `attached` with two fds.
    informStart @2 :Text;      # The run's first producer is ready: run id.  Replies `ok`.
    attach @3 :Attach;         # Another segment for a known run (a forked child); as informInit.
    resume @4 :Resume;         # After a service death: this client still has this segment.
    blob @5 :BlobUpload;       # One fd: the bytes of a record too large for the ring.  `ok`.
    fetchReply @6 :FetchReply; # The large reply of a slot; replies `ok` with one fd.
    finish @7 :Detach;         # Detach: the producer ends without a mailbox (fork child, exec).
    teardown @8 :Int32;        # Stop the service: drain, store, then exit.  Replies when stored.
    status @9 :Void;           # Replies `status`.
    query @10 :Query;          # About one run; replies `query`.
    stop @11 :Text;            # Ask a run to stop: run id.  Sets the stop word in its segments.
                               # An id alone that several open runs have is refused, everywhere.
    agree @12 :Agree;          # All ranks stop or checkpoint at one step; replies `agreed`.
    sync @13 :Sync;            # Forward a stored run for as long as this connection is open or until
                               # endSync; replies `query` with that run once the sinks are at work.
    endSync @14 :Text;         # Directory of the run: this connection wants no more.  Replies `ok`.
    burst @15 :Burst;          # Sample the machine more often for a while.  Replies `ok`.
    gauges @16 :AskGauges;     # What moves while runs are open; to be asked again and again.  Does
                               # not keep an idle service alive.  Replies `gauges`.
  }
}

struct RunSpec {
  # What init() knows about the run and about the process that joins it.
  runId @0 :Text;              # Empty: the service chooses one.
  project @1 :Text;
  root @2 :Text;               # Absolute path of the folder that holds the runs.
  name @3 :Text;
  group @4 :Text;
  tags @5 :List(Text);
  notes @6 :Text;
  producer @7 :ProducerSpec;
  durability @8 :UInt8;        # record.capnp Durability of the default commit: stored or synced.
  sinks @9 :List(Text);        # URLs.
  host @10 :Text;
  command @11 :List(Text);     # The process's command line.
  mode @12 :Text;              # online | offline
  monitorMs @13 :Int32;        # Milliseconds between samples of the machine; 0: default, -1: none.
  workTree @14 :Text;          # Absolute path of the git work tree whose diff is kept; empty: none.
}

struct ProducerSpec {
  # Who is going to write.
  rank @0 :Int32;              # -1: not known, the service gives the lowest one nobody uses now.
  attempt @1 :Int32;           # -1: not known, the service counts them.
  worker @2 :UInt32;           # 0: the rank itself; 1, 2…: its forked children.
  parentProducer @3 :UInt32;   # Producer id of the process it was forked from; 0: none.
  localRank @4 :Int32;         # -1: not known.
  worldSize @5 :Int32;         # -1: not known.
  ringBytes @6 :UInt64;        # Capacity of the first ring in bytes, a power of two; 0: default.
}

struct Attach {
  # A forked child joins its parent's run, which may have ended for everybody else meanwhile.
  runId @0 :Text;
  producer @1 :ProducerSpec;
  project @2 :Text;
  root @3 :Text;               # Absolute path of the folder that holds the runs.
}

struct Resume {
  segment @0 :Text;            # Name of the segment's file, or empty when it is a memfd (one fd).
}

struct BlobUpload {
  runId @0 :Text;
  producer @1 :UInt32;
  id @2 :UInt64;               # Unique within the producer.
  size @3 :UInt64;             # Bytes.
  dir @4 :Text;                # Absolute path of the run's directory.
}

struct FetchReply {
  slot @0 :UInt32;
  word @1 :UInt32;             # The slot's word as the client read it.
}

struct Detach {
  exitCode @0 :Int32;
}

struct Agree {
  runId @0 :Text;
  wish @1 :Wish;
  dir @2 :Text;                # Instead of an id: absolute path of the run's directory.
  enum Wish { stop @0; checkpoint @1; }
}

struct Agreed {
  step @0 :UInt64;             # At which all ranks will see it.
  ranks @1 :UInt32;            # That take part in the run now.
  asking @2 :UInt32;           # Of these, that ask once a step.
  late @3 :UInt32;             # Of these, that were past the step before they could see it.
}

struct Query {
  runId @0 :Text;              # Id or empty for all.
  barrier @1 :Bool;            # Reply only after all that is committed now is stored.
  dir @2 :Text;                # Instead of an id: absolute path of the run's directory.
}

struct Sync {
  # A run that need not be open; what is committed now is stored first.
  runId @0 :Text;
  project @1 :Text;
  root @2 :Text;               # Absolute path of the folder that holds the runs.
  sinks @3 :List(Text);        # URLs, at least one.
}

struct Burst {
  # The limits are in daemon/monitor/places.h.
  runId @0 :Text;
  intervalMs @1 :UInt32;       # Milliseconds between two samples.
  timeMs @2 :UInt32;           # Milliseconds from now on.
  dir @3 :Text;                # Instead of an id: absolute path of the run's directory.
}

struct AskGauges {
  dir @0 :Text;                # Absolute path of one run's directory; empty: all open runs.
}

struct ControlReply {
  version @0 :UInt32;
  union {
    error @1 :ControlError;
    ok @2 :Void;
    attached @3 :Attached;
    status @4 :Status;
    query @5 :List(RunStatus);
    agreed @6 :Agreed;
    gauges @7 :Gauges;
  }
}

struct ControlError {
  code @0 :Code;
  message @1 :Text;            # A sentence that names what and where.
  enum Code { invalid @0; version @1; permission @2; unknownRun @3; storage @4; limit @5; internal @6; }
}

struct Attached {
  # Beside it: fd 0 is the segment, fd 1 the service's doorbell page.
  runId @0 :Text;
  dir @1 :Text;                # Absolute path of the run's directory.
  name @2 :Text;
  producer @3 :UInt32;         # Id of the producer within the run, from 1.
  rank @4 :Int32;
  attempt @5 :Int32;
  worker @6 :UInt32;
  segment @7 :Text;            # File name of the segment in the segment folder; empty: a memfd.
  nextStep @8 :UInt64;         # Where this rank's automatic steps go on.
  notice @9 :Text;             # Something the user should know (said once); usually empty.
}

struct Status {
  pid @0 :Int32;
  startedNs @1 :Int64;         # Nanoseconds since the Unix epoch.
  version @2 :Text;            # Of the program.
  epoch @3 :UInt32;            # Grows with each service in this runtime directory.
  threads @4 :UInt32;
  runs @5 :List(RunStatus);
  log @6 :Text;                # Path of the service's log file.
}

struct RunStatus {
  runId @0 :Text;
  project @1 :Text;
  dir @2 :Text;
  state @3 :Text;
  producers @4 :List(ProducerStatus);
  sinks @5 :List(SinkStatus);
}

struct ProducerStatus {
  producer @0 :UInt32;
  rank @1 :Int32;
  attempt @2 :Int32;
  worker @3 :UInt32;
  pid @4 :Int32;
  state @5 :Text;
  stored @6 :UInt64;           # Rows.
  dropped @7 :UInt64;          # Rows.
  backlogBytes @8 :UInt64;     # Committed, not yet stored.
  ringBytes @9 :UInt64;        # Capacity of all its rings.
  poisoned @10 :Text;          # Why a ring is no longer read; empty: all well.
}

struct SinkStatus {
  url @0 :Text;                # Without credentials.
  state @1 :Text;
  sentRows @2 :UInt64;
  lagRows @3 :UInt64;
  lastError @4 :Text;
  leftOutRows @5 :UInt64;      # Rows and records that it would not take.
  looksWanted @6 :UInt64;      # Number of the look at the store that the last sync asked for…
  looksSent @7 :UInt64;        # …and of the last one of which everything is sent.
  lagMs @8 :UInt64;            # Milliseconds since everything stored was sent; 0: it is.
}

struct Gauges {
  # Counters only grow while the service runs: rates are differences of two.  Bounded by the limits
  # in daemon/gauges.h; what is beyond them is counted.
  timeNs @0 :Int64;            # When they were read: CLOCK_MONOTONIC.
  pid @1 :Int32;               # Of the service, and so on.
  startedNs @2 :Int64;         # Nanoseconds since the Unix epoch.
  version @3 :Text;
  epoch @4 :UInt32;            # Another one: counters may have gone back.
  threads @5 :UInt32;
  cpuNs @6 :UInt64;            # Processor time that it has used.
  memoryBytes @7 :UInt64;      # Resident.
  runs @8 :List(RunGauges);
  sinksLeftOut @9 :UInt32;
  sinksUnknown @10 :Bool;      # The network thread was busy: no run has its sinks here.
}

struct RunGauges {
  runId @0 :Text;
  project @1 :Text;
  dir @2 :Text;
  state @3 :Text;
  storeError @4 :Text;         # Why the store cannot be written now; empty: all well.
  live @5 :UInt32;             # Processes that may still log.
  logged @6 :UInt64;           # Rows of all processes it ever had: tried to log, as far as is known…
  stored @7 :UInt64;
  dropped @8 :UInt64;
  backlogBytes @9 :UInt64;     # Committed, not yet stored.
  lagMs @10 :UInt64;           # How long the oldest of what is not stored has been waiting for that.
  producers @11 :List(ProducerGauges);  # The live ones.
  producersLeftOut @12 :UInt32;
  sinks @13 :List(SinkStatus);
}

struct ProducerGauges {
  producer @0 :UInt32;
  rank @1 :Int32;
  attempt @2 :Int32;
  worker @3 :UInt32;
  pid @4 :Int32;
  isWaiting @5 :Bool;          # A thread of it sleeps until there is room in its ring.
  logged @6 :UInt64;           # Rows.
  stored @7 :UInt64;           # Rows.
  dropped @8 :UInt64;          # Rows.
  waitedNs @9 :UInt64;         # Nanoseconds that it has slept for room.
  rings @10 :List(RingGauges); # Those in use.
}

struct RingGauges {
  usedBytes @0 :UInt64;        # Committed, and the room not given back yet.
  capacity @1 :UInt64;         # Bytes.
  isPoisoned @2 :Bool;         # It is not read any more.
}
