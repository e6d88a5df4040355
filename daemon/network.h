#pragma once
// Network: the thread of all Senders.
//
// add(), borrow(), give_back(), remove(), more(), when_sent() and post() from any thread; the
// senders themselves belong to the network thread.  Callbacks run on the network thread, which
// sleeps only where HttpTransport waits for all connections at once: a sink that hangs delays no
// other.

#include "daemon/clock.h"
#include "daemon/run_spec.h"
#include "daemon/sender.h"
#include "daemon/sinks/http_transport.h"
#include "daemon/task_queue.h"
#include "store/model.h"

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace ringlog::service {

struct Port;
struct Stream;

class Network {
 public:
  // What all sinks of a run have acknowledged, after each step; `state` is of
  // shm::ServiceWords::network_state.  `then` answers those who waited for that: to be run once it
  // is published.
  using Progress = std::function<void(const std::shared_ptr<Stream>&, store::Cursors sent,
                                      uint32_t state, std::vector<std::function<void()>> then)>;

  explicit Network(const Clock& clock) : clock_(clock), queue_([this] { http_.wake(); }) {}
  Network(const Network&) = delete;
  Network& operator=(const Network&) = delete;

  // Somebody at a sink's other end asked the run to stop.
  using Stop = std::function<void(const std::string& run_dir)>;

  // Before run().
  void on_progress(Progress progress) { progress_ = std::move(progress); }
  void on_stop(Stop stop) { stop_ = std::move(stop); }

  // Starts sending a run to these sinks; those it has already stay, unless they were refused: then
  // somebody may have put that right.
  void add(std::shared_ptr<Stream> stream, const std::vector<std::string>& urls);
  // The same for as long as the borrower wants it; all these sinks look at the store anew.
  void borrow(std::shared_ptr<Stream> stream, const std::vector<std::string>& urls,
              uint64_t borrower);
  // Sinks that only this borrower wanted get nothing more; what they have not acknowledged is sent
  // when somebody names them again.
  void give_back(const std::shared_ptr<Stream>& stream, uint64_t borrower);
  // Stops sending; `done` once nothing touches the stream any more.
  void remove(std::shared_ptr<Stream> stream, std::function<void()> done);
  // The run has new rows in the store.
  void more(const std::shared_ptr<Stream>& stream);
  // Calls `done` when every sink acknowledged the producer's rows below `lanes`; at once without
  // sinks.
  void when_sent(const std::shared_ptr<Stream>& stream, std::shared_ptr<Port> port,
                 store::Cursors lanes, std::function<void()> done);
  // Something slow that no other thread should do.
  void post(TaskQueue::Task task) { queue_.post(std::move(task)); }

  // Of the sinks of one run.
  struct View {
    std::vector<SinkStatus> sinks;
    bool is_idle = true;       // they have nothing to do
    bool is_stuck = false;     // all that have something to do wait after a failure…
    int64_t next_try_ms = 0;   // …until then (monotonic)
    bool has_refused = false;  // some want nothing any more, whether they have everything or not
    std::string behind{};      // those that have something to do, for people
  };
  void view(const std::shared_ptr<Stream>& stream, std::function<void(View)> done);

  // The thread's body, until stop().
  void run();
  void stop() { queue_.stop(); }

 private:
  struct Waiter {
    std::shared_ptr<Port> port;
    store::Cursors lanes;
    std::function<void()> done;
  };
  struct Line {
    std::shared_ptr<Stream> stream;
    std::vector<std::unique_ptr<Sender>> senders;
    std::map<Sender*, std::set<uint64_t>> borrowed;  // by whom; of the others the run is in need
    std::vector<Waiter> waiters;
    int64_t next_ms = 0;
  };
  void add_sinks(const std::shared_ptr<Stream>& stream, const std::vector<std::string>& urls,
                 std::optional<uint64_t> borrower);
  Sender* add_sink(Line& line, const std::string& url);
  void remember(const Line& line);
  void step(Line& line);
  void publish(Line& line) const;
  static bool is_sent(const Line& line, const store::Cursors& lanes);
  static View view_of(const Line& line);

  const Clock& clock_;
  HttpTransport http_;  // network thread, but for the wake-up
  Progress progress_ = [](const std::shared_ptr<Stream>&, const store::Cursors&, uint32_t,
                          const std::vector<std::function<void()>>& then) {
    for (const auto& answer : then) answer();
  };
  Stop stop_ = [](const std::string&) {};
  TaskQueue queue_;
  // Network thread.
  std::map<Stream*, Line> lines_;
  std::map<std::string, Sender::Memory> memories_;  // of closed runs: by directory and URL
};

}  // namespace ringlog::service
