// Writes the seeds of all fuzzers: real records, segments, chunks, values and requests, and some of
// what people do wrong.
//
//   build/fuzz/tests/make_corpus tests/fuzz/corpus
//
// The same each time.  A file that a fuzzer found lies beside the seeds under a name of its own and
// is left alone.

#include <capnp/message.h>
#include <capnp/serialize.h>

#include <algorithm>
#include <array>
#include <bit>
#include <filesystem>
#include <fstream>
#include <functional>
#include <vector>

#include "record/encode.h"
#include "record/row_template.h"
#include "schema/control.capnp.h"
#include "shm/ring.h"
#include "store/chunk.h"
#include "store/keys.h"
#include "tests/fuzz/input.h"

namespace ringlog::fuzz {
namespace {

std::string text_of(const record::Words& words) {
  return {reinterpret_cast<const char*>(words.data()), words.size() * 8};
}

// Keeps the files of one fuzzer.
class Corpus {
 public:
  Corpus(const std::filesystem::path& root, const char* fuzzer) : folder_(root / fuzzer) {
    std::filesystem::create_directories(folder_);
  }
  void add(const std::string& name, const std::string& bytes) const {
    std::ofstream file(folder_ / ("seed-" + name), std::ios::binary);
    file << bytes;
    require(static_cast<bool>(file.flush()), "a seed can be written");
  }

