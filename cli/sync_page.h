#pragma once
// SyncPage: how far `ringlog sync` is, on standard error.
//
// On a terminal a bar for each run that is being sent, drawn over again, and how many are done;
// else a line now and then.  A resource of one thread.

#include <cstddef>
#include <cstdint>
#include <list>
#include <map>
#include <string>
#include <string_view>

#include "cli/style.h"
#include "cli/sync_job.h"

namespace ringlog::cli {

class SyncPage {
 public:
  // `style`: of standard error.
  explicit SyncPage(const Style& style) : style_(style) {}
  ~SyncPage() { clear(); }
  SyncPage(const SyncPage&) = delete;
  SyncPage& operator=(const SyncPage&) = delete;

  struct Counts {
    size_t over = 0;  // runs
    size_t all = 0;
  };
  void show(const std::list<SyncJob>& jobs, const Counts& counts, int64_t now_ns);
  // Takes the bars away, so that something else can be printed.
  void clear();

 private:
  std::string bar(const SyncJob& job) const;
  std::string rate(const std::list<SyncJob>& jobs, int64_t now_ns);
  void draw(const std::list<SyncJob>& jobs, const Counts& counts, std::string_view rate);
  static void tell(const std::list<SyncJob>& jobs, const Counts& counts, std::string_view rate);

  const Style style_;
  size_t line_count_ = 0;  // on the terminal
  int64_t shown_ns_ = 0;   // 0: never
  // Rows that were sent since the first look.
  int64_t begin_ns_ = 0;
  uint64_t sent_rows_ = 0;
  std::map<std::string, uint64_t> done_rows_;  // by directory
};

}  // namespace ringlog::cli
