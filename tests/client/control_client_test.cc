// The control connection against a service that behaves, and ones that do not.

#include "client/control_client.h"

#include <capnp/message.h>
#include <capnp/serialize.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <functional>
#include <mutex>
#include <new>
#include <thread>

#include "result_matchers.h"
#include "seed.h"
#include "temp_dir.h"
#include "watchdog.h"

namespace {

// The allocation of this thread that fails, counted down; 0: none will, or it has failed.
thread_local int t_fails_in = 0;

void* allocate(size_t size) {
  if (t_fails_in > 0 && --t_fails_in == 0) throw std::bad_alloc();
  void* const at = std::malloc(size == 0 ? 1 : size);
  if (at == nullptr) throw std::bad_alloc();
  return at;
}

}  // namespace

void* operator new(size_t size) { return allocate(size); }
void* operator new[](size_t size) { return allocate(size); }
void operator delete(void* at) noexcept { std::free(at); }
void operator delete[](void* at) noexcept { std::free(at); }
void operator delete(void* at, size_t) noexcept { std::free(at); }
void operator delete[](void* at, size_t) noexcept { std::free(at); }

namespace ringlog::client {
namespace {

using std::chrono::milliseconds;
using test::FailsWith;
using test::IsOk;
using ::testing::HasSubstr;

constexpr milliseconds kLong{60'000};

std::vector<uint64_t> framed(const std::function<void(schema::ControlReply::Builder)>& fill) {
  capnp::MallocMessageBuilder message;
  fill(message.initRoot<schema::ControlReply>());
  const auto words = capnp::messageToFlatArray(message);
  std::vector<uint64_t> out(words.size());
  std::memcpy(out.data(), words.begin(), words.size() * 8);
  return out;
}

// One connection as the service has it.
class Peer {
 public:
  explicit Peer(int fd) : fd_(fd) {}
  ~Peer() { ::close(fd_); }
  Peer(const Peer&) = delete;
  Peer& operator=(const Peer&) = delete;

  // One request, whole; its descriptors are in `fds`.
  kj::Array<capnp::word> read() {
    std::vector<std::byte> bytes(4096);
    alignas(cmsghdr) char control[256];
    iovec part{bytes.data(), bytes.size()};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    const ssize_t n = ::recvmsg(fd_, &message, 0);
    for (cmsghdr* c = CMSG_FIRSTHDR(&message); n > 0 && c != nullptr;
         c = CMSG_NXTHDR(&message, c)) {
      const size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
      std::vector<int> numbers(count);
      std::memcpy(numbers.data(), CMSG_DATA(c), count * sizeof(int));
      for (const int number : numbers) fds.emplace_back(number);
    }
    auto words = kj::heapArray<capnp::word>(n > 0 ? static_cast<size_t>(n) / 8 : 0);
    std::memcpy(words.begin(), bytes.data(), words.size() * 8);
    return words;
  }
  void write(const void* bytes, size_t size, const std::vector<int>& with_fds = {}) {
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * 8)] = {};
    iovec part{const_cast<void*>(bytes), size};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    if (!with_fds.empty()) {
      const size_t fds_size = with_fds.size() * sizeof(int);
      message.msg_control = control;
      message.msg_controllen = CMSG_SPACE(fds_size);
      cmsghdr* const header = CMSG_FIRSTHDR(&message);
      header->cmsg_level = SOL_SOCKET;
      header->cmsg_type = SCM_RIGHTS;
      header->cmsg_len = CMSG_LEN(fds_size);
      std::memcpy(CMSG_DATA(header), with_fds.data(), fds_size);
    }
    ::sendmsg(fd_, &message, MSG_NOSIGNAL);
  }
  void write(const std::vector<uint64_t>& words, const std::vector<int>& with_fds = {}) {
    write(words.data(), words.size() * 8, with_fds);
  }
  // Until the client closes.
  void await_close() {
    char byte;
    while (::recv(fd_, &byte, 1, 0) > 0) {
    }
  }

  std::vector<shm::Fd> fds;

