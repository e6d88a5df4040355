// The service: attaching, idling, answering, storing.
//
//   --part attach    64 ranks at once, then what the service costs while they do nothing
//   --part cold      the first init() where no service runs
//   --part rtt       a request through the mailbox, the same bytes over sockets, a bare futex
//   --part store     8 producers of 4 doubles, two cores in all, until everything is stored
//   --part all       all of these
//   --seconds N      per measurement
//   --ranks N        instead of 64
//   --rows N         per producer, of the part `store`
//   --folder PATH    where runs are stored
//   --shm PATH       where the service's runtime directory is made

#include "bench/common.h"
#include "bench/histogram.h"
#include "bench/service.h"
#include "client/control_client.h"
#include "shm/futex.h"
#include "shm/posix.h"

#include <capnp/message.h>
#include <fcntl.h>
#include <poll.h>
#include <ringlog/ringlog.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "schema/control.capnp.h"

namespace ringlog::bench {

namespace {

using std::chrono::seconds;

Run open_run(const std::string& id, int32_t rank = 0) {
  return init({.project = "bench", .run_id = id, .rank = rank, .strict = true});
}

// Children wait at it, asleep, until the parent opens it.
class Gate {
 public:
  Gate() {
    if (::pipe2(ends_.data(), O_CLOEXEC) != 0) fail_errno("pipe");
  }
  ~Gate() {
    open();
    ::close(ends_[0]);
  }
  Gate(const Gate&) = delete;
  Gate& operator=(const Gate&) = delete;
  // In a child.
  void wait() {
    open();  // this process's copy
    pollfd entry{ends_[0], POLLIN, 0};
    ::poll(&entry, 1, -1);
  }
  // In the parent.
  void open() {
    if (ends_[1] >= 0) ::close(std::exchange(ends_[1], -1));
  }

