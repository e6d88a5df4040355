// export: all rows of a run for other tools.

#include <fmt/format.h>

#include "cli/commands.h"
#include "cli/console.h"
#include "cli/export.h"
#include "cli/format.h"
#include "cli/target_dir.h"
#include "cli/target_file.h"
#include "formats/tfevents.h"
#include "reader/access.h"

namespace ringlog::cli {

namespace {

Status write_rows(RunReader& run, ExportFormat format, Output& out, uint64_t& rows) {
  const bool is_csv = format == ExportFormat::kCsv;
  if (is_csv) {
    auto header = run.csv_header();
    if (!header) return header.take_error();
    out.buffer() += *header + '\n';
  }
  auto visited =
      run.for_each_row(is_csv ? RowFormat::kCsv : RowFormat::kJson, {}, [&](const RowText& row) {
        out.buffer() += row.text;
        out.buffer() += '\n';
        out.spill();
        return out.is_open();
      });
  if (!visited) return visited.take_error();
  rows = *visited;
  return Done{};
}

Status write_lines(RunReader& run, bool is_json, Output& out, uint64_t& lines) {
  auto written = write_console(ReaderAccess::store(run), {}, is_json, out);
  if (!written) return written.take_error();
  lines = *written;
  return Done{};
}

bool is_of_console(const ExportOptions& options) {
  return options.is_console || options.format == ExportFormat::kLog;
}

Status write_text(RunReader& run, const ExportOptions& options, Output& out, uint64_t& rows) {
  const bool is_json = options.format == ExportFormat::kJsonl;
  if (is_of_console(options)) return write_lines(run, is_json, out, rows);
  return write_rows(run, options.format, out, rows);
}

Status write_file(RunReader& run, const ExportOptions& options, uint64_t& rows) {
  auto file = TargetFile::create(options.path);
  if (!file) return file.take_error();
  Output out(file->fd(), options.path);
  Status read = write_text(run, options, out, rows);
  out.flush();
  // A full disk is why reading was given up, so it is named first.
  if (Status s = out.status(); !s) return s;
  if (!read) return read;
  return file->publish();
}

Result<ExportCount> write_tfevents(RunReader& run, const std::string& path) {
  auto target = TargetDir::create(path);
  if (!target) return target.take_error();
  auto count = export_tfevents(run, target->place());
  if (!count) return count;
  if (Status s = target->publish(); !s) return s.take_error();
  return count;
}

// Says what the export lacks; the exit code for it.
int end_export(const RunReader& run, const ExportOptions& options, size_t said_count) {
  say_damage(run, said_count);
  if (run.damage().empty()) return kExitOk;
  say(fmt::format("{} is not exported whole: a part of its store cannot be read", options.run));
  return kExitFailed;
}

// A folder of files in another tool's format.
int export_folder(RunReader& run, const ExportOptions& options) {
  auto about = run.description();
  if (!about) return fail(about.error());
  const bool is_wandb = options.format == ExportFormat::kWandb;
  std::string path = options.path;
  if (path.empty()) path = is_wandb ? "wandb" : about->id + "-tfevents";
  auto count = is_wandb ? export_wandb(run, path, options.splits_ranks) : write_tfevents(run, path);
  if (!count) return fail(count.error());
  say(fmt::format("{} in {}", format_plural(count->rows, "row"), printable(path)));
  if (count->missing_files > 0) {
    say(fmt::format("warning: {} left out: not in the run's folder any more",
                    format_plural(count->missing_files, "file")));
  }
  if (count->left_out > 0) {
    say(fmt::format("warning: {} left out: its step is above {}, the largest of the format",
                    format_plural(count->left_out, "row"), formats::kStepMax));
  }
  return kExitOk;
}

bool is_text(ExportFormat format) {
  return format == ExportFormat::kJsonl || format == ExportFormat::kCsv ||
         format == ExportFormat::kLog;
}

}  // namespace

int run_export(Context& context, const ExportOptions& options) {
  if (options.splits_ranks && options.format != ExportFormat::kWandb) {
    say("export: --split-ranks belongs to --format wandb");
    return kExitUsage;
  }
  if (options.is_console && options.format != ExportFormat::kJsonl) {
    say("export: --console belongs to --format jsonl; --format log has its text");
    return kExitUsage;
  }
  auto run = open_run(context, options.run);
  if (!run) return fail(run.error());
  const size_t said_count = run->damage().size();
  if (!is_text(options.format)) {
    const int code = export_folder(*run, options);
    return code == kExitOk ? end_export(*run, options, said_count) : code;
  }
  uint64_t rows = 0;
  if (options.path.empty() || options.path == "-") {
    const Status written = write_text(*run, options, context.out, rows);
    return written ? end_export(*run, options, said_count) : fail(written.error());
  }
  if (Status s = write_file(*run, options, rows); !s) return fail(s.error());
  say(fmt::format("{} in {}", format_plural(rows, is_of_console(options) ? "line" : "row"),
                  printable(options.path)));
  return end_export(*run, options, said_count);
}

}  // namespace ringlog::cli
