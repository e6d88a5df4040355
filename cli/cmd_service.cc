// service start, stop and status: the service by hand.

#include <fmt/format.h>
#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "cli/commands.h"
#include "cli/format.h"
#include "cli/service.h"
#include "cli/table.h"
#include "client/launch.h"
#include "client/runtime_dir.h"
#include "shm/posix.h"

namespace ringlog::cli {

namespace {

using client::ControlClient;

// More than a service that is just ending may take.
constexpr std::chrono::milliseconds kLaunchWait{12'000};
// Between two tries to reach one that closes connections.
constexpr int kAskAgainMs = 10;
// The service gives its store ten seconds at the end; on top of that it may wait for a slow disk.
constexpr std::chrono::milliseconds kTeardownWait{60'000};

// The connection, a status and the service's own process: none of them outlives it.
struct Running {
  std::unique_ptr<ControlClient> client;
  ServiceStatus status;
};

Result<Running> ask_running(std::unique_ptr<ControlClient> client) {
  auto status = ask_status(*client, kStatusWait);
  if (!status) return status.take_error().in("service of " + client::runtime_dir());
  return Running{std::move(client), *std::move(status)};
}

// One that ends, or was killed, may still take a connection and then answers nobody.
Result<Running> launch() {
  const int64_t deadline = shm::monotonic_ns() + std::chrono::nanoseconds(kLaunchWait).count();
  for (;;) {
    const std::chrono::milliseconds left((deadline - shm::monotonic_ns()) / 1'000'000);
    auto client = client::connect_or_launch(client::runtime_dir(), left);
    if (!client) return client.take_error();
    auto running = ask_running(*std::move(client));
    const bool is_gone = !running && running.error().code == Code::kServiceGone;
    if (!is_gone || shm::monotonic_ns() > deadline) return running;
    ::poll(nullptr, 0, kAskAgainMs);
  }
}

// Waits until the process is gone; it may have ended already.
Status await_exit(const shm::Fd& pidfd, const ControlClient& client) {
  const int64_t deadline = shm::monotonic_ns() + std::chrono::nanoseconds(kTeardownWait).count();
  while (shm::monotonic_ns() < deadline) {
    // Without pidfds (a kernel before 5.3, a sandbox) the closed connection has to do.
    constexpr int kStepMs = 20;
    pollfd entry{pidfd.get(), POLLIN, 0};
    if (::poll(&entry, 1, pidfd ? 1000 : kStepMs) > 0) return Done{};
    if (!pidfd && !client.is_alive()) return Done{};
  }
  return Error{Code::kTimeout, "it stored everything but did not end in time"};
}

int say_not_running(const Context& context) {
  if (!context.is_json) say("the service is not running (" + client::runtime_dir() + ")");
  return kExitFailed;
}

Json document_of(const ServiceStatus& status) {
  Json runs = Json::array();
  for (const LiveRun& run : status.runs) {
    runs.push_back({{"id", run.run_id},
                    {"project", run.project},
                    {"dir", run.dir},
                    {"state", run.state},
                    {"producers", run.producers.size()},
                    {"live", run.live_count()},
                    {"backlog_bytes", run.backlog_bytes()}});
  }
  return {{"running", true},
          {"pid", status.pid},
          {"started", json_seconds(status.started_ns)},
          {"uptime", static_cast<double>(shm::realtime_ns() - status.started_ns) / 1e9},
          {"version", status.version},
          {"epoch", status.epoch},
          {"threads", status.threads},
          {"runtime_dir", client::runtime_dir()},
          {"log", status.log},
          {"runs", std::move(runs)}};
}

std::string page_of(const ServiceStatus& status, const Style& style) {
  const int64_t uptime = shm::realtime_ns() - status.started_ns;
  std::string text;
  const auto fact = [&](std::string_view name, const std::string& value) {
    text += paint(style, Ink::kDim, fmt::format("{:<9}", name)) + printable(value) + "\n";
  };
  fact("pid", std::to_string(status.pid));
  fact("uptime", format_duration(uptime));
  fact("version", status.version);
  fact("threads", std::to_string(status.threads));
  fact("runtime", client::runtime_dir());
  fact("log", status.log);
  fact("runs", std::to_string(status.runs.size()));
  if (status.runs.empty()) return text;
  Table table({{"ID", Table::Align::kLeft, 16},
               {"PROJECT", Table::Align::kLeft, 8},
               {"STATE"},
               {"LIVE", Table::Align::kRight},
               {"BACKLOG", Table::Align::kRight}});
  for (const LiveRun& run : status.runs) {
    table.add({{printable(run.run_id)},
               {printable(run.project)},
               {printable(run.state)},
               {format_count(run.live_count())},
               {format_bytes(run.backlog_bytes())}});
  }
  return text + "\n" + table.render(style);
}

}  // namespace

int run_service_start(Context& context) {
  auto found = find_service();
  const auto before = found ? ask_running(std::move(found))
                            : Result<Running>(Error{Code::kServiceGone, "there was none"});
  auto running = launch();
  if (!running) return fail(running.error());
  const bool was_running = before && before->status.pid == running->status.pid;
  context.out.write(fmt::format("the service {}, pid {}\n",
                                was_running ? "was running already" : "is running",
                                running->status.pid));
  return kExitOk;
}

int run_service_stop(Context& context) {
  auto client = connect_service();
  if (!client && client.error().code == Code::kServiceGone) return say_not_running(context);
  if (!client) return fail(client.error());
  auto running = ask_running(*std::move(client));
  if (!running) return fail(running.error());
  const int32_t pid = running->status.pid;
  const shm::Fd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  if (Status s = ask_teardown(*running->client, kTeardownWait); !s) {
    // Gone before it could answer is gone all the same; the log would say if it had crashed.
    if (s.error().code != Code::kServiceGone) {
      return fail(s.take_error().in("stop the service, pid " + std::to_string(pid)));
    }
  }
  if (Status s = await_exit(pidfd, *running->client); !s) {
    return fail(s.take_error().in(
        fmt::format("stop the service, pid {} (log: {})", pid, running->status.log)));
  }
  context.out.write(fmt::format("the service has stopped, pid {}\n", pid));
  return kExitOk;
}

int run_service_status(Context& context) {
  auto client = connect_service();
  if (!client && client.error().code == Code::kServiceGone) {
    if (context.is_json) {
      print_json(context, {{"running", false}, {"runtime_dir", client::runtime_dir()}});
    }
    return say_not_running(context);
  }
  if (!client) return fail(client.error());
  auto running = ask_running(*std::move(client));
  if (!running) return fail(running.error());
  if (context.is_json) {
    print_json(context, document_of(running->status));
  } else {
    context.out.write(page_of(running->status, context.style));
  }
  return kExitOk;
}

}  // namespace ringlog::cli