 private:
  std::array<int, 2> ends_{};
};

void wait_for_count(const std::atomic<uint32_t>& word, uint32_t wanted, double timeout_s) {
  const int64_t deadline = now_ns() + static_cast<int64_t>(timeout_s * 1e9);
  while (word.load() < wanted) {
    if (now_ns() > deadline) fail("not all processes came so far in time");
    pause_for(0.0005);
  }
}

// A line of /proc/PID/status in MiB.
double status_mb(pid_t pid, const std::string& name) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/status");
  for (std::string word; file >> word;) {
    if (word == name + ":") {
      double kib = 0;
      file >> kib;
      return kib / 1024;
    }
  }
  return 0;
}

// --- attach and idle ---------------------------------------------------------------------------

struct AttachWords {
  std::atomic<uint32_t> ready;
  std::atomic<uint32_t> attached;
  std::atomic<int64_t> last_ns;
};

void measure_attach(const Folders& folders, uint32_t ranks, double idle_s, Figures& figures) {
  const Place place(folders);
  const Service service(place);
  const Shared<AttachWords> words;
  Gate start;
  Gate end;
  std::vector<std::unique_ptr<Child>> children;
  std::vector<Child*> all;
  for (uint32_t rank = 0; rank < ranks; ++rank) {
    children.push_back(std::make_unique<Child>([&, rank] {
      words->ready.fetch_add(1);
      start.wait();
      Run run = open_run("attach", static_cast<int32_t>(rank));
      int64_t last = words->last_ns.load();
      const int64_t now = now_ns();
      while (last < now && !words->last_ns.compare_exchange_weak(last, now)) {
      }
      words->attached.fetch_add(1);
      end.wait();
      run.finish(0);
    }));
    all.push_back(children.back().get());
  }
  wait_for_count(words->ready, ranks, 60);
  const int64_t start_ns = now_ns();
  start.open();
  wait_for_count(words->attached, ranks, 120);
  figures.set("attach_64.ms", static_cast<double>(words->last_ns.load() - start_ns) / 1e6);

  pause_for(std::min(idle_s, 3.0));  // what attaching left to do
  const uint64_t before = cpu_ns_of(service.pid());
  const int64_t idle_start = now_ns();
  pause_for(idle_s);
  figures.set("idle_64.cpu_percent", 100.0 *
                                         static_cast<double>(cpu_ns_of(service.pid()) - before) /
                                         static_cast<double>(now_ns() - idle_start));
  figures.set("idle_64.rss_mb",
              status_mb(service.pid(), "RssAnon") + status_mb(service.pid(), "RssFile"));
  figures.set("idle_64.rings_mb", status_mb(service.pid(), "RssShmem"));
  end.open();
  wait_for_all(all, 120);
}

// --- cold --------------------------------------------------------------------------------------

void measure_cold(const Folders& folders, Figures& figures) {
  const Place place(folders);
  ::setenv("RINGLOG_IDLE_EXIT_S", "5", 1);
  const Shared<std::atomic<int64_t>> took;
  Child first([&] {
    const int64_t start = now_ns();
    Run run = open_run("cold");
    took->store(now_ns() - start);
    run.finish(0);
  });
  wait_for_all({&first}, 60);
  figures.set("init_cold.ms", static_cast<double>(took->load()) / 1e6);
}

// --- round trips -------------------------------------------------------------------------------

template <typename Trip>
void measure_trips(const std::string& name, double trip_s, Figures& figures, const Trip& trip) {
  for (int i = 0; i < 20; ++i) trip();
  Histogram times;
  const int64_t end = now_ns() + static_cast<int64_t>(trip_s * 1e9);
  do {
    const int64_t start = now_ns();
    trip();
    times.add(static_cast<uint64_t>(now_ns() - start));
  } while (now_ns() < end);
  figures.set(name + ".p50_us", times.quantile(0.5) / 1000);
  figures.set(name + ".p99_us", times.quantile(0.99) / 1000);
}

void measure_mailbox(double trip_s, Figures& figures) {
  Run run = open_run("mailbox");
  measure_trips("mailbox_rtt", trip_s, figures, [&] {
    if (!run.deliver_run().wait(seconds(10))) fail("mailbox: no answer");
  });
  run.finish(0);
}

// The service's own control socket, which carries what the mailbox does not.
void measure_control(const Place& place, double trip_s, Figures& figures) {
  auto control = client::ControlClient::connect(place.runtime_dir());
  if (!control) fail(control.error().message);
  measure_trips("control_rtt", trip_s, figures, [&] {
    capnp::MallocMessageBuilder message;
    message.initRoot<schema::ControlRequest>().setStatus();
    if (!(*control)->call(message, {}, seconds(10))) fail("control: no answer");
  });
}

// As many bytes each way as deliver_run() takes through ring and slot; nothing is done with them.
void measure_unix_socket(double trip_s, Figures& figures) {
  constexpr size_t kRequestBytes = 64;
  constexpr size_t kReplyBytes = 184;
  std::array<int, 2> ends{};
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) != 0) {
    fail_errno("socketpair");
  }
  Child server([&] {
    ::close(ends[0]);
    std::array<char, kReplyBytes> bytes{};
    while (::recv(ends[1], bytes.data(), kRequestBytes, MSG_WAITALL) > 0) {
      if (::send(ends[1], bytes.data(), kReplyBytes, 0) < 0) fail_errno("send");
    }
  });
  ::close(ends[1]);
  std::array<char, kReplyBytes> bytes{};
  measure_trips("unix_socket_rtt", trip_s, figures, [&] {
    if (::send(ends[0], bytes.data(), kRequestBytes, 0) < 0 ||
        ::recv(ends[0], bytes.data(), kReplyBytes, MSG_WAITALL) != kReplyBytes) {
      fail_errno("unix socket");
    }
  });
  ::close(ends[0]);
  wait_for_all({&server}, 10);
}

void measure_futex(double trip_s, Figures& figures) {
  struct Words {
    alignas(128) std::atomic<uint32_t> ping;
    alignas(128) std::atomic<uint32_t> pong;
  };
  constexpr uint32_t kStop = ~uint32_t{0};
  const Shared<Words> words;
  const auto wait_for_change = [](const std::atomic<uint32_t>& word, uint32_t old) {
    while (word.load(std::memory_order_acquire) == old) shm::futex_wait(word, old, seconds(10));
    return word.load(std::memory_order_acquire);
  };
  Child other([&] {
    for (uint32_t seen = 0; (seen = wait_for_change(words->ping, seen)) != kStop;) {
      words->pong.store(seen, std::memory_order_release);
      shm::futex_wake_all(words->pong);
    }
  });
  uint32_t trip = 0;
  measure_trips("futex_rtt", trip_s, figures, [&] {
    ++trip;
    words->ping.store(trip, std::memory_order_release);
    shm::futex_wake_all(words->ping);
    while (wait_for_change(words->pong, trip - 1) != trip) {
    }
  });
  words->ping.store(kStop);
  shm::futex_wake_all(words->ping);
  wait_for_all({&other}, 20);
}

void measure_round_trips(const Folders& folders, double trip_s, Figures& figures) {
  {
    const Place place(folders);
    const Service service(place);
    measure_mailbox(trip_s, figures);
    measure_control(place, trip_s, figures);
  }
  measure_unix_socket(trip_s, figures);
  measure_futex(trip_s, figures);
}

