@0xd7a4c6b1e08f5a22;
# What the service puts into a mailbox slot.
#
# One message in a single segment without framing.  A reply larger than the slot's inline bytes is
# fetched over the control socket as a file descriptor (ControlRequest.fetchReply).
#
# Written by the service; all fields since version 1.

using Cxx = import "/capnp/c++.capnp";
$Cxx.namespace("ringlog::schema");

struct Reply {
  union {
    error @0 :Text;            # Why the request could not be answered; a whole sentence.
    flush @1 :Positions;
    finish @2 :Report;
    summary @3 :Text;          # JSON object.
    runInfo @4 :RunInfo;
    footer @5 :Footer;
  }
}

struct Positions {
  # Rows of this producer, counted from 0, that reached each level.
  stored @0 :UInt64;
  synced @1 :UInt64;
  sent @2 :UInt64;
}

struct Report {
  # The ledger of one producer at its end, in rows.
  attempted @0 :UInt64;        # log() calls, dropped ones included.
  stored @1 :UInt64;
  dropped @2 :UInt64;          # Refused by the full-ring policy and counted.
  sent @3 :UInt64;             # Acknowledged by every sink; 0 without sinks.
  # Files that the service was asked to keep, live or at the end.
  files @4 :UInt64;            # Kept.
  fileBytes @5 :UInt64;        # Of these.
  filesFailed @6 :UInt64;
}

struct Footer {
  # Metrics of the lowest rank by name, then values that the program set.
  lines @0 :List(Line);
  leftOut @1 :UInt32;          # Lines that there would be besides.
  struct Line {
    name @0 :Text;
    value @1 :Text;            # The summary's, as JSON or as "max 7, min 1"; empty: it has none.
    points @2 :List(Float64);  # Means of rows next to each other, in order of the step.
  }
}

struct RunInfo {
  runId @0 :Text;
  name @1 :Text;
  project @2 :Text;
  dir @3 :Text;                # Absolute path of the run's directory.
}
