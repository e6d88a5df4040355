#include "cli/sync_page.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>

#include "cli/context.h"
#include "cli/format.h"

namespace ringlog::cli {

namespace {

constexpr int64_t kSecondNs = 1'000'000'000;
// Between two lines where there is no terminal: a log of an hour has few of them.
constexpr int64_t kTellNs = 10 * kSecondNs;
constexpr size_t kBarWidth = 20;
constexpr size_t kNameWidthMax = 24;

// Of what a job has to do, 0 to 1; a run without rows has nothing to show.
double part_of(const SyncJob& job) {
  const uint64_t all = job.stored_rows() * job.urls().size();
  return all == 0 ? 0 : static_cast<double>(job.done_rows()) / static_cast<double>(all);
}

std::string name_of(const SyncJob& job) {
  return printable(job.place().project + "/" + job.place().run_id);
}

std::string rows_of(const SyncJob& job) {
  const uint64_t sinks = std::max<uint64_t>(1, job.urls().size());
  return fmt::format("{} of {} rows", format_count(job.done_rows() / sinks),
                     format_count(job.stored_rows()));
}

}  // namespace

void SyncPage::show(const std::list<SyncJob>& jobs, const Counts& counts, int64_t now_ns) {
  const std::string speed = rate(jobs, now_ns);
  if (style_.is_terminal) return draw(jobs, counts, speed);
  if (shown_ns_ == 0) shown_ns_ = now_ns;
  if (now_ns - shown_ns_ < kTellNs) return;
  shown_ns_ = now_ns;
  tell(jobs, counts, speed);
}

std::string SyncPage::rate(const std::list<SyncJob>& jobs, int64_t now_ns) {
  if (begin_ns_ == 0) begin_ns_ = now_ns;
  for (const SyncJob& job : jobs) {
    if (job.sinks().empty()) continue;
    const auto [known, is_new] = done_rows_.emplace(job.place().dir, job.done_rows());
    if (!is_new && job.done_rows() > known->second) sent_rows_ += job.done_rows() - known->second;
    known->second = job.done_rows();
  }
  const double seconds = static_cast<double>(now_ns - begin_ns_) / kSecondNs;
  if (seconds < 1 || sent_rows_ == 0) return "";
  return format_count(static_cast<uint64_t>(static_cast<double>(sent_rows_) / seconds)) + " rows/s";
}

std::string SyncPage::bar(const SyncJob& job) const {
  const auto full = static_cast<size_t>(part_of(job) * static_cast<double>(kBarWidth));
  std::string text;
  for (size_t i = 0; i < kBarWidth; ++i) {
    if (style_.is_ascii) {
      text += i < full ? "#" : ".";
    } else {
      text += i < full ? "━" : "╌";
    }
  }
  return text;
}

void SyncPage::draw(const std::list<SyncJob>& jobs, const Counts& counts, std::string_view rate) {
  std::string text;
  if (line_count_ > 0) text += fmt::format("\x1b[{}A\x1b[J", line_count_);
  line_count_ = 0;
  const auto add = [&](const std::string& line) {
    // One column stays free: a terminal may go to the next line at the last one.
    text += shorten(line, style_.width - 1, style_.is_ascii) + "\n";
    ++line_count_;
  };
  size_t width = 0;
  for (const SyncJob& job : jobs) width = std::max(width, display_width(name_of(job)));
  width = std::min(width, kNameWidthMax);
  for (const SyncJob& job : jobs) {
    std::string name = shorten(name_of(job), width, style_.is_ascii);
    name.append(width - std::min(width, display_width(name)), ' ');
    std::string line =
        fmt::format("{}  {} {:>3.0f} %  {}", name, bar(job), 100 * part_of(job), rows_of(job));
    if (!job.trouble().empty()) line += "  " + printable(job.trouble());
    add(line);
  }
  add(fmt::format("{} of {} done{}{}", counts.over, format_plural(counts.all, "run"),
                  rate.empty() ? "" : ", ", rate));
  std::fwrite(text.data(), 1, text.size(), stderr);
  std::fflush(stderr);
}

void SyncPage::tell(const std::list<SyncJob>& jobs, const Counts& counts, std::string_view rate) {
  say(fmt::format("{} of {} done{}{}", counts.over, format_plural(counts.all, "run"),
                  rate.empty() ? "" : ", ", rate));
  for (const SyncJob& job : jobs) {
    say(fmt::format("{}: {} ({:.0f} %){}{}", name_of(job), rows_of(job), 100 * part_of(job),
                    job.trouble().empty() ? "" : ": ", printable(job.trouble())));
  }
}

void SyncPage::clear() {
  if (line_count_ == 0) return;
  std::fprintf(stderr, "\x1b[%zuA\x1b[J", line_count_);
  std::fflush(stderr);
  line_count_ = 0;
}

}  // namespace ringlog::cli
