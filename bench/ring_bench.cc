// The pieces of the hot path one by one, in one process: encode a row, find its template, write it
// into a ring, copy the ring out.
//
// Google Benchmark; every case counts records as items, and scripts/bench reports CPU time per
// item. Each case ends with a check of what it produced.

#include "bench/common.h"
#include "bench/ring_memory.h"
#include "client/row_clock.h"
#include "client/template_table.h"
#include "record/message.h"
#include "record/row_template.h"

#include <benchmark/benchmark.h>
#include <capnp/message.h>
#include <ringlog/value.h>

#include <array>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "schema/record.capnp.h"

namespace ringlog::bench {

namespace {

// As if everything had been stored.
void empty(RingMemory& ring) {
  // ORDER head, tail: both ends are in this thread.
  ring.consumer().head.store(ring.producer().tail.load(std::memory_order_relaxed),
                             std::memory_order_relaxed);
}

record::RowTemplate shape_of(size_t key_count) { return {shm::kKindRowFirst, key_count}; }

void encode_row(benchmark::State& state) {
  const auto key_count = static_cast<size_t>(state.range(0));
  const record::RowTemplate shape = shape_of(key_count);
  std::vector<std::byte> record(shape.bytes);
  const std::vector<uint64_t> bits(key_count, 42);
  uint64_t seq = 0;
  for (auto _ : state) {
    record::write_row(record.data(), shape, seq, seq, 1, bits.data());
    ++seq;
    benchmark::DoNotOptimize(record.data());
    benchmark::ClobberMemory();
  }
  state.SetItemsProcessed(state.iterations());
  const auto payload = std::span<const std::byte>(record).subspan(sizeof(shm::RecordHeader));
  const auto row = record::read_row_fast(payload, key_count);
  if (!row || row->step != seq - 1) state.SkipWithError("the row is not what was written");
}
BENCHMARK(encode_row)->Arg(1)->Arg(4)->Arg(16)->Arg(64);

// What the template saves: the same message through Cap'n Proto's builder.
void build_row(benchmark::State& state) {
  const auto key_count = static_cast<capnp::uint>(state.range(0));
  std::vector<capnp::word> scratch(256);
  for (auto _ : state) {
    std::memset(scratch.data(), 0, scratch.size() * sizeof(capnp::word));
    capnp::MallocMessageBuilder message(kj::arrayPtr(scratch.data(), scratch.size()));
    auto row = message.initRoot<schema::Row>();
    row.setStep(1);
    row.setTimeNs(1);
    auto bits = row.initBits(key_count);
    for (capnp::uint i = 0; i < key_count; ++i) bits.set(i, 42);
    benchmark::DoNotOptimize(message.getSegmentsForOutput());
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(build_row)->Arg(4);

void find_template(benchmark::State& state) {
  const auto key_count = static_cast<size_t>(state.range(0));
  std::vector<std::string> keys;
  for (size_t i = 0; i < key_count; ++i) keys.push_back("train/metric_" + std::to_string(i));
  std::vector<Item> items;
  for (const std::string& key : keys) items.push_back({key, 0.5});
  client::TemplateTable table;
  const record::RowTemplate* added = table.add(items);
  for (auto _ : state) {
    const record::RowTemplate* found = table.find(items);
    benchmark::DoNotOptimize(found);
    if (found != added) state.SkipWithError("the template was not found");
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(find_template)->Arg(1)->Arg(4)->Arg(16)->Arg(64);

void write_ring(benchmark::State& state) {
  const auto size = static_cast<uint32_t>(state.range(0));
  RingMemory ring;
  shm::RingWriter writer = ring.writer();
  std::vector<std::byte> record(size);
  const shm::RecordHeader header{size, shm::kKindRowFirst, shm::kFlagRow, 2, 0};
  std::memcpy(record.data(), &header, sizeof header);
  for (auto _ : state) {
    std::byte* at = writer.try_reserve(size);
    if (at == nullptr) {
      empty(ring);
      at = writer.try_reserve(size);
    }
    std::memcpy(at, record.data(), size);
    writer.commit(size);
  }
  state.SetItemsProcessed(state.iterations());
  state.SetBytesProcessed(state.iterations() * size);
}
BENCHMARK(write_ring)->Arg(80)->Arg(1024)->Arg(8192);

// A row as row.log() writes it, without the clock.
void write_row_to_ring(benchmark::State& state) {
  RingMemory ring;
  shm::RingWriter writer = ring.writer();
  const record::RowTemplate shape = shape_of(4);
  const std::array<uint64_t, 4> bits{1, 2, 3, 4};
  for (auto _ : state) {
    const uint64_t seq = writer.take_seq();
    std::byte* at = writer.try_reserve(shape.bytes);
    if (at == nullptr) {
      empty(ring);
      at = writer.try_reserve(shape.bytes);
    }
    record::write_row(at, shape, seq, seq, 1, bits.data());
    writer.commit(shape.bytes);
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(write_row_to_ring);

// A backlog of 128 KiB copied out and checked, per record.
void poll_ring(benchmark::State& state) {
  const auto size = static_cast<uint32_t>(state.range(0));
  constexpr uint32_t kBacklog = 128 * 1024;
  RingMemory ring;
  shm::RingWriter writer = ring.writer();
  shm::RingReader reader = ring.reader();
  std::vector<std::byte> scratch;
  std::vector<shm::RecordView> views;
  const shm::RecordHeader header{size, shm::kKindRowFirst, shm::kFlagRow, 2, 0};
  int64_t records = 0;
  for (auto _ : state) {
    state.PauseTiming();
    for (uint32_t filled = 0; filled < kBacklog; filled += size) {
      std::byte* at = writer.try_reserve(size);
      std::memset(at, 1, size);
      std::memcpy(at, &header, sizeof header);
      writer.commit(size);
    }
    views.clear();
    state.ResumeTiming();
    if (!reader.poll(256 * 1024, scratch, views)) state.SkipWithError("poll");
    reader.give_back(reader.position());
    records += static_cast<int64_t>(views.size());
  }
  state.SetItemsProcessed(records);
}
BENCHMARK(poll_ring)->Arg(80)->Arg(1024)->Arg(8192);

void clock_realtime(benchmark::State& state) {
  for (auto _ : state) benchmark::DoNotOptimize(shm::realtime_ns());
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(clock_realtime);

void clock_row(benchmark::State& state) {
  client::RowClock clock;
  for (auto _ : state) benchmark::DoNotOptimize(clock.now_ns());
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(clock_row);

void clock_coarse(benchmark::State& state) {
  for (auto _ : state) benchmark::DoNotOptimize(shm::monotonic_coarse_ms());
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(clock_coarse);

#if defined(__x86_64__)
void clock_rdtsc(benchmark::State& state) {
  for (auto _ : state) benchmark::DoNotOptimize(__rdtsc());
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(clock_rdtsc);
#endif

}  // namespace

}  // namespace ringlog::bench

BENCHMARK_MAIN();
