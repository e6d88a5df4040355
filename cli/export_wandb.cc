// export --format wandb: see docs/cli.md for what it looks like.

#include <fmt/format.h>
#include <time.h>  // NOLINT(modernize-deprecated-headers): localtime_r

#include <algorithm>
#include <filesystem>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "cli/export.h"
#include "cli/export_wandb_files.h"
#include "cli/target_dir.h"
#include "formats/console_text.h"
#include "formats/tfevents.h"
#include "formats/wandb_records.h"
#include "formats/wandb_run.h"
#include "formats/wandb_summary.h"
#include "reader/access.h"
#include "record/limits.h"
#include "shm/posix.h"
#include "store/row_json.h"

namespace ringlog::cli {

namespace {

using formats::MergedRow;
using formats::WandbItem;

using Facts = formats::WandbFacts;

uint64_t stored_rows(const store::ProducerState& producer) {
  uint64_t rows = 0;
  for (const store::RingState& ring : producer.rings) rows += ring.stored;
  return rows;
}

Result<Facts> read_facts(RunReader& run) {
  store::RunReader& reader = ReaderAccess::store(run);
  auto meta = reader.meta();
  if (meta) return formats::read_wandb_facts(reader, *std::move(meta));
  if (meta.error().code != Code::kNotFound) return meta.take_error();
  auto about = run.description();
  if (!about) return about.take_error();
  store::RunMeta named;
  named.run_id = about->id;
  named.project = about->project;
  return formats::read_wandb_facts(reader, std::move(named));
}

// One rank of a run, or all of it.
class WandbExport {
 public:
  WandbExport(store::RunReader& reader, const Facts& facts, std::optional<int32_t> rank)
      : reader_(reader), facts_(facts), rank_(rank) {
    if (rank_) filter_.ranks = {*rank_};
    for (const store::ProducerState& producer : facts_.producers) {
      if (stored_rows(producer) > 0) ranks_.insert(producer.rank);
    }
  }

  Result<ExportCount> write(const formats::WandbRun& run, const ExportedFiles& files, Output& out);

 private:
  bool is_mine(uint32_t producer) const {
    if (!rank_) return true;
    return std::any_of(facts_.producers.begin(), facts_.producers.end(),
                       [&](const auto& p) { return p.producer == producer && p.rank == *rank_; });
  }
  bool has_ranks() const { return !rank_ && ranks_.size() > 1; }
  Status find_speakers(std::map<uint32_t, formats::ConsoleText>& consoles) const;
  Status write_records(Output& out);
  Status write_stats(Output& out);
  Status write_rows(Output& out);
  Status write_end(Output& out);