 private:
  const int fd_;
};

// A service whose whole life is `script`, run with its first connection in a thread of its own.
class FakeService {
 public:
  explicit FakeService(std::function<void(Peer&)> script, const std::string& below = {})
      : path_(dir_.path() + below) {
    std::filesystem::create_directories(path_);
    listener_ = ::socket(AF_UNIX, SOCK_STREAM, 0);
    // Through the descriptor's path, because `below` may be long.
    const auto directory = std::move(*shm::open_file(path_, O_PATH | O_DIRECTORY));
    const std::string name = "/proc/self/fd/" + std::to_string(directory.get()) + "/service.sock";
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, name.c_str(), name.size() + 1);
    EXPECT_EQ(::bind(listener_, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    EXPECT_EQ(::listen(listener_, 1), 0);
    thread_ = std::thread([this, script = std::move(script)] {
      const int fd = ::accept(listener_, nullptr, nullptr);
      if (fd < 0) return;
      Peer peer(fd);
      script(peer);
    });
  }
  ~FakeService() {
    // Wakes an accept() that nobody came for.
    ::shutdown(listener_, SHUT_RDWR);
    thread_.join();
    ::close(listener_);
  }
  FakeService(const FakeService&) = delete;
  FakeService& operator=(const FakeService&) = delete;

  Result<std::unique_ptr<ControlClient>> try_connect() { return ControlClient::connect(path_); }
  std::unique_ptr<ControlClient> connect() {
    auto client = try_connect();
    EXPECT_THAT(client, IsOk());
    return client ? std::move(*client) : nullptr;
  }

 private:
  test::TempDir dir_;
  const std::string path_;
  int listener_ = -1;
  std::thread thread_;
};

Result<ControlAnswer> ask(ControlClient& client, milliseconds timeout = kLong,
                          std::span<const int> fds = {}) {
  capnp::MallocMessageBuilder message;
  message.initRoot<schema::ControlRequest>().setStatus();
  return client.call(message, fds, timeout);
}

// What ask() makes of these bytes.
Result<ControlAnswer> answer_to(const std::vector<uint64_t>& words, milliseconds timeout = kLong) {
  FakeService service([&](Peer& peer) {
    peer.read();
    peer.write(words);
  });
  auto client = service.connect();
  return ask(*client, timeout);
}

std::vector<uint64_t> ok_reply() {
  return framed([](auto reply) { reply.setOk(); });
}

TEST(ControlClient, SaysWhereNobodyListens) {
  const test::TempDir dir;
  EXPECT_THAT(ControlClient::connect(dir.path()),
              FailsWith(Code::kServiceGone, HasSubstr(dir.path() + "/service.sock")));
  EXPECT_THAT(ControlClient::connect(dir.file("missing")), FailsWith(Code::kServiceGone));
}

TEST(ControlClient, DoesNotWaitForAServiceThatAcceptsNobody) {
  const test::Watchdog watchdog;
  FakeService service([](Peer& peer) { peer.await_close(); });
  std::vector<std::unique_ptr<ControlClient>> queued;
  for (auto client = service.try_connect(); client; client = service.try_connect()) {
    queued.push_back(std::move(*client));
    ASSERT_LT(queued.size(), 10u);
  }
  EXPECT_THAT(service.try_connect(), FailsWith(Code::kTimeout, HasSubstr("does not answer")));
}

TEST(ControlClient, SendsItsVersionAndBringsTheReply) {
  const test::Watchdog watchdog;
  uint32_t version = 0;
  bool is_status = false;
  FakeService service([&](Peer& peer) {
    auto words = peer.read();
    capnp::FlatArrayMessageReader reader(words);
    version = reader.getRoot<schema::ControlRequest>().getVersion();
    is_status = reader.getRoot<schema::ControlRequest>().isStatus();
    peer.write(framed([](auto reply) { reply.initStatus().setPid(4711); }));
  });
  auto client = service.connect();
  auto answer = ask(*client);
  ASSERT_THAT(answer, IsOk());
  EXPECT_EQ(answer->reply().getStatus().getPid(), 4711);
  EXPECT_EQ(version, schema::PROTOCOL_VERSION);
  EXPECT_TRUE(is_status);
}

TEST(ControlClient, TalksThroughPathsLongerThanASocketAddress) {
  const test::Watchdog watchdog;
  FakeService service(
      [](Peer& peer) {
        peer.read();
        peer.write(ok_reply());
      },
      "/" + std::string(150, 'd'));
  auto client = service.connect();
  ASSERT_NE(client, nullptr);
  EXPECT_THAT(ask(*client), IsOk());
}

TEST(ControlClient, ReplyMayComeInPieces) {
  const test::Watchdog watchdog;
  FakeService service([](Peer& peer) {
    peer.read();
    const auto words = framed([](auto reply) { reply.initStatus().setVersion("1.2.3"); });
    const char* const bytes = reinterpret_cast<const char*>(words.data());
    for (size_t i = 0; i < words.size() * 8; ++i) peer.write(bytes + i, 1);
  });
  auto client = service.connect();
  auto answer = ask(*client);
  ASSERT_THAT(answer, IsOk());
  EXPECT_EQ(answer->reply().getStatus().getVersion(), "1.2.3");
}

TEST(ControlClient, LargeReplyIsRead) {
  const test::Watchdog watchdog;
  const std::string text(1 << 20, 'x');
  FakeService service([&](Peer& peer) {
    peer.read();
    peer.write(framed([&](auto reply) { reply.initStatus().setVersion(text.c_str()); }));
  });
  auto client = service.connect();
  auto answer = ask(*client);
  ASSERT_THAT(answer, IsOk());
  EXPECT_EQ(answer->reply().getStatus().getVersion().size(), text.size());
}

TEST(ControlClient, DescriptorsGoBothWays) {
  const test::Watchdog watchdog;
  const shm::Fd mine = std::move(*shm::create_memfd("mine"));
  const shm::Fd theirs = std::move(*shm::create_memfd("theirs"));
  ASSERT_EQ(::write(mine.get(), "from client", 11), 11);
  ASSERT_EQ(::write(theirs.get(), "from service", 12), 12);
  std::string seen(11, '\0');
  FakeService service([&](Peer& peer) {
    peer.read();
    if (peer.fds.size() == 1) {
      (void)shm::read_at(peer.fds[0].get(), std::as_writable_bytes(std::span(seen)), 0, "fd");
    }
    peer.write(ok_reply(), {theirs.get(), theirs.get()});
  });
  auto client = service.connect();
  const int fd = mine.get();
  auto answer = ask(*client, kLong, std::span(&fd, 1));
  ASSERT_THAT(answer, IsOk());
  EXPECT_EQ(seen, "from client");
  ASSERT_EQ(answer->fds().size(), 2u);
  std::string text(12, '\0');
  ASSERT_THAT(
      shm::read_at(answer->fds()[1].get(), std::as_writable_bytes(std::span(text)), 0, "fd"),
      IsOk());
  EXPECT_EQ(text, "from service");
  EXPECT_TRUE(::fcntl(answer->fds()[0].get(), F_GETFD) & FD_CLOEXEC);
}

TEST(ControlClient, ErrorOfTheServiceIsTheErrorOfTheCall) {
  const test::Watchdog watchdog;
  using ServiceCode = schema::ControlError::Code;
  const std::pair<ServiceCode, Code> codes[] = {{ServiceCode::INVALID, Code::kInvalidArgument},
                                                {ServiceCode::VERSION, Code::kVersion},
                                                {ServiceCode::PERMISSION, Code::kPermission},
                                                {ServiceCode::UNKNOWN_RUN, Code::kNotFound},
                                                {ServiceCode::STORAGE, Code::kIo},
                                                {ServiceCode::LIMIT, Code::kBackpressure},
                                                {ServiceCode::INTERNAL, Code::kIo}};
  for (const auto& [theirs, ours] : codes) {
    EXPECT_THAT(answer_to(framed([code = theirs](auto reply) {
                  reply.initError().setCode(code);
                  reply.getError().setMessage("no run of that name");
                })),
                FailsWith(ours, "no run of that name"));
  }
}

TEST(ControlClient, NoReplyIsATimeout) {
  const test::Watchdog watchdog;
  FakeService service([](Peer& peer) { peer.await_close(); });
  auto client = service.connect();
  EXPECT_THAT(ask(*client, milliseconds(20)),
              FailsWith(Code::kTimeout, "the service does not answer"));
  EXPECT_FALSE(client->is_alive());
}

TEST(ControlClient, LateReplyIsNotTheNextQuestions) {
  const test::Watchdog watchdog;
  FakeService service([](Peer& peer) {
    peer.read();
    peer.write(framed([](auto reply) { reply.initStatus().setPid(1); }));
    peer.await_close();
  });
  auto client = service.connect();
  // Given up with the question sent: after no time at all.
  EXPECT_THAT(ask(*client, milliseconds(0)), FailsWith(Code::kTimeout));
  EXPECT_THAT(ask(*client), FailsWith(Code::kServiceGone, HasSubstr("given up")));
}

// Found by the rows of a program without memory: large ones were refused for want of their bytes.
TEST(ControlClient, ReplyThatNoMemoryCouldTakeIsNotTheNextQuestions) {
  const test::Watchdog watchdog;
  int failures = 0;
  for (int n = 1; n < 100; ++n) {
    // Answers with the text of the question.
    FakeService service([](Peer& peer) {
      for (auto words = peer.read(); words.size() > 0; words = peer.read()) {
        capnp::FlatArrayMessageReader reader(words);
        const auto text = reader.getRoot<schema::ControlRequest>().getStop();
        peer.write(framed([&](auto reply) { reply.initStatus().setVersion(text); }));
      }
    });
    auto client = service.connect();
    capnp::MallocMessageBuilder first;
    capnp::MallocMessageBuilder second;
    first.initRoot<schema::ControlRequest>().setStop("first");
    second.initRoot<schema::ControlRequest>().setStop("second");
    t_fails_in = n;
    try {
      const auto answer = client->call(first, {}, kLong);
      EXPECT_TRUE(answer);
    } catch (const std::bad_alloc&) {
      ++failures;
    }
    const bool has_failed = std::exchange(t_fails_in, 0) == 0;
    if (!has_failed) break;
    // Either it was never sent or its reply was read whole, or there is no next.
    auto next = client->call(second, {}, kLong);
    if (next) {
      EXPECT_EQ(next->reply().getStatus().getVersion(), "second");
    } else {
      EXPECT_THAT(next, FailsWith(Code::kServiceGone, HasSubstr("given up")));
      EXPECT_FALSE(client->is_alive());
    }
  }
  EXPECT_GT(failures, 3);
}

TEST(ControlClient, HalfAReplyIsATimeout) {
  const test::Watchdog watchdog;
  FakeService service([](Peer& peer) {
    peer.read();
    const auto words = ok_reply();
    peer.write(words.data(), words.size() * 8 - 1);
    peer.await_close();
  });
  auto client = service.connect();
  EXPECT_THAT(ask(*client, milliseconds(20)), FailsWith(Code::kTimeout));
}

TEST(ControlClient, ServiceThatReadsNothingIsATimeout) {
  const test::Watchdog watchdog;
  std::mutex mutex;
  std::condition_variable is_over;
  bool over = false;
  FakeService service([&](Peer&) {
    // Kept open, not read: the client's side fills up and stays so.
    std::unique_lock lock(mutex);
    is_over.wait(lock, [&] { return over; });
  });
  auto client = service.connect();
  capnp::MallocMessageBuilder message;
  const std::string text(16 << 20, 'x');
  message.initRoot<schema::ControlRequest>().setStop(text.c_str());
  EXPECT_THAT(client->call(message, {}, milliseconds(20)), FailsWith(Code::kTimeout));
  const std::lock_guard lock(mutex);
  over = true;
  is_over.notify_one();
}

TEST(ControlClient, ClosedConnectionMeansTheServiceIsGone) {
  const test::Watchdog watchdog;
  FakeService service([](Peer& peer) { peer.read(); });
  auto client = service.connect();
  EXPECT_THAT(ask(*client), FailsWith(Code::kServiceGone, HasSubstr("connection closed")));
  EXPECT_FALSE(client->is_alive());
  EXPECT_THAT(ask(*client), FailsWith(Code::kServiceGone));
}

TEST(ControlClient, IsAliveAsLongAsTheServiceHoldsTheConnection) {
  const test::Watchdog watchdog;
  FakeService service([](Peer& peer) { peer.await_close(); });
  auto client = service.connect();
  EXPECT_TRUE(client->is_alive());
}

TEST(ControlClient, ReplyThatIsTooLargeIsRefusedBeforeItIsRead) {
  const test::Watchdog watchdog;
  // One segment of 64 MiB and a word; only the first word comes.
  EXPECT_THAT(answer_to({uint64_t{(64 << 20) / 8 + 1} << 32}),
              FailsWith(Code::kCorrupt, HasSubstr("too large")));
  EXPECT_THAT(answer_to({uint64_t{0xffffffff} << 32}),
              FailsWith(Code::kCorrupt, HasSubstr("too large")));
}

// Found by this test: some of these threw out of call(), which is in the user's program.
TEST(ControlClient, GarbageIsAnErrorAndNeverThrows) {
  const test::Watchdog watchdog;
  const std::vector<std::vector<uint64_t>> replies = {
      {0xffffffff},                         // segment count 2^32
      {0xffffffffffffffff},                 // … and size
      {uint64_t{1000} << 32 | 0xffffffff},  // … of 1000 words
      {600, 0, 0, 0},                       // too many segments
      {0},                                  // no words, no root
      {uint64_t{1} << 32, ~uint64_t{0}},    // a root pointer that is none
      {uint64_t{1} << 32, 0},               // a null root: every field at its default
  };
  for (size_t i = 0; i < replies.size(); ++i) {
    SCOPED_TRACE("reply " + std::to_string(i));
    EXPECT_NO_THROW((void)answer_to(replies[i], milliseconds(50)));
  }
}

TEST(ControlClient, NoReplyWithFlippedBitsThrows) {
  const test::Watchdog watchdog;
  const uint64_t seed = test::seed();
  SCOPED_TRACE(test::seed_text(seed));
  test::Random random(seed);
  const auto good = framed([](auto reply) {
    reply.initError().setCode(schema::ControlError::Code::STORAGE);
    reply.getError().setMessage("text");
  });
  for (int round = 0; round < 300; ++round) {
    auto words = good;
    for (int i = 0; i < 2; ++i) {
      words[random.below(words.size())] ^= uint64_t{1} << random.below(64);
    }
    EXPECT_NO_THROW((void)answer_to(words, milliseconds(2)));
  }
}

}  // namespace
}  // namespace ringlog::client
