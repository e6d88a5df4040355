// export --format tfevents: see docs/cli.md for what it looks like.

#include <fmt/format.h>

#include <filesystem>
#include <optional>
#include <set>
#include <tuple>
#include <utility>

#include "cli/export.h"
#include "formats/tfevents.h"
#include "reader/access.h"
#include "shm/posix.h"

namespace ringlog::cli {

namespace {

// Makes the files of one run, one after another, in the order in which rows are read.
class EventFolder {
 public:
  EventFolder(std::string dir, const std::vector<store::Metric>& metrics, bool has_ranks)
      : dir_(std::move(dir)), events_(metrics), has_ranks_(has_ranks) {}

  // The text goes to the beginning of the first file.
  void set_config(std::string text) { config_ = std::move(text); }

  Status add(const store::RowView& row) {
    ++count_.rows;
    if (row.step() > formats::kStepMax) {
      ++count_.left_out;
      return Done{};
    }
    if (!file_ || producer_ != row.producer().producer) {
      if (Status s = open(row); !s) return s;
    }
    if (Status s = events_.append(row, file_->out().buffer()); !s) return s;
    file_->out().spill();
    return file_->out().status();
  }

  Status finish() { return file_ ? file_->finish() : Status(Done{}); }
  const ExportCount& count() const { return count_; }

 private:
  std::string folder_of(const store::ProducerState& producer) const {
    std::string folder = dir_;
    if (has_ranks_) folder += fmt::format("/rank{}", producer.rank);
    if (producer.worker != 0) folder += fmt::format("/worker{}", producer.worker);
    return folder;
  }

  // Names sort as the files are to be read: the attempts of a rank one after another.
  static std::string name_of(const store::ProducerState& producer) {
    constexpr int64_t kNsPerSecond = 1'000'000'000;
    std::string host = producer.host.empty() ? "host" : producer.host;
    for (char& c : host) c = c == '/' ? '-' : c;
    return fmt::format("events.out.tfevents.{:010}.{:04}.{}.{}", producer.started_ns / kNsPerSecond,
                       producer.attempt, host, producer.pid);
  }

  Status open(const store::RowView& row) {
    if (Status s = finish(); !s) return s;
    const store::ProducerState& producer = row.producer();
    const std::string folder = folder_of(producer);
    std::error_code error;
    std::filesystem::create_directories(folder, error);
    if (error) return shm::errno_error("make folder " + folder, error.value());
    auto file = ExportFile::create(folder + "/" + name_of(producer));
    if (!file) return file.take_error();
    file_.emplace(*std::move(file));
    producer_ = producer.producer;
    std::string& out = file_->out().buffer();
    events_.append_version(producer.started_ns, out);
    if (!config_.empty()) events_.append_text("config", config_, producer.started_ns, out);
    config_.clear();
    // A rank that came back does some steps again; TensorBoard then hides the older ones.
    const std::tuple lane(producer.rank, producer.worker);
    if (!lanes_.insert(lane).second) events_.append_restart(row.time_ns(), row.step(), out);
    return Done{};
  }

  const std::string dir_;
  formats::TfEvents events_;
  const bool has_ranks_;
  std::string config_;
  std::optional<ExportFile> file_;
  uint32_t producer_ = 0;                          // whose file it is
  std::set<std::tuple<int32_t, uint32_t>> lanes_;  // rank and worker of the files so far
  ExportCount count_;
};

// The config as TensorBoard shows it best: a table of Markdown.
void append_config(std::string& out, const std::string& path, const store::Tree& value) {
  if (const store::Tree::Object* object = value.object()) {
    for (const auto& [key, child] : *object) {
      append_config(out, path.empty() ? key : path + "." + key, child);
    }
    return;
  }
  const std::string* text = value.text();
  std::string line = path + "` | `" + (text != nullptr ? *text : store::to_json(value));
  for (char& c : line) c = c == '\n' || c == '\r' ? ' ' : c;
  out += "\n| `" + line + "` |";
}

}  // namespace

Result<ExportCount> export_tfevents(RunReader& run, const std::string& dir) {
  store::RunReader& reader = ReaderAccess::store(run);
  auto metrics = reader.metrics();
  if (!metrics) return metrics.take_error();
  auto config = reader.config();
  if (!config) return config.take_error();
  std::set<int32_t> ranks;
  for (const store::Metric& metric : *metrics) {
    for (const auto& [rank, rows] : metric.rows_by_rank) ranks.insert(rank);
  }
  EventFolder folder(dir, *metrics, ranks.size() > 1);
  if (!config->object()->empty()) {
    std::string table = "| key | value |\n| --- | --- |";
    append_config(table, "", *config);
    folder.set_config(std::move(table));
  }
  Status written = Done{};
  auto visited = reader.for_each_row({}, [&](const store::RowView& row) {
    written = folder.add(row);
    return static_cast<bool>(written);
  });
  if (!written) return written.take_error();
  if (!visited) return visited.take_error();
  if (Status s = folder.finish(); !s) return s.take_error();
  return folder.count();
}

}  // namespace ringlog::cli
