// StreamMux: what moves while runs are open, for whoever watches.
//
// Words and positions are read by the drain thread, sinks are asked by the network thread, the
// answer is put together here.  A thread that is busy for longer than kGaugesWaitMs, because a disk
// hangs, costs its part of the answer: that is when people look.

#include "daemon/gauges.h"
#include "daemon/stream_mux.h"

#include <utility>

namespace ringlog::service {

// One answer on its way; control thread.
struct StreamMux::GaugesLook {
  std::vector<std::shared_ptr<Stream>> streams;
  Reply<Gauges> reply;
  Gauges gauges{};
  bool is_read = false;  // by the drain thread
  bool is_answered = false;

  void answer() {
    if (std::exchange(is_answered, true)) return;
    if (is_read) return reply(std::move(gauges));
    reply(Error{Code::kTimeout, "the service is too busy to say how it is"});
  }
};

void StreamMux::gauges(const std::string& dir, const Reply<Gauges>& reply) {
  auto look = std::make_shared<GaugesLook>();
  look->streams = open_streams(dir.empty() ? open_dirs() : std::vector{dir});
  look->reply = reply;
  if (!dir.empty() && look->streams.empty()) {
    return reply(Error{Code::kNotFound, "no run is open in " + dir});
  }
  parts_.loop.after(kGaugesWaitMs, [look] { look->answer(); });
  parts_.drain.post([this, look, streams = look->streams] {
    auto read = std::make_shared<Gauges>();
    read->time_ns = shm::monotonic_ns();
    read->is_sinks_unknown = true;
    size_t room = kGaugesProducersMax;
    for (const auto& stream : streams) {
      read->runs.push_back(read_gauges(stream->info, stream->board, stream->intake,
                                       parts_.clock.monotonic_ms(), room));
      room -= read->runs.back().producers.size();
    }
    parts_.loop.post([this, look, read] {
      look->gauges = std::move(*read);
      look->is_read = true;
      ask_sinks(look);
    });
  });
}

void StreamMux::ask_sinks(const std::shared_ptr<GaugesLook>& look) {
  auto sinks = std::make_shared<std::vector<std::vector<SinkStatus>>>(look->streams.size());
  for (size_t i = 0; i < look->streams.size(); ++i) {
    parts_.network.view(look->streams[i],
                        [sinks, i](Network::View view) { (*sinks)[i] = std::move(view.sinks); });
  }
  // The network thread runs these in order.
  parts_.network.post([this, look, sinks] {
    parts_.loop.post([look, sinks] {
      if (look->is_answered) return;
      size_t room = kGaugesSinksMax;
      for (size_t i = 0; i < sinks->size(); ++i) {
        take_sinks(look->gauges.runs[i], std::move((*sinks)[i]), room, look->gauges.sinks_left_out);
      }
      look->gauges.is_sinks_unknown = false;
      look->answer();
    });
  });
}

}  // namespace ringlog::service
