// The control socket of a whole service: bytes go through the socket, the server's parser, the mux
// and whatever they ask for.
//
//   flags:u8 · bytes of the connection, framed as Cap'n Proto does     1: with a descriptor
//                                                                      2: gone at once
//
// Whatever they are, the connection is answered or closed, and another one is served as before.
// Three things are changed on the way, because they would reach beyond the test: the folder of runs
// is the fuzzer's own, rings are small and nothing is sent anywhere.  A teardown is left out, for
// it does what it says.

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cerrno>
#include <filesystem>
#include <future>
#include <memory>
#include <optional>
#include <thread>
#include <vector>

#include <capnp/message.h>
#include <capnp/serialize.h>
#include <fcntl.h>

#include "daemon/limits.h"
#include "daemon/service.h"
#include "schema/control.capnp.h"
#include "temp_dir.h"
#include "tests/fuzz/input.h"

namespace ringlog::fuzz {
namespace {

// Processes attached before the service is made anew: each has rings of 3 MiB for some seconds.
constexpr int kAttachedMax = 8;

// A service in threads of this process.
class Running {
 public:
  Running() {
    std::promise<void> ready;
    thread_ = std::thread([this, &ready] {
      auto place = service::claim_runtime_dir(runtime_);
      require(place && *place, "the runtime directory is ours");
      auto service = service::Service::start(**place, {});
      require(static_cast<bool>(service), "the service starts");
      service_ = service->get();
      ready.set_value();
      (*service)->run();
    });
    ready.get_future().wait();
  }
  ~Running() {
    service_->stop();
    thread_.join();
  }
  Running(const Running&) = delete;
  Running& operator=(const Running&) = delete;

  shm::Fd connect() const {
    shm::Fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    const std::string path = runtime_ + "/service.sock";
    std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
    const auto* const to = reinterpret_cast<sockaddr*>(&address);
    // Interrupted by libFuzzer's alarm, it is as if it had not been asked.
    int connected = -1;
    do {
      connected = ::connect(fd.get(), to, sizeof address);
    } while (connected != 0 && errno == EINTR);
    require(connected == 0, "the service listens");
    return fd;
  }
  const std::string& root() const { return root_; }

