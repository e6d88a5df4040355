// The service: attaching, idling, answering.  What it stores: store_bench.
//
//   --part attach    64 ranks at once, then what the service costs while they do nothing
//   --part cold      the first init() where no service runs
//   --part children  1,000 forked children that log a row each, as data loaders do
//   --part rtt       a request through the mailbox, the same bytes over sockets, a bare futex
//   --part all       all of these
//   --seconds N      per measurement
//   --ranks N        instead of 64
//   --folder PATH    where runs are stored
//   --shm PATH       where the service's runtime directory is made

#include "bench/common.h"
#include "bench/gate.h"
#include "bench/histogram.h"
#include "bench/service.h"
#include "client/control_client.h"
#include "shm/futex.h"
#include "shm/posix.h"

#include <capnp/message.h>
#include <ringlog/ringlog.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
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

// --- monitor -----------------------------------------------------------------------------------

// CPU time of the threads that sample the machine, once a second, for one run.  The first sample,
// which looks through all of /proc, is part of it, as it is each ten seconds.
void measure_monitor(const Folders& folders, const char* name, double time_s, Figures& figures) {
  const Place place(folders);
  const Service service(place);
  Gate end;
  const Shared<std::atomic<uint32_t>> attached;
  Child rank([&] {
    Run run = open_run("monitor");
    attached->fetch_add(1);
    end.wait();
    run.finish(0);
  });
  wait_for_count(*attached, 1, 60);
  const auto used = [&] {
    uint64_t sum = 0;
    for (const auto& [thread, ns] : cpu_ns_by_thread(service.pid())) {
      if (thread == "monitor" || thread == "gpus" || thread == "gpu-pcie") sum += ns;
    }
    return static_cast<double>(sum);
  };
  const int64_t start = now_ns();
  pause_for(time_s);
  figures.set(name, 100 * used() / static_cast<double>(now_ns() - start));
  end.open();
  wait_for_all({&rank}, 120);
}

void measure_monitors(const Folders& folders, double time_s, Figures& figures) {
  measure_monitor(folders, "monitor.cpu_percent", time_s, figures);
  // The library of the tests, which answers at once: what is measured is ringlog, not a driver.
  ::setenv("LD_LIBRARY_PATH", FAKE_NVML_DIR, 1);
  ::setenv("FAKE_NVML_COUNT", "8", 1);
  measure_monitor(folders, "monitor_8_gpus.cpu_percent", time_s, figures);
}

// --- children ----------------------------------------------------------------------------------

// Children of one rank, 50 at a time as the workers of its loaders come and go; each attaches,
// logs a row and ends.
void measure_children(const Folders& folders, uint32_t count, Figures& figures) {
  constexpr uint32_t kAtOnce = 50;
  const Place place(folders);
  const Service service(place);
  const TempFolder folder(folders.disk);
  const std::string path = folder.path() + "/children";
  Child rank([&] {
    Run run = open_run("children");
    run.log({{"i", 0}});
    const int64_t start = now_ns();
    for (uint32_t done = 0; done < count; done += kAtOnce) {
      std::vector<std::unique_ptr<Child>> children;
      std::vector<Child*> all;
      for (uint32_t i = done; i < std::min(count, done + kAtOnce); ++i) {
        children.push_back(std::make_unique<Child>([&run, i] { run.log({{"i", i}}); }));
        all.push_back(children.back().get());
      }
      wait_for_all(all, 120);
    }
    Figures found;
    found.set("children_1000.ms",
              static_cast<double>(now_ns() - start) / 1e6 * 1000 / static_cast<double>(count));
    run.finish(0);
    found.save(path);
  });
  wait_for_all({&rank}, 600);
  figures.load(path);
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

void run_parts(const Arguments& arguments, Figures& figures) {
  const std::string part = arguments.text("part", "all");
  const double part_s = arguments.seconds();
  const Folders folders = folders_of(arguments);
  const auto is_wanted = [&](const char* name) { return part == "all" || part == name; };
  if (is_wanted("cold")) measure_cold(folders, figures);
  if (is_wanted("attach")) {
    measure_attach(folders, static_cast<uint32_t>(arguments.number("ranks", 64)), part_s, figures);
  }
  if (is_wanted("monitor")) measure_monitors(folders, 2 * part_s, figures);
  if (is_wanted("children")) {
    measure_children(folders, static_cast<uint32_t>(arguments.number("children", 1000)), figures);
  }
  if (is_wanted("rtt")) measure_round_trips(folders, part_s / 4, figures);
}

}  // namespace

}  // namespace ringlog::bench

int main(int argc, char** argv) {
  return ringlog::bench::run_main(argc, argv, ringlog::bench::run_parts);
}
