@0xa95f13e7c40d8b36;
# What the store keeps.  docs/store_format.md gives the keys these values stand under.
#
# Written by the service's Writer; read by every later version.  Messages are packed, in a single
# segment, but for page 0 of a chunk, which is not packed.  All fields since store format 1.

using Cxx = import "/capnp/c++.capnp";
using Record = import "record.capnp";
$Cxx.namespace("ringlog::schema");

struct ChunkHeader {
  # Rows of one key set from one lane (one ring of one producer), as columns.
  producer @0 :UInt32;
  ring @1 :UInt16;
  keySet @2 :UInt32;           # Id of a StoredKeySet.
  rows @3 :UInt32;
  firstSeq @4 :UInt64;         # Sequence numbers rise from the first…
  lastSeq @5 :UInt64;          # …to the last, not always by one: rows of other key sets lie between.
  minTimeNs @6 :Int64;         # Nanoseconds since the Unix epoch.
  maxTimeNs @7 :Int64;
  minStep @8 :UInt64;
  maxStep @9 :UInt64;
  pages @10 :UInt16;           # Pages under their own keys, the column directory (page 0) counted.
  rowColumns @11 :Columns;     # Three: seq, step, time.
  columns @12 :Columns;        # The key set's columns when `pages` is 0; else page 0 is this.
  inlinePage @13 :Data;        # The bytes of page 1 when `pages` is 0.
}

struct Columns {
  # What a reader must know to find and to skip columns, one entry a column.  Lists, not a list of
  # structs, so that one column of thousands is looked up without reading the others.
  #
  # An empty list stands for all zeros.  The statistics may be empty together although there are
  # rows: then every column is `constant` with stride 0 (or of bytes) and its base is first, last,
  # minimum, maximum and mean.
  encoding @0 :List(Encoding);
  page @1 :List(UInt16);       # Which page of the chunk, from 1.
  offset @2 :List(UInt32);     # Of the column's bytes in the page.
  size @3 :List(UInt32);       # Encoded bytes.
  base @4 :List(UInt64);       # constant, deltaBlosc: the first value's bits.
  stride @5 :List(Int64);      # constant: what each row adds.
  nonFinite @6 :List(UInt32);  # Rows whose value is NaN or infinite; min, max and mean leave them out.
  first @7 :List(Float64);     # Of the first row, as a double.
  last @8 :List(Float64);      # Of the last row, NaN and infinities included.
  min @9 :List(Float64);       # NaN when no value is finite; likewise max and mean.
  max @10 :List(Float64);
  mean @11 :List(Float64);

  enum Encoding {
    constant @0;               # No bytes: value i is base + i * stride (wrapping 64-bit).
    raw @1;                    # 8-byte little-endian cells.
    blosc @2;                  # Blosc 1 frame of 8-byte cells, padded to a multiple of 8 cells.
    deltaBlosc @3;             # The same of 0 and the differences of neighbours, zigzag.
    bytesZstd @4;              # zstd frame: a u32 LE size for each row, then the cells' bytes.
  }
}

struct StoredKeySet {
  # The columns of chunks that name this key set.
  columns @0 :List(Record.KeySet.Column);
}

struct StoredRecord {
  # Anything that is not a row, as it was written, with where it came from.
  producer @0 :UInt32;         # 0: the service itself.
  seq @1 :UInt64;              # Rows of the lane before it.
  record @2 :Record.Record;
}

struct Stats {
  # What the service measured of the machine and of the run's processes: samples of the same names.
  names @0 :List(Text);        # docs/system_metrics.md.
  timesNs @1 :List(Int64);     # Of the samples, nanoseconds since the Unix epoch.
  values @2 :List(Float64);    # Sample by sample, one for each name; NaN: not known at that time.
  gpus @3 :List(Gpu);          # Those that the names speak of.

  struct Gpu {
    index @0 :UInt32;          # The N of gpu.N.
    uuid @1 :Text;             # Empty: not known.
    name @2 :Text;
    ranks @3 :List(Int32);     # Of the run, that use it.
  }
}