  store::RunReader& reader_;
  const Facts& facts_;
  const std::optional<int32_t> rank_;
  std::set<int32_t> ranks_;  // that logged
  store::RowFilter filter_;
  formats::WandbRecords records_;
  formats::WandbSummary summary_{};
  MergedRow last_;
  ExportCount count_;
};

// Who has printed something, with the names of their lines when there are several.
Status WandbExport::find_speakers(std::map<uint32_t, formats::ConsoleText>& consoles) const {
  std::set<uint32_t> speaking;
  constexpr auto kConsole = static_cast<uint16_t>(schema::Record::CONSOLE);
  Status read = reader_.for_each_record(kConsole, 0, [&](const store::RecordView& view) {
    if (is_mine(view.producer)) speaking.insert(view.producer);
    return true;
  });
  if (!read) return read;
  for (const store::ProducerState& producer : facts_.producers) {
    // `ringlog exec` around a launcher speaks for all ranks.
    const bool is_alone = speaking.size() == 1 && producer.worker == record::kExecWorker;
    const bool has_label = !is_alone && !rank_ && (has_ranks() || speaking.size() > 1);
    consoles.try_emplace(producer.producer,
                         has_label ? "rank" + std::to_string(producer.rank) : "");
  }
  return Done{};
}

// What is no row: definitions of metrics, console, alerts.
Status WandbExport::write_records(Output& out) {
  std::map<uint32_t, formats::ConsoleText> consoles;
  if (Status s = find_speakers(consoles); !s) return s;
  int64_t time_ns = facts_.meta.created_ns;
  const auto write = [&](std::string_view text, bool is_stderr) {
    records_.console(text, is_stderr, time_ns, out.buffer());
  };
  Status read = reader_.for_each_record({}, 0, [&](const store::RecordView& view) {
    if (!is_mine(view.producer)) return true;
    time_ns = view.record.getTimeNs();
    if (view.record.isMetric()) {
      summary_.define(view.record.getMetric());
    } else if (view.record.isSummary()) {
      summary_.set_explicit(view.record.getSummary());
    } else if (view.record.isAlert()) {
      records_.alert(view.record.getAlert(), out.buffer());
    } else if (view.record.isConsole()) {
      const auto console = view.record.getConsole();
      const auto bytes = console.getData().asChars();
      consoles.try_emplace(view.producer, "")
          .first->second.add({bytes.begin(), bytes.size()},
                             console.getStream() == schema::Console::Stream::STDERR, write);
    }
    out.spill();
    return out.is_open();
  });
  for (auto& [producer, console] : consoles) console.finish(write);
  return read;
}

// Samples of the machine, which is every rank's.
Status WandbExport::write_stats(Output& out) {
  return reader_.for_each_stats(0, [&](const store::Stats& stats) {
    for (size_t i = 0; i < stats.samples(); ++i) {
      records_.stats(stats.names, stats.sample(i), stats.times_ns[i], out.buffer());
      out.spill();
    }
    return out.is_open();
  });
}

Status WandbExport::write_rows(Output& out) {
  formats::StepMerge merge(reader_, filter_, has_ranks());
  auto rows = merge.run(formats::kStepMax, [&](const MergedRow& row) {
    records_.history(row, merge.columns(), out.buffer());
    summary_.add(row, merge.columns());
    last_ = row;
    out.spill();
    return out.is_open();
  });
  if (!rows) return rows.take_error();
  store::RowFilter beyond = filter_;
  beyond.step_begin = formats::kStepMax + 1;
  auto left_out = reader_.for_each_row(beyond, [](const store::RowView&) { return true; });
  if (!left_out) return left_out.take_error();
  count_ = {*rows + *left_out, *left_out};
  return Done{};
}

Status WandbExport::write_end(Output& out) {
  const int64_t ended_ns = facts_.ended_ns(last_.time_ns);
  std::vector<WandbItem> items;
  if (Status s = summary_.items(reader_, rank_, items); !s) return s;
  for (const formats::WandbMetric& metric : summary_.metrics()) {
    records_.metric(metric, out.buffer());
  }
  records_.summary(items, last_, ended_ns, out.buffer());
  // A run that still goes on has no end: whoever reads the file then waits for more.
  if (facts_.is_running(rank_)) return Done{};
  records_.exit(facts_.exit_code(rank_), ended_ns, out.buffer());
  return Done{};
}

Result<ExportCount> WandbExport::write(const formats::WandbRun& run, const ExportedFiles& files,
                                       Output& out) {
  records_.begin(run, out.buffer());
  records_.files(files.names, out.buffer());
  if (Status s = write_records(out); !s) return s.take_error();
  if (Status s = write_stats(out); !s) return s.take_error();
  if (Status s = write_rows(out); !s) return s.take_error();
  if (Status s = write_end(out); !s) return s.take_error();
  return count_;
}

Result<ExportCount> write_run(store::RunReader& reader, const Facts& facts,
                              std::optional<int32_t> rank, const std::string& dir) {
  WandbExport exported(reader, facts, rank);
  const formats::WandbRun run = facts.run(rank);
  std::error_code error;
  std::filesystem::create_directories(dir + "/files", error);
  if (error) return shm::errno_error("make folder " + dir, error.value());
  auto file = ExportFile::create(fmt::format("{}/run-{}.wandb", dir, run.id));
  if (!file) return file.take_error();
  auto files = export_wandb_files(reader, rank, dir + "/files");
  if (!files) return files.take_error();
  auto count = exported.write(run, *files, file->out());
  if (!count) return count;
  count->missing_files = files->missing;
  if (Status s = file->finish(); !s) return s.take_error();
  return count;
}

// The name that W&B itself gives the folder of a run that was not online.
std::string folder_name(const store::RunMeta& meta, const std::string& suffix) {
  const time_t seconds = meta.created_ns / 1'000'000'000;
  tm local{};
  ::localtime_r(&seconds, &local);
  return fmt::format("offline-run-{:04}{:02}{:02}_{:02}{:02}{:02}-{}{}", local.tm_year + 1900,
                     local.tm_mon + 1, local.tm_mday, local.tm_hour, local.tm_min, local.tm_sec,
                     formats::wandb_id(meta.run_id), suffix);
}

// W&B takes a folder without this beginning for a run that is online, and does not upload it.
bool is_folder_of_run(const std::string& path) {
  const std::filesystem::path name(path);
  const auto last = name.has_filename() ? name.filename() : name.parent_path().filename();
  return last.string().starts_with("offline-run-");
}

}  // namespace

Result<ExportCount> export_wandb(RunReader& run, const std::string& path, bool splits_ranks) {
  auto facts = read_facts(run);
  if (!facts) return facts.take_error();
  std::set<std::optional<int32_t>> parts;
  for (const store::ProducerState& producer : facts->producers) {
    if (splits_ranks && stored_rows(producer) > 0) parts.insert(producer.rank);
  }
  if (!splits_ranks) parts.insert(std::nullopt);
  ExportCount sum;
  std::vector<TargetDir> targets;
  for (const std::optional<int32_t>& rank : parts) {
    const std::string suffix = rank ? fmt::format("-rank{}", *rank) : "";
    const bool is_run = !splits_ranks && is_folder_of_run(path);
    const std::string place = is_run ? path : path + "/" + folder_name(facts->meta, suffix);
    auto target = TargetDir::create(place);
    if (!target) return target.take_error();
    auto count = write_run(ReaderAccess::store(run), *facts, rank, target->place());
    if (!count) return count;
    sum.rows += count->rows;
    sum.left_out += count->left_out;
    sum.missing_files += count->missing_files;
    targets.push_back(*std::move(target));
  }
  for (TargetDir& target : targets) {
    if (Status s = target.publish(); !s) return s.take_error();
  }
  return sum;
}

}  // namespace ringlog::cli
