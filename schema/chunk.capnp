@0xa95f13e7c40d8b36;
# What the store keeps.  docs/store_format.md gives the keys these values stand under.
#
# Written by the service's Writer; read by every later version.  Messages are packed in a single
# segment.  All fields since store format 1.

using Cxx = import "/capnp/c++.capnp";
using Record = import "record.capnp";
$Cxx.namespace("ringlog::schema");

struct ChunkHeader {
  # Rows of one key set from one lane (one ring of one producer), as columns.
  producer @0 :UInt32;
  ring @1 :UInt16;
  keySet @2 :UInt32;           # Id of a StoredKeySet.
  rows @3 :UInt32;
  firstSeq @4 :UInt64;         # Sequence numbers are rising; contiguous unless column `seq` exists.
  lastSeq @5 :UInt64;
  firstTimeNs @6 :Int64;
  lastTimeNs @7 :Int64;
  firstStep @8 :UInt64;        # Of the first row, not the smallest.
  lastStep @9 :UInt64;
  minStep @10 :UInt64;
  maxStep @11 :UInt64;
  columns @12 :List(ColumnInfo);  # seq, step, time, then the key set's columns in its order.
  inlinePage @13 :Data;        # Page 0's bytes when the chunk is small; empty: under its own key.
}

struct ColumnInfo {
  encoding @0 :Encoding;
  page @1 :UInt16;             # Which page of the chunk.
  offset @2 :UInt32;           # Of the column's bytes in the page.
  size @3 :UInt32;             # Compressed bytes.
  base @4 :UInt64;             # delta, constant: the first value's bits.
  stride @5 :Int64;            # constant: what each row adds.
  count @6 :UInt32;            # Rows with a finite value (statistics below are over these).
  first @7 :Float64;
  last @8 :Float64;            # Of the last row, NaN and infinities included.
  min @9 :Float64;
  max @10 :Float64;
  mean @11 :Float64;

  enum Encoding {
    constant @0;               # No bytes: value i is base + i * stride (wrapping 64-bit).
    blosc @1;                  # Blosc frame of 8-byte cells.
    deltaBlosc @2;             # Blosc frame of the differences between consecutive cells.
    bytesZstd @3;              # zstd frame: u32 LE sizes, then the cells' bytes.
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

  struct KeySetMap {
    kind @0 :UInt16;
    keySet @1 :UInt32;
  }
}

struct SinkState {
  # What one sink has acknowledged.
  chunkLsn @0 :UInt64;         # All chunks up to this sequential key were sent…
  recordLsn @1 :UInt64;        # …and all records up to this one.
  lanes @2 :List(Lane);        # Rows of a lane below `nextSeq` were sent, whatever chunk holds them.
  rows @3 :UInt64;             # Rows acknowledged in all.
  cursor @4 :Data;             # The sink's own notes (an offset in its file, an etag).

  struct Lane {
    producer @0 :UInt32;
    ring @1 :UInt16;
    nextSeq @2 :UInt64;
  }
}