 private:
  std::filesystem::path folder_;
};

// Every type of record, with its name.
std::vector<std::pair<std::string, record::Words>> records() {
  using namespace record;  // NOLINT
  const std::vector<Item> pair = {{"x", 3.0}, {"y", true}};
  const std::vector<Value> mixed = {1, "two", nullptr, Value(pair)};
  const std::vector<double> floats = {1.0, -0.0};
  const std::vector<int64_t> integers = {1, -2, 3};
  const std::vector<Item> inner = {{"b", "c"}};
  const Item items[] = {{"loss", 0.5},
                        {"nested", Value(inner)},
                        {"list", Value(mixed)},
                        {"floats", Value(floats)},
                        {"ints", Value(integers)}};
  const ColumnSpec columns[] = {{"a", schema::ColumnType::INT64},
                                {"b\x1f"
                                 "c",
                                 schema::ColumnType::FLOAT64}};
  return {{"key-set", encode_key_set(65, columns, 1)},
          {"free-row", encode_free_row(1, 2, items)},
          {"config", encode_config(items, 1)},
          {"summary", encode_summary(inner, 1)},
          {"metric", encode_metric("loss*", {"epoch", {"min", "max"}, false}, 3)},
          {"alert", encode_alert("title", "text", AlertLevel::kWarn, 1)},
          {"console", encode_console("a line\n", true, 1)},
          {"file", encode_file({.name = "model/weights", .source = "/tmp/w"}, 4)},
          {"process", encode_process({.executable = "/bin/a",
                                      .build_id = "0a",
                                      .command = {"a", "b"},
                                      .environment = {{"RANK", "1"}},
                                      .git = {.root = "/r", .commit = "12"},
                                      .settings = {{"project", "p", "argument"}}},
                                     5)},
          {"finish", encode_finish(3, false, 1)},
          {"blob", encode_blob(1, 88, 1)},
          {"flush", encode_request({RequestKind::kFlush, Durability::kSynced, 1, 17}, 1)},
          {"finish-request", encode_request({RequestKind::kFinish, {}, 2, 17}, 1)},
          {"run-info", encode_request({RequestKind::kRunInfo, {}, 3, 17}, 1)}};
}

std::string row(uint64_t step, const std::vector<uint64_t>& bits) {
  std::vector<uint64_t> words = {record::kRowRootPointer, step, 5,
                                 record::row_list_pointer(bits.size())};
  words.insert(words.end(), bits.begin(), bits.end());
  return text_of(words);
}

void add_records(const std::filesystem::path& root) {
  const Corpus corpus(root, "record_fuzzer");
  for (const auto& [name, words] : records()) corpus.add(name, text_of(words));
  corpus.add("row-0", row(1, {}));
  corpus.add("row-4", row(2, {1, 2, 3, UINT64_MAX}));
}

void add_rings(const std::filesystem::path& root) {
  const Corpus corpus(root, "ring_reader_fuzzer");
  const auto records = [](uint16_t start, std::initializer_list<uint16_t> sizes) {
    Output out;
    out.put(start);
    for (const uint16_t size : sizes) {
      out.put<uint8_t>(3).put(static_cast<uint16_t>(size / 8)).put<uint16_t>(64);
      out.put<uint8_t>(4).put<uint8_t>(5);
    }
    return out;
  };
  corpus.add("records", records(0, {24, 80, 1024, 65528}).bytes());
  corpus.add("wrap", records(16380, {80, 80, 4096, 65528, 24}).bytes());
  corpus.add("tail-back",
             records(100, {80}).put<uint8_t>(2).put<uint64_t>(8).put<uint8_t>(4).bytes());
  const shm::RecordHeader torn{80, 64, 1, 9, 0};
  Output out = records(0, {80});
  out.put<uint8_t>(0).put<uint16_t>(10).put<uint8_t>(sizeof torn).put(torn);
  corpus.add("bad-header", out.put<uint8_t>(1).put<uint16_t>(20).put<uint8_t>(4).bytes());
  // Two of the largest: from the first poll on the reader copies out of a mapping.
  Output cut;
  cut.put<uint16_t>(0);
  for (int i = 0; i < 2; ++i) cut.put<uint8_t>(3).put<uint16_t>(8190).put<uint16_t>(64);
  cut.put<uint8_t>(4).put<uint8_t>(6).put<uint16_t>(8192 + 512);
  corpus.add("cut", cut.put<uint8_t>(4).bytes());
}

Output& add_message(Output& out, uint8_t ring, const record::Words& words) {
  return out.put<uint8_t>(3)
      .put(ring)
      .put(static_cast<uint16_t>(words.size() * 8))
      .text(text_of(words));
}

void add_segments(const std::filesystem::path& root) {
  const Corpus corpus(root, "segment_fuzzer");
  for (const auto& [name, words] : records()) {
    Output out;
    out.put<uint8_t>(0);
    add_message(out, 1, words).put<uint8_t>(2).put<uint8_t>(1).put<uint64_t>(7);
    corpus.add(name, out.put<uint8_t>(1).put<uint8_t>(1).bytes());
  }
  // A number with a pointer beside it that nobody follows who reads the number.
  record::Words config = record::encode_config(std::array{Item{"lr", 0.5}}, 1);
  const auto number = std::find(config.begin(), config.end(), std::bit_cast<uint64_t>(0.5));
  if (number != config.end() && number + 1 != config.end()) number[1] = 0x0001'0001'00ff'ff00;
  Output stray;
  add_message(stray.put<uint8_t>(0), 1, config).put<uint8_t>(1);
  corpus.add("stray-pointer", stray.bytes());
  const auto plain = [] {
    Output out;
    out.put<uint8_t>(0).put<uint8_t>(2).put<uint8_t>(0).put<uint64_t>(7).put<uint8_t>(1);
    return out;
  };
  corpus.add("cut", plain().put<uint8_t>(4).put<uint8_t>(3).put<uint8_t>(1).bytes());
  const auto full = [] {
    Output out;
    out.put<uint8_t>(0).put<uint8_t>(9).put<uint8_t>(0).put<uint8_t>(255);
    return out;
  };
  corpus.add("full", full().put<uint8_t>(1).put<uint8_t>(1).bytes());
  corpus.add("full-cut", full().put<uint8_t>(4).put<uint8_t>(24).put<uint8_t>(1).bytes());
  Output later = full();
  later.put<uint8_t>(1).put<uint8_t>(1).put<uint8_t>(9).put<uint8_t>(0).put<uint8_t>(255);
  corpus.add("full-cut-later", later.put<uint8_t>(4).put<uint8_t>(20).put<uint8_t>(1).bytes());
  corpus.add("hole-tails", plain().put<uint8_t>(5).put<uint8_t>(4).put<uint8_t>(1).bytes());
  corpus.add("hole-ring", plain().put<uint8_t>(5).put<uint8_t>(9).put<uint8_t>(1).bytes());
  corpus.add("restart", plain().put<uint8_t>(7).put<uint8_t>(1).put<uint8_t>(6).bytes());
  Output patch = plain();
  patch.put<uint8_t>(0).put<uint8_t>(4).put<uint16_t>(0).put<uint8_t>(8).put<uint64_t>(1 << 20);
  corpus.add("tail-ahead", patch.put<uint8_t>(1).bytes());
  Output header;
  header.put<uint8_t>(1).put<uint16_t>(8).put<uint8_t>(2);
  corpus.add("layout-newer", header.put<uint8_t>(1).bytes());
}

void add_mailbox(const std::filesystem::path& root) {
  const Corpus corpus(root, "mailbox_fuzzer");
  const auto claimed = [] {
    Output out;
    out.put<uint16_t>(0).put<uint8_t>(1).put<uint8_t>(0).put<uint16_t>(40);
    return out;
  };
  const auto answer = [](Output out) {
    return out.put<uint8_t>(2).put<uint8_t>(0).put<uint32_t>(0).put<uint8_t>(4).text("text").put(
        uint8_t{0});
  };
  corpus.add("answer", answer(claimed()).put<uint8_t>(4).put<uint8_t>(0).put<uint16_t>(5).bytes());
  corpus.add("cancel", answer(claimed().put<uint16_t>(5)).put<uint16_t>(4).bytes());
  corpus.add("fail", claimed().put<uint16_t>(3).put<uint32_t>(1).put<uint16_t>(4).bytes());
  Output scribble = claimed();
  scribble.put<uint16_t>(6).put<uint8_t>(64).put<uint8_t>(4).put<uint32_t>(UINT32_MAX);
  corpus.add("scribble", answer(scribble).put<uint16_t>(4).bytes());
}

void add_chunks(const std::filesystem::path& root) {
  using namespace store;  // NOLINT
  const Corpus corpus(root, "chunk_fuzzer");
  const KeySet keys{.id = 1,
                    .columns = {{"f", ColumnType::kFloat64},
                                {"i", ColumnType::kInt64},
                                {"o", ColumnType::kOther},
                                {"b", ColumnType::kBool},
                                {"u", ColumnType::kUint64}}};
  for (const size_t rows : std::initializer_list<size_t>{1, 10, 100, 900}) {
    RowBlock block({1, 0}, keys);
    uint64_t noise = 1;
    for (size_t i = 0; i < rows; ++i) {
      noise = noise * 6364136223846793005 + 1442695040888963407;
      const uint64_t numbers[] = {noise >> 12, i * i, i % 2, 7};
      const std::string cell = "cell " + std::to_string(i);
      const std::string_view view = cell;
      block.add_row(i, i * 2, static_cast<int64_t>(i * 1000 + noise % 64), numbers,
                    std::span(&view, 1));
    }
    const auto chunk = ChunkEncoder().encode(block, 0, rows, keys);
    require(static_cast<bool>(chunk), "a chunk can be made");
    Output out;
    out.put<uint8_t>(0).put(static_cast<uint16_t>(chunk->header.size())).text(chunk->header);
    const auto page = [&](size_t i) {
      return i < chunk->pages.size() ? chunk->pages[i] : std::string();
    };
    out.put(static_cast<uint16_t>(page(0).size())).text(page(0)).text(page(1));
    corpus.add("rows-" + std::to_string(rows), out.bytes());
  }
  Output cells;
  cells.put<uint8_t>(1).put<uint8_t>(0x0f);
  for (uint64_t cell = 1; cell <= 4; ++cell) cells.put(cell);
  corpus.add("cells", cells.put<uint8_t>(0xc0).put<uint8_t>(2).text("ab").put<uint8_t>(0).bytes());
}

void add_values(const std::filesystem::path& root) {
  using namespace store;  // NOLINT
  const Corpus corpus(root, "store_value_fuzzer");
  const auto add = [&](const char* name, uint8_t type, const std::string& bytes) {
    corpus.add(name, Output().put(type).text(bytes).bytes());
  };
  const KeySet keys{1,
                    {{"a", ColumnType::kFloat64},
                     {"b\x1f"
                      "c",
                      ColumnType::kOther}}};
  RunMeta meta;
  meta.run_id = "run";
  meta.tags = {"one", "two"};
  meta.command = {"python", "train.py"};
  meta.state = "running";
  ProducerState state;
  state.producer = 1;
  state.host = "host";
  state.state = "crashed";
  state.rings.push_back({80, 3, 3, 2, 1, 0, {{64, 1}}, "ring position 80: unknown record kind 7"});
  SinkState sink;
  sink.lanes[{1, 0}] = 7;
  sink.cursor = "cursor";
  add("key-set", 0, to_bytes(keys));
  add("run", 1, to_bytes(meta));
  add("producer", 2, to_bytes(state));
  add("sink", 3, to_bytes(sink));
  add("commit", 4, CommitState{3, 9}.to_bytes());
  const auto cell = [&](const char* name, const std::function<void(schema::Value::Builder)>& fill) {
    capnp::MallocMessageBuilder message;
    fill(message.initRoot<schema::Value>());
    add(name, 5, text_of(record::to_words(message)));
  };
  cell("text", [](auto value) { value.setText("\xffnot UTF-8\n"); });
  cell("number", [](auto value) { value.setFloat64(0.1); });
  cell("object", [](auto value) {
    auto fields = value.initObject(2);
    fields[0].setKey("a");
    fields[0].initValue().initFloat64List(3).set(1, -0.0);
    fields[1].setKey("b");
    fields[1].initValue().initList(2)[0].setBool(true);
  });
}

void add_requests(const std::filesystem::path& root) {
  const Corpus corpus(root, "control_fuzzer");
  const auto add = [&](const char* name, uint8_t flags, auto fill) {
    capnp::MallocMessageBuilder message;
    auto request = message.initRoot<schema::ControlRequest>();
    request.setVersion(schema::PROTOCOL_VERSION);
    fill(request);
    const auto words = capnp::messageToFlatArray(message);
    const auto bytes = words.asBytes();
    Output out;
    out.put(flags).text({reinterpret_cast<const char*>(bytes.begin()), bytes.size()});
    corpus.add(name, out.bytes());
  };
  add("init", 0, [](auto request) {
    auto spec = request.initInformInit();
    spec.setRunId("run");
    spec.setProject("project");
    spec.setRoot("/nowhere");
    spec.initTags(1).set(0, "tag");
    spec.initCommand(1).set(0, "train");
    spec.initProducer().setRank(-1);
    spec.getProducer().setAttempt(-1);
  });
  add("start", 0, [](auto request) { request.setInformStart("run"); });
  add("attach", 0, [](auto request) {
    auto attach = request.initAttach();
    attach.setRunId("run");
    attach.setProject("project");
    attach.setRoot("/nowhere");
    attach.initProducer().setParentProducer(1);
  });
  add("resume", 0, [](auto request) { request.initResume().setSegment("../x.seg"); });
  add("resume-memfd", 1, [](auto request) { request.initResume(); });
  add("blob", 1, [](auto request) {
    auto blob = request.initBlob();
    blob.setRunId("run");
    blob.setProducer(1);
    blob.setSize(8);
  });
  add("fetch", 0, [](auto request) { request.initFetchReply().setWord(17); });
  add("finish", 0, [](auto request) { request.initFinish().setExitCode(1); });
  add("status", 2, [](auto request) { request.setStatus(); });
  add("query", 0, [](auto request) { request.initQuery().setRunId("run"); });
  add("gauges", 0, [](auto request) { request.initGauges().setDir("/nowhere"); });
  add("stop", 0, [](auto request) { request.setStop("run"); });
  corpus.add("http", Output().put<uint8_t>(0).text("GET / HTTP/1.1\r\n\r\n").bytes());
  corpus.add("huge", Output().put<uint8_t>(0).put<uint64_t>(uint64_t{1} << 60).bytes());
}

void add_texts(const std::filesystem::path& root) {
  const Corpus settings(root, "settings_fuzzer");
  settings.add("file",
               "project = \"demo\"\ntags = [\"a\", \"b\"]\nrank = 3\nstrict = true\n"
               "full_ring = \"coalesce\"\nring_bytes = 1048576\n");
  settings.add("wrong-type", "rank = 1.5\n");
  settings.add("nested", "a = [[[[{b = {c = 1}}]]]]\n[x]\ny = 1979-05-27T07:32:00Z\n");
  settings.add("variables",
               "---\nRINGLOG_PROJECT=demo\nRINGLOG_RUN_ID=x\nRINGLOG_TAGS=a,b,,c\n"
               "RINGLOG_DURABILITY=synced\nRINGLOG_SINKS=jsonl+file:///x\n");
  settings.add("torchrun",
               "---\nRANK=1\nLOCAL_RANK=1\nWORLD_SIZE=2\nMASTER_ADDR=h\nMASTER_PORT=1\n"
               "TORCHELASTIC_RUN_ID=my/job\nTORCHELASTIC_RESTART_COUNT=2\n");
  settings.add("slurm", "---\nSLURM_PROCID=1\nSLURM_STEP_ID=0\nSLURM_JOB_ID=77\nSLURM_NTASKS=4\n");
  settings.add("long-job", "---\nSLURM_PROCID=1\nSLURM_STEP_ID=" + std::string(100, '1') +
                               "\nSLURM_JOB_ID=" + std::string(100, '2') + "\n");
  settings.add("delete", "run_id = \"a\\u007f\"\n");
  settings.add("nul", "dir = \"a\\u0000b\"\n");
  settings.add("openmpi", "---\nOMPI_COMM_WORLD_RANK=1\nPMIX_NAMESPACE=prte\n");
  settings.add("pmi", "---\nPMI_RANK=1\nPMI_JOBID=job\n");
  const Corpus names(root, "name_fuzzer");
  for (const char* name : {"run", "ru", "run-2", "latest", "demo/run", "other/x.y", "../x", "."}) {
    std::string file(name);
    std::replace(file.begin(), file.end(), '/', '_');
    names.add(file, name);
  }
  names.add("path",
            "a\x1f"
            "b\x1e"
            "1\x1e"
            "0");
  names.add("utf8", "\xc3\xa9\xe2\x82\xac\xf0\x9f\xa6\x94");
}

}  // namespace
}  // namespace ringlog::fuzz

int main(int argc, char** argv) {
  ringlog::fuzz::require(argc == 2, "usage: make_corpus FOLDER");
  ringlog::fuzz::add_records(argv[1]);
  ringlog::fuzz::add_rings(argv[1]);
  ringlog::fuzz::add_segments(argv[1]);
  ringlog::fuzz::add_mailbox(argv[1]);
  ringlog::fuzz::add_chunks(argv[1]);
  ringlog::fuzz::add_values(argv[1]);
  ringlog::fuzz::add_requests(argv[1]);
  ringlog::fuzz::add_texts(argv[1]);
}
