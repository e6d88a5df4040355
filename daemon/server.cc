#include "daemon/server.h"

#include "daemon/limits.h"
#include "daemon/log.h"
#include "daemon/messages.h"
#include "daemon/peer.h"
#include "daemon/server_connection.h"
#include "daemon/server_reply.h"

#include <capnp/serialize-async.h>
#include <capnp/serialize.h>
#include <errno.h>
#include <fcntl.h>
#include <kj/async-io.h>
#include <kj/async-unix.h>
#include <ringlog/version.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <memory>
#include <vector>

#include "schema/control.capnp.h"

namespace ringlog::service {

namespace {

using Observer = kj::UnixEventPort::FdObserver;

class ConnectionErrors final : public kj::TaskSet::ErrorHandler {
  void taskFailed(kj::Exception&& exception) override {
    log().error("connection: {}", exception.getDescription().cStr());
  }
};

// Of a request that has both.
template <typename Request>
RunName name_in(Request request) {
  return {.run_id = request.getRunId().cStr(), .dir = request.getDir().cStr()};
}

}  // namespace

struct Server::Impl {
  Impl(ControlLoop& l, StreamMux& m, const Clock& c, ServerConfig cfg)
      : loop(l),
        mux(m),
        clock(c),
        config(std::move(cfg)),
        connections(kj::heap<kj::TaskSet>(errors)) {}

  Status bind();
  // What became of a look at who waits to be connected.
  enum class Accepted { kOne, kNobody, kNotNow };
  kj::Promise<void> accept();
  Accepted accept_one();
  Accepted refuse_for_lack_of_fds();
  void keep_reserve();
  void start(shm::Fd fd);
  kj::Promise<void> serve(ClientConnection& connection);
  kj::Promise<void> answer(ClientConnection& connection, capnp::MessageReaderAndFds& message);
  kj::Promise<OutgoingPtr> dispatch(ClientConnection& connection,
                                    schema::ControlRequest::Reader request,
                                    std::vector<shm::Fd> fds);
  static OutgoingPtr refusal(const ClientConnection& connection, uint32_t version);
  kj::Promise<OutgoingPtr> query(schema::Query::Reader request);
  kj::Promise<OutgoingPtr> sync(ClientConnection& connection, schema::Sync::Reader request);
  kj::Promise<OutgoingPtr> agree(schema::Agree::Reader request);
  kj::Promise<OutgoingPtr> act(ClientConnection& connection, schema::ControlRequest::Reader request,
                               std::vector<shm::Fd> fds);
  kj::Promise<OutgoingPtr> attached(ClientConnection& connection,
                                    const std::function<void(Reply<Attached>)>& request);
  kj::Promise<OutgoingPtr> resume(ClientConnection& connection, schema::Resume::Reader request,
                                  std::vector<shm::Fd> fds);
  kj::Promise<OutgoingPtr> fetch(ClientConnection& connection, schema::FetchReply::Reader request);
  kj::Promise<OutgoingPtr> teardown();
  void keep_house();
  void close();

