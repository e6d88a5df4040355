// LTTng-UST: the tracer closest to what ringlog does; its consumer daemon writes trace files.
//
// A session in which the producer waits instead of losing events.  The time ends when the last byte
// is in the trace files; then every record is read back from them and checked.

#include "bench/peers/peer.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string_view>

namespace ringlog::bench {

namespace {

namespace fs = std::filesystem;

fs::path producer_program() {
  return fs::read_symlink("/proc/self/exe").parent_path() / "lttng_producer";
}

// Runs a program and gives what it printed.
std::string output_of(const std::string& command) {
  FILE* pipe = ::popen(command.c_str(), "r");
  if (pipe == nullptr) fail_errno(command);
  std::string text;
  std::array<char, 4096> part{};
  for (size_t n; (n = std::fread(part.data(), 1, part.size(), pipe)) > 0;) {
    text.append(part.data(), n);
  }
  if (::pclose(pipe) != 0) fail(command + " failed");
  return text;
}

void lttng(std::vector<std::string> words) {
  words.insert(words.begin(), {"lttng", "--no-sessiond"});
  if (run_program(words) != 0) fail("lttng " + words[2] + " failed");
}

class LttngUstPeer final : public Peer {
 public:
  ~LttngUstPeer() override {
    if (!daemon_) return;
    ::kill(daemon_->pid(), SIGTERM);
    for (int i = 0; i < 200 && !daemon_->has_ended(); ++i) pause_for(0.01);
  }
  std::string name() const override { return "lttng_ust"; }
  std::string settings() const override {
    return "8 sub-buffers of 2 MiB per CPU, waits instead of losing, to trace files";
  }
  std::string lacks() const override { return "survive a killed consumer, verify what was kept"; }
  std::string missing() const override {
    if (!fs::exists(producer_program())) return "its producer was not built";
    return has_program("lttng-sessiond") ? "" : "lttng-tools are not installed";
  }
  bool is_pinned() const override { return false; }
  double expected_ns(size_t size) const override { return 90 + 150 * kib(size); }

  void open(const Job& job) override {
    folder_ = std::make_unique<TempFolder>(job.folder);
    ::setenv("LTTNG_HOME", job.folder.c_str(), 1);
    start_daemon();
    session_ = fs::path(folder_->path()).filename();
    lttng({"create", session_, "--output=" + folder_->path() + "/trace"});
    lttng({"enable-channel", "--userspace", "--session=" + session_, "--subbuf-size=2M",
           "--num-subbuf=8", "--blocking-timeout=inf", "channel"});
    lttng({"enable-event", "--userspace", "--session=" + session_, "--channel=channel",
           "ringlog_bench:record"});
    lttng({"start", session_});
    helpers_before_ = daemons_cpu_ns();
    state_ = std::make_unique<Shared<State>>();
  }

  void produce(const Job& job, Source&) override {
    const std::string text = output_of(
        "LTTNG_UST_ALLOW_BLOCKING=1 LTTNG_UST_REGISTER_TIMEOUT=-1 " + producer_program().string() +
        " --size " + std::to_string(job.record_size) + " --count " + std::to_string(job.count) +
        " --warm " + std::to_string(warm_count()));
    const auto said = nlohmann::json::parse(text);
    State& state = **state_;
    state.begin_ns = std::stoll(said.at("begin_ns").get<std::string>());
    state.producer_cpu_ns = std::stoull(said.at("cpu_ns").get<std::string>());
    state.is_done.store(true, std::memory_order_release);
  }

  void consume(const Job& job, Sink& sink) override {
    State& state = **state_;
    while (!state.is_done.load(std::memory_order_acquire)) pause_for(0.0005);
    // Flushes what is in the buffers.  Its own waiting looks only five times a second.
    lttng({"stop", "--no-wait", session_});
    sink.override_times(state.begin_ns, wait_for_files(job));
    state.helper_cpu_ns = state.producer_cpu_ns + daemons_cpu_ns() - helpers_before_;
    for (const auto& file : fs::recursive_directory_iterator(folder_->path() + "/trace")) {
      if (file.is_regular_file() && file.path().filename() != "metadata" &&
          file.path().extension() != ".idx") {
        read_trace(file.path(), job, sink);
      }
    }
  }

  void close() override {
    lttng({"destroy", session_});
    state_.reset();
    folder_.reset();
  }

  uint64_t helper_cpu_ns() override { return (*state_)->helper_cpu_ns; }

