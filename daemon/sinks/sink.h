#pragma once
// Sink: where a run is forwarded to.  One interface, one class per kind of destination.
//
// A sink belongs to one Sender on the network thread.  It encodes what it is given into one batch
// and sends that batch.  Nothing is kept for longer: what was not acknowledged is read from the
// store again.
//
// A new kind of sink: derive from Sink (or HttpSink), name its scheme in make_sink(), test it
// against its peer, describe it in docs/sinks.md.

#include "daemon/clock.h"
#include "daemon/sinks/sink_url.h"
#include "store/reader.h"

#include <ringlog/result.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace ringlog::service {

class HttpTransport;

struct SendResult {
  enum class Kind {
    kAcknowledged,  // the batch is there for good; `cursor` goes into the store
    kRetry,         // not now; try again later
    kSplit,         // not this batch; a smaller one may do, and one row alone is left out
    kRefused,       // never: this sink gets nothing any more
  };
  Kind kind = Kind::kAcknowledged;
  int64_t retry_after_ms = 0;  // what the other side asked for; 0: the Sender decides
  std::string message{};       // for people, when it is not acknowledged
  bool is_slow = false;        // of kRetry: a smaller batch has a better chance
};

// What a sink that collects its own batches found in a view of the store.
struct Collected {
  bool is_batch = false;   // there is one to send
  bool is_behind = false;  // there is none yet, but something that is not sent
  uint64_t rows = 0;       // in the batch
  uint64_t records = 0;
  int64_t due_ms = 0;  // monotonic: collect again then, though nothing new is stored; 0: no need
};

class Sink {
 public:
  // Of one batch.
  struct Limits {
    size_t rows = 0;             // rows and records
    size_t bytes = 0;            // as add() counts them; the last row may exceed it
    int64_t interval_ms = 0;     // between two looks at a live run
    bool is_rows_only = true;    // no records, no facts
    bool is_collecting = false;  // collect() instead of add() and add_facts()
  };

  virtual ~Sink() = default;
  virtual Limits limits() const = 0;
  // Goes on where `cursor` says; empty: from the start.  `run` is as the store describes it, never
  // empty.  Errors: kIo may be tried again, all others refuse the sink.  Blocks for the disk at
  // most.
  virtual Status open(const store::RunMeta& run, const std::string& cursor) = 0;
  // Adds a row or a record to the batch; returns the batch's bytes so far.
  virtual size_t add(const store::RowView& row) = 0;
  virtual size_t add(const store::RecordView&, const store::ProducerState&) { return 0; }
  // Rows of the batch that the sink cannot write, or not all of: the store's bytes are no value.
  virtual uint64_t left_out() const { return 0; }
  // Adds what is known of the run besides: description, processes, config, summary.  Replaces what
  // was sent before.  Errors: the store's.
  virtual Status add_facts(store::RunReader&) { return Done{}; }
  // Reads the next batch from a view of the store, from `state` on, and moves `state` behind it:
  // for sinks that make one line of many rows.  What cursor() then says is in the store before the
  // batch is sent, so that after a crash the same batch can be made again.  Errors: the store's.
  virtual Result<Collected> collect(store::RunReader&, store::SinkState&, size_t /*rows_max*/,
                                    const Clock&) {
    return Collected{};
  }
  // Sends the batch, or says how far that is.  Nothing: it is under way; `ready` (SinkParts) is
  // called when it is worth asking again.  Blocks for the disk at most, never for the network.
  virtual std::optional<SendResult> send() = 0;
  // After kAcknowledged: what open() needs to go on behind the batch; after collect(): what it
  // needs to make the batch again.
  virtual std::string cursor() const { return ""; }
  // Forgets the batch.
  virtual void clear() = 0;
};

// What a sink works with; both outlive it.
struct SinkParts {
  HttpTransport& http;
  std::function<void()> ready;         // see Sink::send()
  std::function<void()> stop = [] {};  // somebody there asked the run to stop
};

// The sink of a URL.  kInvalidArgument: unknown scheme (the message lists the known ones) or a
// malformed URL.
Result<std::unique_ptr<Sink>> make_sink(const std::string& url, const SinkParts& parts);
// As make_sink(), without making one.
Status check_sink(const std::string& url);

}  // namespace ringlog::service