  ControlLoop& loop;
  StreamMux& mux;
  const Clock& clock;
  const ServerConfig config;
  shm::Fd listener;
  shm::Fd reserve;  // given up for a moment when there are no more descriptors; keep_reserve()
  std::unique_ptr<Observer> observer;
  ConnectionErrors errors;
  size_t connection_count = 0;
  size_t request_count = 0;        // in progress
  uint64_t sync_client_count = 0;  // ever
  int64_t idle_since_ms = 0;
  bool was_garbage_logged = false;
  bool is_closed = false;
  kj::Own<kj::TaskSet> connections;  // last: goes first, and its tasks use what is above
};

Server::Server(ControlLoop& loop, StreamMux& mux, const Clock& clock, ServerConfig config)
    : impl_(std::make_unique<Impl>(loop, mux, clock, std::move(config))) {}
Server::~Server() = default;
void Server::close() { impl_->close(); }

Status Server::listen() {
  if (Status s = impl_->bind(); !s) return s;
  impl_->connections->add(impl_->accept());
  impl_->keep_house();
  return Done{};
}

// The path of a socket address holds 107 bytes, so the directory is named by its descriptor.
Status Server::Impl::bind() {
  const std::string where = config.runtime_dir + "/service.sock";
  listener = shm::Fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!listener) return shm::errno_error("make a socket");
  keep_reserve();
  // Of this thread: a guest's descriptors are not the program's.
  const std::string path =
      "/proc/thread-self/fd/" + std::to_string(config.runtime_dir_fd) + "/service.sock";
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  // Of a service that was killed: the lock is ours, so nobody else listens.
  ::unlinkat(config.runtime_dir_fd, "service.sock", 0);
  if (::bind(listener.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    return shm::errno_error("bind " + where);
  }
  constexpr int kBacklog = 1024;
  if (::listen(listener.get(), kBacklog) != 0) return shm::errno_error("listen on " + where);
  observer =
      std::make_unique<Observer>(loop.io().unixEventPort, listener.get(), Observer::OBSERVE_READ);
  return Done{};
}

kj::Promise<void> Server::Impl::accept() {
  Accepted last = Accepted::kOne;
  while (last == Accepted::kOne) last = accept_one();
  if (last == Accepted::kNobody) {
    return observer->whenBecomesReadable().then([this] { return accept(); });
  }
  // The observer tells of those who come and not again of those who wait already.
  return loop.io()
      .lowLevelProvider->getTimer()
      .afterDelay(kAcceptRetryMs * kj::MILLISECONDS)
      .then([this] { return accept(); });
}

Server::Impl::Accepted Server::Impl::accept_one() {
  shm::Fd fd(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (fd) {
    KJ_IF_MAYBE (exception, kj::runCatchingExceptions([&] { start(std::move(fd)); })) {
      log().error("a connection was given up: {}", exception->getDescription().cStr());
    }
    return Accepted::kOne;
  }
  switch (errno) {
    case EINTR:
    case ECONNABORTED:
      return Accepted::kOne;
    case EMFILE:
    case ENFILE:
      return refuse_for_lack_of_fds();
    case EAGAIN:
      return Accepted::kNobody;
    default:
      return Accepted::kNotNow;
  }
}

// The kernel takes a descriptor before it looks whether anybody waits, so that only whoever has one
// left learns that nobody does.
Server::Impl::Accepted Server::Impl::refuse_for_lack_of_fds() {
  keep_reserve();
  if (!reserve) return Accepted::kNotNow;
  reserve.reset();
  shm::Fd fd(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  const bool is_nobody = !fd && errno == EAGAIN;
  const bool is_refused = static_cast<bool>(fd);
  if (fd) {
    log().error("a connection was refused: no more file descriptors");
    send_at_once(fd.get(), *error_reply({Code::kTooLarge,
                                         "the service has no more file descriptors; raise "
                                         "`ulimit -n`"}));
  }
  fd.reset();  // it has the reserve's place
  keep_reserve();
  if (is_refused) return Accepted::kOne;
  return is_nobody ? Accepted::kNobody : Accepted::kNotNow;
}

// Another thread may have been faster when it was given up for a moment.
void Server::Impl::keep_reserve() {
  if (!reserve) reserve = shm::Fd(::open("/dev/null", O_RDONLY | O_CLOEXEC));
}

void Server::Impl::start(shm::Fd fd) {
  if (connection_count >= kConnectionsMax) {
    log().error("a connection was refused: {} are open", connection_count);
    const std::string open = std::to_string(connection_count);
    return send_at_once(
        fd.get(), *error_reply({Code::kTooLarge, "the service has " + open +
                                                     " connections open, which is its limit"}));
  }
  auto connection = kj::heap<ClientConnection>(fd.get());
  connection->stream = loop.io().lowLevelProvider->wrapUnixSocketFd(
      fd.release(), kj::LowLevelAsyncIoProvider::TAKE_OWNERSHIP |
                        kj::LowLevelAsyncIoProvider::ALREADY_CLOEXEC |
                        kj::LowLevelAsyncIoProvider::ALREADY_NONBLOCK);
  ++connection_count;
  ClientConnection& borrowed = *connection;
  connections->add(kj::evalNow([&] { return serve(borrowed); })
                       .catch_([this, &borrowed](kj::Exception&& exception) {
                         if (exception.getType() == kj::Exception::Type::DISCONNECTED) return;
                         if (std::exchange(was_garbage_logged, true)) return;
                         log().warn("connection of pid {} closed, later ones silently: {}",
                                    borrowed.peer.pid, exception.getDescription().cStr());
                       })
                       .attach(kj::defer([this, &borrowed] {
                         if (borrowed.sync_client) mux.end_syncs(*borrowed.sync_client);
                       }))
                       .attach(kj::mv(connection), kj::defer([this] { --connection_count; })));
}

kj::Promise<void> Server::Impl::serve(ClientConnection& connection) {
  capnp::ReaderOptions options;
  options.traversalLimitInWords = kRequestBytesMax / sizeof(capnp::word);
  return capnp::tryReadMessage(*connection.stream,
                               kj::arrayPtr(connection.fd_space.data(), kRequestFdsMax), options)
      .then([this,
             &connection](kj::Maybe<capnp::MessageReaderAndFds>&& message) -> kj::Promise<void> {
        KJ_IF_MAYBE (found, message) {
          auto held = kj::heap(kj::mv(*found));
          auto& borrowed = *held;
          return answer(connection, borrowed).attach(kj::mv(held));
        }
        return kj::READY_NOW;
      });
}

kj::Promise<void> Server::Impl::answer(ClientConnection& connection,
                                       capnp::MessageReaderAndFds& message) {
  std::vector<shm::Fd> fds;
  for (kj::AutoCloseFd& fd : message.fds) {
    if (auto copy = shm::duplicate(fd.get())) fds.push_back(std::move(*copy));
    fd = nullptr;
  }
  const auto request = message.reader->getRoot<schema::ControlRequest>();
  // Whoever only watches gives an idle service nothing to do.
  const size_t weight = request.isGauges() ? 0 : 1;
  request_count += weight;
  if (weight > 0) idle_since_ms = 0;
  const bool is_last = connection.is_stranger;
  return kj::evalNow([&] { return dispatch(connection, request, std::move(fds)); })
      .then([&connection](OutgoingPtr&& out) {
        for (const shm::Fd& fd : out->fds) out->raw_fds.insert(out->raw_fds.begin(), fd.get());
        auto written = capnp::writeMessage(*connection.stream,
                                           kj::arrayPtr(out->raw_fds.data(), out->raw_fds.size()),
                                           out->message);
        return written.attach(kj::mv(out));
      })
      .attach(kj::defer([this, weight] { request_count -= weight; }))
      .then([this, &connection, is_last]() -> kj::Promise<void> {
        if (is_last) return kj::READY_NOW;
        return serve(connection);
      });
}

// Peers that are not served, whatever they ask; nullptr: this one is.
OutgoingPtr Server::Impl::refusal(const ClientConnection& connection, uint32_t version) {
  if (connection.is_stranger) {
    return error_reply({Code::kPermission, "the service belongs to user " +
                                               std::to_string(::geteuid()) + ", process " +
                                               std::to_string(connection.peer.pid) + " to user " +
                                               std::to_string(connection.peer.uid)});
  }
  if (version == schema::PROTOCOL_VERSION) return {};
  return error_reply({Code::kVersion, "the client speaks protocol version " +
                                          std::to_string(version) +
                                          ", the service " RINGLOG_VERSION " version " +
                                          std::to_string(schema::PROTOCOL_VERSION)});
}

kj::Promise<OutgoingPtr> Server::Impl::dispatch(ClientConnection& connection,
                                                schema::ControlRequest::Reader request,
                                                std::vector<shm::Fd> fds) {
  if (auto refused = refusal(connection, request.getVersion())) return kj::mv(refused);
  switch (request.which()) {
    case schema::ControlRequest::INFORM_INIT:
      return attached(connection, [&](Reply<Attached> reply) {
        mux.inform_init(read_run_spec(request.getInformInit()), connection.peer, std::move(reply));
      });
    case schema::ControlRequest::ATTACH:
      return attached(connection, [&](Reply<Attached> reply) {
        mux.attach(read_attach(request.getAttach()), connection.peer, std::move(reply));
      });
    case schema::ControlRequest::RESUME:
      return resume(connection, request.getResume(), std::move(fds));
    case schema::ControlRequest::FETCH_REPLY:
      return fetch(connection, request.getFetchReply());
    case schema::ControlRequest::TEARDOWN:
      return teardown();
    case schema::ControlRequest::STATUS:
      return status_reply(loop, mux, config);
    case schema::ControlRequest::GAUGES:
      return gauges_reply(loop, mux, config, request.getGauges());
    case schema::ControlRequest::QUERY:
      return query(request.getQuery());
    case schema::ControlRequest::AGREE:
      return agree(request.getAgree());
    case schema::ControlRequest::SYNC:
      return sync(connection, request.getSync());
    default:
      return act(connection, request, std::move(fds));
  }
}

kj::Promise<OutgoingPtr> Server::Impl::query(schema::Query::Reader request) {
  auto [reply, promise] = reply_with_runs(loop);
  mux.query(name_in(request), request.getBarrier(), reply);
  return kj::mv(promise);
}

kj::Promise<OutgoingPtr> Server::Impl::sync(ClientConnection& connection,
                                            schema::Sync::Reader request) {
  auto [reply, promise] = reply_with_runs(loop);
  if (!connection.sync_client) {
    connection.sync_client = std::make_shared<SyncClient>(SyncClient{++sync_client_count});
  }
  mux.sync(read_sync(request), connection.sync_client, reply);
  return kj::mv(promise);
}

kj::Promise<OutgoingPtr> Server::Impl::agree(schema::Agree::Reader request) {
  auto [reply, promise] = reply_with<Agreed>(loop, [](Outgoing& out, Agreed& agreed) {
    auto to = out.reply().initAgreed();
    to.setStep(agreed.step);
    to.setRanks(agreed.ranks);
    to.setAsking(agreed.asking);
    to.setLate(agreed.late);
  });
  if (request.getWish() > schema::Agree::Wish::CHECKPOINT) {
    reply(Error{Code::kInvalidArgument, "agree: neither stop nor checkpoint"});
  } else {
    mux.agree(name_in(request), static_cast<Wish>(request.getWish()), reply);
  }
  return kj::mv(promise);
}

// Requests that are answered with `ok` or an error.
kj::Promise<OutgoingPtr> Server::Impl::act(ClientConnection& connection,
                                           schema::ControlRequest::Reader request,
                                           std::vector<shm::Fd> fds) {
  auto [reply, promise] = reply_with<Done>(loop, [](Outgoing& out, Done&) { out.reply().setOk(); });
  switch (request.which()) {
    case schema::ControlRequest::INFORM_START:
      mux.inform_start(request.getInformStart().cStr(), connection.uuids, reply);
      break;
    case schema::ControlRequest::BLOB: {
      const auto blob = request.getBlob();
      if (fds.empty()) {
        reply(Error{Code::kInvalidArgument, "a record without its file descriptor"});
      } else {
        mux.put_blob(name_in(blob), {blob.getProducer(), blob.getId()}, blob.getSize(),
                     std::move(fds.front()), connection.peer, reply);
      }
      break;
    }
    case schema::ControlRequest::FINISH:
      mux.finish(connection.uuids.empty() ? "" : connection.uuids.back(),
                 request.getFinish().getExitCode(), reply);
      break;
    case schema::ControlRequest::STOP:
      mux.request_stop({.run_id = request.getStop().cStr()}, reply);
      break;
    case schema::ControlRequest::BURST: {
      const auto burst = request.getBurst();
      mux.burst(name_in(burst), burst.getIntervalMs(), burst.getTimeMs(), reply);
      break;
    }
    case schema::ControlRequest::END_SYNC:
      if (connection.sync_client) {
        mux.end_sync(request.getEndSync().cStr(), *connection.sync_client);
      }
      reply(Done{});
      break;
    default:
      reply(Error{Code::kInvalidArgument, "the service does not know this request"});
  }
  return kj::mv(promise);
}

kj::Promise<OutgoingPtr> Server::Impl::attached(
    ClientConnection& connection, const std::function<void(Reply<Attached>)>& request) {
  auto pair =
      reply_with<Attached>(loop, [doorbell = config.doorbell_fd](Outgoing& out, Attached& a) {
        write_attached(a, out.reply().initAttached());
        out.fds.push_back(std::move(a.segment_fd));
        out.raw_fds.push_back(doorbell);
      });
  // The mux may reply after the connection is gone, so only the promise knows the connection.
  auto uuid = std::make_shared<std::string>();
  request([reply = std::move(pair.first), uuid](Result<Attached> result) {
    if (result) *uuid = result->uuid;
    reply(std::move(result));
  });
  return pair.second.then([&connection, uuid](OutgoingPtr&& out) {
    if (!uuid->empty()) connection.uuids.push_back(*uuid);
    return kj::mv(out);
  });
}

kj::Promise<OutgoingPtr> Server::Impl::resume(ClientConnection& connection,
                                              schema::Resume::Reader request,
                                              std::vector<shm::Fd> fds) {
  auto uuid = std::make_shared<std::string>();
  auto [reply, promise] = reply_with<std::string>(loop, [uuid](Outgoing& out, std::string& found) {
    *uuid = found;
    out.reply().setOk();
  });
  const std::string segment = request.getSegment().cStr();
  if (segment.empty() && fds.empty()) {
    reply(Error{Code::kInvalidArgument, "resume without a segment"});
  } else {
    mux.resume(segment, fds.empty() ? shm::Fd() : std::move(fds.front()), connection.peer, reply);
  }
  return promise.then([&connection, uuid](OutgoingPtr&& out) {
    if (!uuid->empty()) connection.uuids.push_back(*uuid);
    return kj::mv(out);
  });
}

kj::Promise<OutgoingPtr> Server::Impl::fetch(ClientConnection& connection,
                                             schema::FetchReply::Reader request) {
  auto bytes =
      mux.fetch_reply(connection.uuids, request.getSlot(), request.getWord(), connection.peer);
  if (!bytes) return error_reply(bytes.error());
  auto file = shm::create_memfd("ringlog-reply");
  if (!file) return error_reply(file.error());
  const Status written = shm::write_all(file->get(), std::as_bytes(std::span(*bytes)), "reply");
  if (!written) return error_reply(written.error());
  ::fcntl(file->get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL);
  auto out = kj::heap<Outgoing>();
  out->reply().setOk();
  out->fds.push_back(std::move(*file));
  return kj::mv(out);
}

kj::Promise<OutgoingPtr> Server::Impl::teardown() {
  auto [reply, promise] = reply_with<Done>(loop, [](Outgoing& out, Done&) { out.reply().setOk(); });
  mux.teardown(reply);
  log().info("teardown was asked for");
  // The answer goes out first: the loop is left a moment later.
  return promise.then([this](OutgoingPtr&& out) {
    constexpr int64_t kAnswerMs = 50;
    loop.after(kAnswerMs, [this] {
      close();
      loop.exit();
    });
    return kj::mv(out);
  });
}

void Server::Impl::keep_house() {
  if (is_closed) return;
  keep_reserve();
  KJ_IF_MAYBE (exception, kj::runCatchingExceptions([this] { mux.keep_house(); })) {
    log().critical("housekeeping: {}", exception->getDescription().cStr());
  }
  const int64_t now = clock.monotonic_ms();
  if (!mux.is_idle() || request_count > 0) {
    idle_since_ms = 0;
  } else if (idle_since_ms == 0) {
    idle_since_ms = now;
  } else if (config.idle_exit_ms >= 0 && now - idle_since_ms >= config.idle_exit_ms) {
    log().info("nothing to do for {} ms: the service exits", now - idle_since_ms);
    close();
    return loop.exit();
  }
  loop.after(kHousekeepingMs, [this] { keep_house(); });
}

// The socket's name goes first and then the lock, so that a client that finds neither starts the
// next service.
void Server::Impl::close() {
  if (std::exchange(is_closed, true)) return;
  ::unlinkat(config.runtime_dir_fd, "service.sock", 0);
  connections = nullptr;
  observer.reset();
  listener.reset();
}

}  // namespace ringlog::service