// --- store -------------------------------------------------------------------------------------

constexpr uint32_t kProducers = 8;

// Values as training makes them: noisy, of float32, different in every row.
std::vector<std::array<double, 4>> make_values() {
  std::vector<std::array<double, 4>> values(8192);
  uint64_t state = 1;
  const auto noise = [&state] {
    state = state * 6364136223846793005ULL + 1442695040888963407ULL;
    return static_cast<double>(state >> 40) / static_cast<double>(1 << 24) - 0.5;
  };
  for (size_t i = 0; i < values.size(); ++i) {
    const auto t = static_cast<double>(i) / static_cast<double>(values.size());
    const std::array<double, 4> row = {2 * std::exp(-3 * t) + 0.05 * noise(), 1 + 0.3 * noise(),
                                       3e-4 * (1 + std::cos(3.14159 * t)) / 2,
                                       0.21 + 0.01 * noise()};
    for (size_t k = 0; k < row.size(); ++k) values[i][k] = static_cast<float>(row[k]);
  }
  return values;
}

void produce(uint32_t rank, uint64_t rows, const std::vector<std::array<double, 4>>& values) {
  Run run = init({.project = "bench",
                  .run_id = "store",
                  .rank = static_cast<int32_t>(rank),
                  .full_ring = FullRing::kWait,
                  .full_ring_wait_ms = 60'000,
                  .strict = true});
  Row row = run.row({"loss", "grad_norm", "lr", "step_time"});
  for (uint64_t i = 0; i < rows; ++i) row.log_cells(i, values[i % values.size()]);
  const FinishReport report = run.finish(0, std::chrono::minutes(4));
  if (report.attempted != rows || report.stored != rows || report.dropped != 0) {
    fail("store: " + std::to_string(report.stored) + " of " + std::to_string(rows) +
         " rows are stored, " + std::to_string(report.dropped) + " dropped");
  }
}

void measure_store(const Folders& folders, uint64_t rows, Figures& figures) {
  const auto cpus = two_cpus();
  pin_to({cpus[0], cpus[1]});
  const Place place(folders);
  const auto values = make_values();
  const Service service(place);
  Gate start;
  std::vector<std::unique_ptr<Child>> children;
  std::vector<Child*> all;
  const Shared<std::atomic<uint32_t>> ready;
  for (uint32_t rank = 0; rank < kProducers; ++rank) {
    children.push_back(std::make_unique<Child>([&, rank] {
      ready->fetch_add(1);
      start.wait();
      produce(rank, rows, values);
    }));
    all.push_back(children.back().get());
  }
  wait_for_count(*ready, kProducers, 60);
  const auto cpu_before = cpu_ns_by_thread(service.pid());
  const int64_t start_ns = now_ns();
  start.open();
  wait_for_all(all, 300);
  const auto took_ns = static_cast<double>(now_ns() - start_ns);
  const auto total = static_cast<double>(rows * kProducers);
  figures.set("store_8x4.rows_per_s", total * 1e9 / took_ns);
  figures.set("store_8x4.bytes_per_row",
              static_cast<double>(disk_bytes(place.root() + "/bench/store")) / total);
  uint64_t service_ns = 0;
  for (const auto& [name, ns] : cpu_ns_by_thread(service.pid())) {
    const auto before = cpu_before.find(name);
    const uint64_t used = ns - (before == cpu_before.end() ? 0 : before->second);
    service_ns += used;
    if (name == "drain") figures.set("drain.ns_per_row", static_cast<double>(used) / total);
    if (name == "store") figures.set("store.ns_per_row", static_cast<double>(used) / total);
  }
  figures.set("service.cpu_ns_per_row", static_cast<double>(service_ns) / total);
}

void run_parts(const Arguments& arguments, Figures& figures) {
  const std::string part = arguments.text("part", "all");
  const double part_s = arguments.seconds();
  const Folders folders = folders_of(arguments);
  const auto is_wanted = [&](const char* name) { return part == "all" || part == name; };
  if (is_wanted("cold")) measure_cold(folders, figures);
  if (is_wanted("attach")) {
    measure_attach(folders, static_cast<uint32_t>(arguments.number("ranks", 64)), part_s, figures);
  }
  if (is_wanted("rtt")) measure_round_trips(folders, part_s / 4, figures);
  if (is_wanted("store")) {
    measure_store(folders, static_cast<uint64_t>(arguments.number("rows", 1e6 * part_s)), figures);
  }
}

}  // namespace

}  // namespace ringlog::bench

int main(int argc, char** argv) {
  return ringlog::bench::run_main(argc, argv, ringlog::bench::run_parts);
}
