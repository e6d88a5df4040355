#include "daemon/server_reply.h"

#include "daemon/peer.h"

#include <capnp/serialize.h>
#include <ringlog/version.h>
#include <sys/socket.h>
#include <unistd.h>

#include <string>

namespace ringlog::service {

void send_at_once(int socket, Outgoing& out) {
  const auto words = capnp::messageToFlatArray(out.message);
  const auto bytes = words.asBytes();
  static_cast<void>(::send(socket, bytes.begin(), bytes.size(), MSG_NOSIGNAL));
}

// The configuration belongs to the server, which may be gone when the mux answers: what is needed
// of it travels with the callback.

kj::Promise<OutgoingPtr> status_reply(Loop& loop, StreamMux& mux, const ServerConfig& config) {
  auto [reply, promise] = reply_with<std::vector<RunStatus>>(
      loop, [config](Outgoing& out, std::vector<RunStatus>& runs) {
        auto to = out.reply().initStatus();
        to.setPid(::getpid());
        to.setStartedNs(config.started_ns);
        to.setVersion(RINGLOG_VERSION);
        to.setEpoch(config.epoch);
        to.setThreads(own_use().threads);
        to.setLog(config.log_path.c_str());
        write_runs(runs, to.initRuns(static_cast<capnp::uint>(runs.size())));
      });
  mux.query({}, false, reply);
  return kj::mv(promise);
}

kj::Promise<OutgoingPtr> gauges_reply(Loop& loop, StreamMux& mux, const ServerConfig& config,
                                      schema::AskGauges::Reader request) {
  auto [reply, promise] = reply_with<Gauges>(loop, [config](Outgoing& out, Gauges& gauges) {
    const OwnUse use = own_use();
    auto to = out.reply().initGauges();
    to.setPid(::getpid());
    to.setStartedNs(config.started_ns);
    to.setVersion(RINGLOG_VERSION);
    to.setEpoch(config.epoch);
    to.setThreads(use.threads);
    to.setCpuNs(use.cpu_ns);
    to.setMemoryBytes(use.memory_bytes);
    write_gauges(gauges, to);
  });
  mux.gauges(request.getDir().cStr(), reply);
  return kj::mv(promise);
}

}  // namespace ringlog::service
