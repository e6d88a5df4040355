// What it costs to bring a record from one process to another: every peer, sizes 80 B to 8 KiB.
//
// For each size and peer, in turn: two processes, one on each of two cores, started together; some
// records to warm up, then the time until the consumer has taken and summed up the last byte of the
// last record.  One run of this program is one round; scripts/bench runs several.
//
//   --seconds N    per measurement
//   --peers a,b    only these
//   --sizes 80,…   bytes of a record, header included
//   --folder PATH  for peers that need files
//   --verbose 1    a line per measurement on standard error

#include "bench/common.h"
#include "bench/machine.h"
#include "bench/peers/peer.h"

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <filesystem>
#include <sstream>

namespace ringlog::bench {

namespace {

struct Control {
  std::atomic<uint32_t> ready;
  int64_t begin_ns;
  int64_t end_ns;
  uint64_t count;
  uint64_t sum;
  std::atomic<uint64_t> cpu_ns;
};

struct Measured {
  double ns_per_record;
  double cpu_s_per_gb;
};

void wait_for_other(Control& control) {
  control.ready.fetch_add(1);
  while (control.ready.load() < 2) pause_for(0.0001);
}

void add_cpu_since(double before, Control& control) {
  control.cpu_ns.fetch_add(static_cast<uint64_t>((cpu_seconds() - before) * 1e9));
}

Measured measure(Peer& peer, const Job& job, uint64_t warm) {
  const Shared<Control> control;
  peer.open(job);
  const auto place = [&](size_t side) {
    if (peer.is_pinned()) pin_to({two_cpus()[side]});
  };
  Child consumer([&] {
    place(1);
    Sink sink(warm, job.record_size);
    const double cpu_before = cpu_seconds();
    wait_for_other(*control);
    peer.consume(job, sink);
    control->end_ns = sink.end_ns() != 0 ? sink.end_ns() : now_ns();
    add_cpu_since(cpu_before, *control);
    control->begin_ns = sink.warm_ns();
    control->count = sink.count();
    control->sum = sink.sum();
  });
  Child producer([&] {
    place(0);
    Source source(job);
    const double cpu_before = cpu_seconds();
    wait_for_other(*control);
    peer.produce(job, source);
    add_cpu_since(cpu_before, *control);
  });
  wait_for_all({&producer, &consumer}, 300);
  const uint64_t cpu_ns = control->cpu_ns.load() + peer.helper_cpu_ns();
  peer.close();
  Source source(job);
  if (control->count != job.count || control->sum != source.sum_after(job.count)) {
    fail(peer.name() + ": " + std::to_string(control->count) + " of " + std::to_string(job.count) +
         " records came, or not all bytes were right");
  }
  const auto bytes = static_cast<double>(job.count) * static_cast<double>(job.record_size);
  return {static_cast<double>(control->end_ns - control->begin_ns) /
              static_cast<double>(job.count - warm),
          static_cast<double>(cpu_ns) / bytes};
}

// About `seconds` of records.  A first guess by a short run is not worth its time for peers that
// take a second to set up, so each says what a record costs, roughly.
Job make_job(const Peer& peer, size_t size, double seconds, const std::string& folder) {
  Job job;
  job.record_size = size;
  job.folder = folder;
  job.count = peer.warm_count() + static_cast<uint64_t>(seconds * 1e9 / peer.expected_ns(size));
  return job;
}

std::vector<std::string> split(const std::string& text) {
  std::vector<std::string> parts;
  std::istringstream stream(text);
  for (std::string part; std::getline(stream, part, ',');) parts.push_back(part);
  return parts;
}

void run(const Arguments& arguments, Figures& figures) {
  const TempFolder folder(arguments.text("folder", std::filesystem::temp_directory_path()));
  const std::vector<std::string> wanted = split(arguments.text("peers"));
  const bool is_verbose = arguments.number("verbose", 0) != 0;
  add_machine_figures(figures);
  const auto peers = all_peers();
  for (const std::string& size_text : split(arguments.text("sizes", "80,1024,8192"))) {
    const size_t size = std::stoul(size_text);
    for (const auto& peer : peers) {
      if (!wanted.empty() && std::ranges::find(wanted, peer->name()) == wanted.end()) continue;
      if (const std::string why = peer->missing(); !why.empty()) {
        figures.note(peer->name() + ".missing", why);
        continue;
      }
      if (size > peer->record_size_max()) continue;
      const int64_t start_ns = now_ns();
      const Job job = make_job(*peer, size, arguments.seconds(), folder.path());
      const Measured measured = measure(*peer, job, peer->warm_count());
      const std::string name = peer->name() + "_" + size_text;
      if (is_verbose) {
        std::fprintf(stderr, "%-24s %8.0f ms  %10.1f ns\n", name.c_str(),
                     static_cast<double>(now_ns() - start_ns) / 1e6, measured.ns_per_record);
      }
      figures.set(name + ".ns_per_record", measured.ns_per_record);
      figures.set(name + ".cpu_s_per_gb", measured.cpu_s_per_gb);
      figures.note(peer->name() + ".settings", peer->settings());
      figures.note(peer->name() + ".lacks", peer->lacks());
    }
  }
}

}  // namespace

}  // namespace ringlog::bench

int main(int argc, char** argv) {
  return ringlog::bench::run_main(argc, argv, ringlog::bench::run);
}