 private:
  struct State {
    std::atomic<bool> is_done;
    int64_t begin_ns;
    uint64_t producer_cpu_ns;
    uint64_t helper_cpu_ns;
  };

  // Uses the session daemon that runs, or starts one for the time of this object.
  void start_daemon() {
    const std::vector<std::string> question = {"lttng", "--no-sessiond", "list"};
    if (run_program(question) == 0) return;
    daemon_ = std::make_unique<Child>([] {
      const int null = ::open("/dev/null", O_RDWR);
      for (int fd = 0; fd < 3; ++fd) ::dup2(null, fd);
      ::execlp("lttng-sessiond", "lttng-sessiond", "--no-kernel", nullptr);
      fail_errno("lttng-sessiond");
    });
    for (int i = 0; i < 200; ++i) {
      if (run_program(question) == 0) return;
      pause_for(0.05);
    }
    fail("lttng-sessiond does not answer");
  }

  // When the trace files stopped growing, once they hold at least the records' bytes.
  int64_t wait_for_files(const Job& job) const {
    constexpr int64_t kQuietNs = 50'000'000;
    const int64_t deadline = now_ns() + 60'000'000'000;
    uint64_t size = 0;
    int64_t grown_ns = now_ns();
    while (size < job.count * job.record_size || now_ns() - grown_ns < kQuietNs) {
      if (now_ns() > deadline) fail("lttng_ust: the trace does not become complete");
      uint64_t found = 0;
      for (const auto& file : fs::recursive_directory_iterator(folder_->path() + "/trace")) {
        if (file.is_regular_file()) found += file.file_size();
      }
      if (found != size) {
        size = found;
        grown_ns = now_ns();
      }
      pause_for(0.001);
    }
    return grown_ns;
  }

  static uint64_t daemons_cpu_ns() {
    uint64_t sum = 0;
    for (const auto& entry : fs::directory_iterator("/proc")) {
      const std::string pid = entry.path().filename();
      if (!std::all_of(pid.begin(), pid.end(), [](char c) { return c >= '0' && c <= '9'; })) {
        continue;
      }
      std::string name;
      std::getline(std::ifstream(entry.path() / "comm"), name);
      if (name == "lttng-consumerd" || name == "lttng-sessiond") sum += cpu_ns_of(std::stoi(pid));
    }
    return sum;
  }

  // Finds the records among the headers that LTTng puts around them, by their own first word.
  static void read_trace(const fs::path& path, const Job& job, Sink& sink) {
    std::ifstream file(path, std::ios::binary);
    const std::string bytes{std::istreambuf_iterator<char>(file), {}};
    const auto word = [&](size_t at) {
      uint64_t value = 0;
      std::memcpy(&value, bytes.data() + at, sizeof value);
      return value;
    };
    // A packet says, in bits, how much of it is content; behind that lies what was there before.
    constexpr size_t kContentSizeAt = 48;
    constexpr size_t kPacketSizeAt = 56;
    constexpr size_t kPacketHeader = 64;
    for (size_t packet = 0; packet + kPacketHeader <= bytes.size();) {
      const uint64_t packet_size = word(packet + kPacketSizeAt) / 8;
      const uint64_t content_size = word(packet + kContentSizeAt) / 8;
      if (packet_size < kPacketHeader || content_size > packet_size ||
          packet_size > bytes.size() - packet) {
        fail("lttng_ust: " + path.string() + " is not a trace of the kind this program knows");
      }
      read_packet(std::string_view(bytes).substr(packet, content_size), job, sink);
      packet += packet_size;
    }
  }

  static void read_packet(std::string_view content, const Job& job, Sink& sink) {
    Source source(job);
    const std::string_view mark(reinterpret_cast<const char*>(source.next()), 8);
    for (size_t at = content.find(mark); at != content.npos; at = content.find(mark, at)) {
      if (content.size() - at < job.record_size) break;
      sink.take(reinterpret_cast<const std::byte*>(content.data() + at));
      at += job.record_size;
    }
  }

  std::unique_ptr<Child> daemon_;
  std::unique_ptr<TempFolder> folder_;
  std::unique_ptr<Shared<State>> state_;
  std::string session_;
  uint64_t helpers_before_ = 0;
};

}  // namespace

std::unique_ptr<Peer> make_lttng_ust() { return std::make_unique<LttngUstPeer>(); }

}  // namespace ringlog::bench
