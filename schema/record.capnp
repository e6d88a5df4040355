@0xc1d0a7f3b2e94d61;
# What a user process writes into a ring.
#
# Each ring record is one Cap'n Proto message in a single segment, without the stream framing: the
# ring's own 16-byte header (lib/shm/ring.h) gives its size and its kind.  Rows of numbers are `Row`
# (kind >= 64, the kind names the key set); everything else is `Record` (kind 1).
#
# Unless a field says otherwise it is written by the user process and exists since version 1.

using Cxx = import "/capnp/c++.capnp";
$Cxx.namespace("ringlog::schema");

struct Row {
  # A row of numbers whose keys and types were registered before in the same ring by a `KeySet`.
  # The message is a copied template with the values patched in, so every pointer word is constant:
  # root (1 word), step, time, list pointer, values.
  step @0 :UInt64;         # The rank's own step.
  timeNs @1 :Int64;        # When log() was called: nanoseconds since the Unix epoch.
  bits @2 :List(UInt64);   # One word a key, in the key set's order: the bits of the typed value.
}

enum ColumnType {
  # How the eight bytes of a cell are read; `other` cells are a serialised Value instead.
  float64 @0;
  int64 @1;
  uint64 @2;
  bool @3;
  other @4;
}

struct KeySet {
  # Registers the keys of the rows that follow in this ring under a kind.
  kind @0 :UInt16;             # The `kind` of the ring records that use it; >= 64, never reused.
  columns @1 :List(Column);    # In the order of Row.bits.

  struct Column {
    path @0 :Text;             # UTF-8.  Nested keys are joined as lib/record/path.h says.
    type @1 :ColumnType;       # Never `other` in a ring; `other` appears only in the store.
  }
}

struct Value {
  # Anything a user can log, exactly.
  union {
    null @0 :Void;
    float64 @1 :Float64;       # Bit-exact, NaN payloads included.
    int64 @2 :Int64;
    uint64 @3 :UInt64;         # Only for values above the int64 range.
    bool @4 :Bool;
    text @5 :Text;             # UTF-8.
    list @6 :List(Value);
    object @7 :List(Field);
    float64List @8 :List(Float64);
    int64List @9 :List(Int64);
  }
}

struct Field {
  # One key and its value in an object.
  key @0 :Text;                # UTF-8, as the user wrote it (not a path).
  value @1 :Value;
}

struct FreeRow {
  # A row that is not only numbers, or whose keys are too many for a key set.
  step @0 :UInt64;
  timeNs @1 :Int64;            # Nanoseconds since the Unix epoch.
  fields @2 :List(Field);
}

struct Record {
  # Everything in a ring that is not a `Row`.
  timeNs @0 :Int64;            # When it was written: nanoseconds since the Unix epoch.
  union {
    keySet @1 :KeySet;
    row @2 :FreeRow;
    config @3 :List(Field);    # Merged into the run's config, nested objects key by key.
    summary @4 :List(Field);   # Explicit summary values; they override derived ones.
    metric @5 :Metric;         # run.define_metric().
    alert @6 :Alert;
    console @7 :Console;
    file @8 :File;
    finish @9 :Finish;
    request @10 :Request;      # Answered through a mailbox slot; never stored.
    blob @11 :Blob;            # A record too large for the ring.
    process @12 :Process;      # What surrounds the process; its first record.
  }
}

struct Named {
  name @0 :Text;
  value @1 :Text;
}

struct Process {
  # What surrounds a process that logs.  With the setting `surroundings` off only the settings.
  # Text is UTF-8, other bytes have become "?"; secrets are left out by the process itself.
  executable @0 :Text;         # Absolute path.
  buildId @1 :Text;            # The linker's, in hexadecimal; empty: it has none.
  command @2 :List(Text);      # Command line.
  directory @3 :Text;          # Where it was at init().
  user @4 :Text;
  system @5 :Text;             # Kernel and its version.
  cpus @6 :UInt32;             # That the process may use.
  environment @7 :List(Named); # Variables of an allow list: lib/client/environment_facts.h.
  container @8 :List(Named);   # kind, id, image, pod…, as far as they are known; empty: none.
  git @9 :Git;
  settings @10 :List(Setting);

  struct Git {
    # The work tree that `directory` is in; all empty: none.
    root @0 :Text;
    commit @1 :Text;           # Hexadecimal; empty: there is none yet.
    branch @2 :Text;           # Empty: none is checked out.
    remote @3 :Text;           # URL of the branch's remote, else of origin, without credentials.
  }
  struct Setting {
    name @0 :Text;
    value @1 :Text;            # Elements of a list are separated by commas.
    origin @2 :Text;           # default, a file's path, a variable, argument, a launcher.
  }
}

struct Metric {
  # How a metric is to be shown and summarised.
  name @0 :Text;               # A path, or a prefix followed by `*`.
  stepMetric @1 :Text;         # The metric that is its x axis; empty: the step.
  summary @2 :List(Text);      # Of: last, first, min, max, mean, none.
  hidden @3 :Bool;
}

struct Alert {
  title @0 :Text;
  text @1 :Text;
  level @2 :Level;
  enum Level { info @0; warn @1; error @2; }
}

struct Console {
  # A piece of the program's output, as bytes: it may end in the middle of a line or a character.
  stream @0 :Stream;
  data @1 :Data;
  enum Stream { stdout @0; stderr @1; }
}

struct File {
  # A file that belongs to the run.
  name @0 :Text;               # Relative to the run's files/ folder; no `..`, not absolute.
  policy @1 :Policy;
  source @2 :Text;             # Absolute path it was saved from.
  # What became of it: by the process for `now`, else by the service, in a record of its own for
  # each change of the state.
  state @3 :State;
  size @4 :UInt64;             # Bytes of the copy; 0 unless it was kept.
  problem @5 :Text;            # A sentence; empty: all is well.
  isFinal @6 :Bool;            # The process has ended: nothing more will be copied.
  enum Policy { now @0; live @1; end @2; }
  enum State { asked @0; kept @1; failed @2; }
}

struct Finish {
  # The producer's last record: it ended on purpose.
  exitCode @0 :Int32;          # 0: finished, anything else: failed.
  isImplied @1 :Bool;          # The run was destroyed without being finished: what the process exits
                               # with, where somebody learns it, counts more than exitCode.
  signal @2 :UInt8;            # `ringlog exec`: the signal that ended its program; 0: none.
}

struct Request {
  # A question whose answer comes through the mailbox, ordered after all that was written before it
  # in the same ring.
  slot @0 :UInt32;             # Index of the slot in the segment.
  word @1 :UInt32;             # The slot's word when it was claimed (generation and state).
  union {
    flush @2 :Durability;      # Answered when everything before it in all rings of this process is so.
    finish @3 :Void;           # Answered when the `Finish` before it is stored.
    summary @4 :Void;          # The run's live summary as JSON.
    runInfo @5 :Void;          # Id, directory, name: what deliver_run() returns.
    footer @6 :Void;           # Last values and curves, for the terminal of a program that finishes.
  }
}

enum Durability {
  # How safe a row is; each level includes the ones before it.
  committed @0;                # In shared memory: survives the death of the user process.
  stored @1;                   # LevelDB's write returned: survives the death of the service.
  synced @2;                   # fsync returned: survives a power cut.
  sent @3;                     # Every sink acknowledged it.
}

struct Blob {
  # Stands in the ring for a record above the ring's record limit.  The bytes went ahead of it over
  # the control socket into the run's store, so they survive whatever kills either side.
  id @0 :UInt64;               # Unique within the producer; the key they wait under.
  size @1 :UInt64;             # Bytes of the record.
}
