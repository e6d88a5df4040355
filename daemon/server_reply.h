#pragma once
// What the control server answers, and how answers come to it from other threads.
//
// The mux answers through a callback, a Reply, of which tasks of any thread may hold copies; it is
// called on the control thread, where KJ's promises live.

#include "daemon/loop.h"
#include "daemon/messages.h"
#include "daemon/server.h"
#include "daemon/stream_mux.h"

#include <capnp/message.h>
#include <kj/async.h>

#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "schema/control.capnp.h"

namespace ringlog::service {

// What goes back to a client.
struct Outgoing {
  Outgoing() { reply().setVersion(schema::PROTOCOL_VERSION); }
  schema::ControlReply::Builder reply() { return message.getRoot<schema::ControlReply>(); }
  capnp::MallocMessageBuilder message;
  std::vector<shm::Fd> fds;
  std::vector<int> raw_fds;  // sent beside the message
};
using OutgoingPtr = kj::Own<Outgoing>;

inline OutgoingPtr error_reply(const Error& error) {
  auto out = kj::heap<Outgoing>();
  write_error(error, out->reply());
  return out;
}

// To a socket of which nothing else is known: what does not fit its buffer is lost.
void send_at_once(int socket, Outgoing& out);

// What resolves a promise of the control thread.  Copies of a reply are held by tasks of other
// threads, so the last one may go there; it is destroyed here all the same.
using Fulfiller = kj::Own<kj::PromiseFulfiller<OutgoingPtr>>;
inline std::shared_ptr<Fulfiller> share(Loop& loop, Fulfiller fulfiller) {
  const auto bring_home = [&loop, home = std::this_thread::get_id()](Fulfiller* last) {
    std::shared_ptr<Fulfiller> owner(last);
    // The task owns it, whether it is run or goes with a loop that ends.
    if (std::this_thread::get_id() != home) loop.post([owner = std::move(owner)] {});
  };
  return {new Fulfiller(kj::mv(fulfiller)), bring_home};
}

// A callback for the mux whose result, turned into a message by `fill`, resolves the promise.
template <typename T, typename Fill>
std::pair<Reply<T>, kj::Promise<OutgoingPtr>> reply_with(Loop& loop, Fill fill) {
  auto pair = kj::newPromiseAndFulfiller<OutgoingPtr>();
  auto fulfiller = share(loop, kj::mv(pair.fulfiller));
  Reply<T> reply = [fulfiller, fill](Result<T> result) {
    if (!result) return (*fulfiller)->fulfill(error_reply(result.error()));
    auto out = kj::heap<Outgoing>();
    fill(*out, *result);
    (*fulfiller)->fulfill(kj::mv(out));
  };
  return {std::move(reply), kj::mv(pair.promise)};
}

// The same for the state of runs.
inline auto reply_with_runs(Loop& loop) {
  return reply_with<std::vector<RunStatus>>(loop, [](Outgoing& out, std::vector<RunStatus>& runs) {
    write_runs(runs, out.reply().initQuery(static_cast<capnp::uint>(runs.size())));
  });
}

// Answers about the service itself; `mux` outlives the promise.
kj::Promise<OutgoingPtr> status_reply(Loop& loop, StreamMux& mux, const ServerConfig& config);
kj::Promise<OutgoingPtr> gauges_reply(Loop& loop, StreamMux& mux, const ServerConfig& config,
                                      schema::AskGauges::Reader request);

}  // namespace ringlog::service
