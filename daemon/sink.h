#pragma once
// Sink: where a run's rows are forwarded to.  One interface, one class per kind of destination.
//
// A sink belongs to one Sender on the network thread.  It encodes the rows it is given into one
// batch and sends that batch, as often as it takes, until it is acknowledged or refused.
//
// A new kind of sink: derive from Sink, name its scheme in make_sink(), test it against its peer.

#include "store/reader.h"

#include <ringlog/result.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace ringlog::service {

struct SendResult {
  enum class Kind {
    kAcknowledged,  // the batch is there for good; `cursor` goes into the store
    kRetry,         // not now; the same batch will be sent again
    kRefused,       // never: this sink gets nothing any more
  };
  Kind kind = Kind::kAcknowledged;
  int64_t retry_after_ms = 0;  // what the other side asked for; 0: the Sender decides
  std::string message;         // for people, when it is not acknowledged
};

class Sink {
 public:
  virtual ~Sink() = default;
  // Goes on where `cursor` says; empty: from the start.  Errors: kIo may be tried again, all others
  // refuse the sink.
  virtual Status open(const std::string& cursor) = 0;
  // Adds a row to the batch; returns the batch's bytes so far.
  virtual size_t add(const store::RowView& row) = 0;
  // Sends the batch.  May block for one write or one poll of its connection, no longer.
  virtual SendResult send() = 0;
  // After kAcknowledged: what open() needs to go on behind the batch.
  virtual std::string cursor() const = 0;
  // Forgets the batch.
  virtual void clear() = 0;
};

// The sink of a URL.  kInvalidArgument: unknown scheme (the message lists the known ones) or a
// malformed URL.
Result<std::unique_ptr<Sink>> make_sink(const std::string& url);
// As make_sink(), without making one.
Status check_sink(const std::string& url);
// The URL as it may be shown and stored: without user and password.
std::string without_credentials(const std::string& url);

}  // namespace ringlog::service
