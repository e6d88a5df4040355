// export: all rows of a run for other tools.

#include <fmt/format.h>

#include "cli/commands.h"
#include "cli/csv.h"
#include "cli/export.h"
#include "cli/format.h"
#include "cli/target_dir.h"
#include "cli/target_file.h"
#include "formats/tfevents.h"
#include "store/row_json.h"

namespace ringlog::cli {

namespace {

Status write_jsonl(store::RunReader& reader, Output& out, uint64_t& rows) {
  store::RowJson json;
  Status written = Done{};
  auto visited = reader.for_each_row({}, [&](const store::RowView& row) {
    written = json.append(row, out.buffer());
    out.buffer() += '\n';
    out.spill();
    return written && out.is_open();
  });
  if (!written) return written;
  if (!visited) return visited.take_error();
  rows = *visited;
  return Done{};
}

Status write_csv(store::RunReader& reader, Output& out, uint64_t& rows) {
  auto csv = CsvWriter::create(reader);
  if (!csv) return csv.take_error();
  csv->append_header(out.buffer());
  Status written = Done{};
  auto visited = reader.for_each_row({}, [&](const store::RowView& row) {
    written = csv->append(row, out.buffer());
    out.spill();
    return written && out.is_open();
  });
  if (!written) return written;
  if (!visited) return visited.take_error();
  rows = *visited;
  return Done{};
}

Status write_rows(store::RunReader& reader, ExportFormat format, Output& out, uint64_t& rows) {
  return format == ExportFormat::kCsv ? write_csv(reader, out, rows)
                                      : write_jsonl(reader, out, rows);
}

Status write_file(store::RunReader& reader, const ExportOptions& options, uint64_t& rows) {
  auto file = TargetFile::create(options.path);
  if (!file) return file.take_error();
  Output out(file->fd(), options.path);
  Status read = write_rows(reader, options.format, out, rows);
  out.flush();
  // A full disk is why reading was given up, so it is named first.
  if (Status s = out.status(); !s) return s;
  if (!read) return read;
  return file->publish();
}

// Where a folder goes: as the user says, else a name in the working directory that tells the run.
Result<std::string> folder_path(const OpenRun& run, const ExportOptions& options) {
  if (!options.path.empty()) return options.path;
  if (options.format != ExportFormat::kWandb) return run.place.run_id + "-tfevents";
  if (options.splits_ranks) return run.place.run_id + "-wandb";
  return wandb_folder_name(run);
}

// A folder of files in another tool's format.
int export_folder(const OpenRun& run, const ExportOptions& options) {
  auto path = folder_path(run, options);
  if (!path) return fail(path.error());
  auto target = TargetDir::create(*path);
  if (!target) return fail(target.error());
  auto count = options.format == ExportFormat::kWandb
                   ? export_wandb(run, target->place(), options.splits_ranks)
                   : export_tfevents(*run.reader, target->place());
  if (!count) return fail(count.error());
  if (Status s = target->publish(); !s) return fail(s.error());
  say(fmt::format("{} in {}", format_plural(count->rows, "row"), printable(*path)));
  if (count->left_out > 0) {
    say(fmt::format("warning: {} left out: its step is above {}, the largest of the format",
                    format_plural(count->left_out, "row"), formats::kStepMax));
  }
  return kExitOk;
}

bool is_text(ExportFormat format) {
  return format == ExportFormat::kJsonl || format == ExportFormat::kCsv;
}

}  // namespace

int run_export(Context& context, const ExportOptions& options) {
  if (options.splits_ranks && options.format != ExportFormat::kWandb) {
    say("export: --split-ranks belongs to --format wandb");
    return kExitUsage;
  }
  auto run = open_run(context, options.run);
  if (!run) return fail(run.error());
  if (!is_text(options.format)) return export_folder(*run, options);
  uint64_t rows = 0;
  if (options.path.empty() || options.path == "-") {
    const Status written = write_rows(*run->reader, options.format, context.out, rows);
    return written ? kExitOk : fail(written.error());
  }
  if (Status s = write_file(*run->reader, options, rows); !s) return fail(s.error());
  say(fmt::format("{} in {}", format_plural(rows, "row"), printable(options.path)));
  return kExitOk;
}

}  // namespace ringlog::cli