struct RunMeta {
  # Written when the run is created and when its description changes.
  runId @0 :Text;
  project @1 :Text;
  name @2 :Text;
  group @3 :Text;
  tags @4 :List(Text);
  notes @5 :Text;
  createdNs @6 :Int64;         # Nanoseconds since the Unix epoch.
  host @7 :Text;
  command @8 :List(Text);
  version @9 :Text;            # ringlog version that created it.
  sinks @10 :List(Text);       # URLs without credentials.
  state @11 :Text;             # DESIGN: running, finished, failed, crashed, killed, stopped.
  endedNs @12 :Int64;          # 0: not ended.
  isSynced @13 :Bool;          # durability = "synced": every commit is synced.
  monitorMs @14 :Int32;        # Milliseconds between samples of the machine; 0: default, -1: none.
}

struct ProducerState {
  # One attached process: who it is, how far its rings are stored, how it ended.  Written in the
  # same batch as the rows it accounts for.
  producer @0 :UInt32;
  rank @1 :Int32;
  attempt @2 :Int32;
  worker @3 :UInt32;
  pid @4 :Int32;
  pidStart @5 :UInt64;         # Start time of the process in clock ticks since boot.
  host @6 :Text;
  state @7 :Text;
  exitCode @8 :Int32;          # When state is finished or failed.
  signal @9 :Int32;            # When it was ended by a signal; 0: none.
  cause @10 :Text;             # A sentence for people; empty when there is nothing to say.
  startedNs @11 :Int64;
  endedNs @12 :Int64;          # 0: not ended.
  segment @13 :Text;           # UUID of the segment the positions belong to.
  rings @14 :List(RingState);
  nextStep @15 :UInt64;        # The step after its last row.
  localRank @16 :Int32;
  worldSize @17 :Int32;
  isEndUnread @18 :Bool;       # Ended without its segment: what it committed last was never read.
  lostRecords @19 :UInt64;     # Records that are no rows and that it could not write.
  saidEnd @20 :SaidEnd;        # Null: its Finish record was not read (yet).

  struct SaidEnd {
    # What its Finish record said, for a service that takes over before the end is stored.
    exitCode @0 :Int32;
    signal @1 :Int32;
    isImplied @2 :Bool;        # It was destroyed and not finished.
  }
}

struct RingState {
  # Everything before `position` in this ring is in the store.
  position @0 :UInt64;         # Bytes, as the ring counts them.
  nextSeq @1 :UInt64;          # Attempts up to here.
  stored @2 :UInt64;           # Rows in chunks.
  dropped @3 :UInt64;          # Rows the producer counted as dropped.
  missing @4 :UInt64;          # Attempts neither stored nor counted: must be 0.
  keySets @5 :List(KeySetMap); # The ring's kinds, so that a restarted service can go on.
  poisoned @6 :Text;           # Why the ring is no longer read; empty: all well.
  drainedSeq @7 :UInt64;       # Attempts up to `position`: a program may keep rows of the others and
                               # commit them later.  0 in stores of before: not below `stored`.

  struct KeySetMap {
    kind @0 :UInt16;
    keySet @1 :UInt32;
  }
}

struct SinkState {
  # What one sink has acknowledged.
  chunkLsn @0 :UInt64;         # All chunks up to this sequential key were sent…
  recordLsn @1 :UInt64;        # …and all records below this one.
  lanes @2 :List(Lane);        # Rows of a lane below `nextSeq` were sent, whatever chunk holds them.
  rows @3 :UInt64;             # Rows acknowledged in all.
  cursor @4 :Data;             # The sink's own notes (an offset in its file, an etag).
  leftOut @5 :UInt64;          # Rows and records that the sink would not take.

  struct Lane {
    producer @0 :UInt32;
    ring @1 :UInt16;
    nextSeq @2 :UInt64;
  }
}