 private:
  test::TempDir directory_{"/dev/shm"};
  const std::string runtime_ = directory_.file("r");
  const std::string root_ = directory_.file("runs");
  std::thread thread_;
  service::Service* service_ = nullptr;
};

void send(int fd, std::span<const kj::byte> bytes, int with_fd) {
  iovec part{const_cast<kj::byte*>(bytes.data()), bytes.size()};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  if (with_fd >= 0) {
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    cmsghdr* const header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    std::memcpy(CMSG_DATA(header), &with_fd, sizeof with_fd);
  }
  // A service that hangs up while we still talk is a good answer.
  static_cast<void>(::sendmsg(fd, &message, MSG_NOSIGNAL));
}

// Looks at one reply; false when the service hung up.
template <typename Look>
bool receive(int fd, Look look) {
  pollfd poll{fd, POLLIN, 0};
  // Far above what a machine that fuzzes beside other work makes somebody wait.
  constexpr int kSilenceMs = 300'000;
  int answers = -1;
  do {
    answers = ::poll(&poll, 1, kSilenceMs);
  } while (answers < 0 && errno == EINTR);  // libFuzzer's own clock
  require(answers == 1, "the service answers or hangs up");
  try {
    capnp::StreamFdMessageReader reader(fd);
    look(reader.getRoot<schema::ControlReply>());
    return true;
  } catch (const kj::Exception&) {
    return false;
  }
}

void check_well(const Running& running) {
  const shm::Fd fd = running.connect();
  capnp::MallocMessageBuilder message;
  auto request = message.initRoot<schema::ControlRequest>();
  request.setVersion(schema::PROTOCOL_VERSION);
  request.setStatus();
  const auto words = capnp::messageToFlatArray(message);
  const auto bytes = words.asBytes();
  send(fd.get(), {bytes.begin(), bytes.size()}, -1);
  const bool is_served =
      receive(fd.get(), [](auto answer) { require(answer.isStatus(), "and answered"); });
  require(is_served, "another connection is served");
}

void tame(schema::ProducerSpec::Builder producer) {
  if (producer.getRingBytes() > shm::kRingBytesMin) producer.setRingBytes(shm::kRingBytesMin);
}

// A request that joins, for the fuzzer's own folder.
std::string tame(schema::ControlRequest::Reader request, const std::string& root) {
  capnp::MallocMessageBuilder copy;
  copy.setRoot(request);
  auto changed = copy.getRoot<schema::ControlRequest>();
  if (request.isInformInit()) {
    auto spec = changed.getInformInit();
    spec.setRoot(root.c_str());
    spec.initSinks(0);
    tame(spec.getProducer());
  } else {
    changed.getAttach().setRoot(root.c_str());
    tame(changed.getAttach().getProducer());
  }
  const auto words = capnp::messageToFlatArray(copy);
  const auto bytes = words.asBytes();
  return {reinterpret_cast<const char*>(bytes.begin()), bytes.size()};
}

// What is sent for these bytes; nothing: this is not for a service that shall go on.
std::optional<std::string> tame(const std::string& bytes, const std::string& root) {
  bool joins = false;
  std::optional<std::string> sent = bytes;
  try {
    kj::ArrayInputStream in(
        kj::arrayPtr(reinterpret_cast<const kj::byte*>(bytes.data()), bytes.size()));
    capnp::ReaderOptions options;
    options.traversalLimitInWords = service::kRequestBytesMax / 8;
    capnp::InputStreamMessageReader reader(in, options);
    const auto request = reader.getRoot<schema::ControlRequest>();
    if (request.isTeardown()) return std::nullopt;
    joins = request.isInformInit() || request.isAttach();
    // What follows it on the connection would be another request, a teardown perhaps.
    auto words = kj::heapArray<capnp::word>(bytes.size() / 8 + 1);
    std::memset(words.begin(), 0, words.size() * 8);
    std::memcpy(words.begin(), bytes.data(), bytes.size());
    const size_t size = capnp::expectedSizeInWordsFromPrefix(words.asPtr()) * 8;
    sent = joins ? tame(request, root) : bytes.substr(0, size);
  } catch (const kj::Exception&) {
    // Not even a request: the service will not get further.  A join that cannot be changed is left.
    if (joins) sent.reset();
  }
  return sent;
}

// True when a process was attached.
bool talk(const Running& running, uint8_t flags, const std::string& bytes) {
  const shm::Fd fd = running.connect();
  shm::Fd extra;
  if ((flags & 1) != 0) extra = std::move(*shm::create_memfd("extra"));
  if (extra) require(::ftruncate(extra.get(), 8) == 0, "a file in memory can grow");
  send(fd.get(), {reinterpret_cast<const kj::byte*>(bytes.data()), bytes.size()}, extra.get());
  // Without it a request that is cut short would be waited for, and so would its answer.
  ::shutdown(fd.get(), SHUT_WR);
  bool is_attached = (flags & 2) != 0;  // perhaps
  if (!is_attached) receive(fd.get(), [&](auto answer) { is_attached = answer.isAttached(); });
  return is_attached;
}

void run(Input input) {
  static std::unique_ptr<Running> running;
  static int attached = 0;
  if (!running || attached >= kAttachedMax) {
    running.reset();
    running = std::make_unique<Running>();
    attached = 0;
  }
  const uint8_t flags = input.take<uint8_t>();
  const auto bytes = tame(input.rest(), running->root());
  if (!bytes) return;
  if (talk(*running, flags, *bytes)) ++attached;
  check_well(*running);
}

}  // namespace
}  // namespace ringlog::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  ringlog::fuzz::run({data, size});
  return 0;
}
