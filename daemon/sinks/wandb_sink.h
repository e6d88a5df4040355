#pragma once
// WandbSink: a run on a W&B server, over the protocol of W&B's own client.
//
//   wandb+http[s]://HOST[:PORT][/ENTITY[/PROJECT]][?interval_s=N][&heartbeat_s=N][&timeout_s=N]
//
// The key is read from WANDB_API_KEY or ~/.netrc.  The run is declared and its config kept up to
// date with UpsertBucket; rows, samples, console and summary are lines of file_stream
// (wandb_batch.h), sent at W&B's pace (wandb_pace.h); files and alerts go their own ways
// (wandb_uploads.h, wandb_alerts.h).  Of every line it is known in the store what number it has, so
// that nothing is there twice or missing whoever dies.
//
// Network thread only.  docs/sinks.md.

#include "daemon/sinks/http_sink.h"
#include "daemon/sinks/wandb_alerts.h"
#include "daemon/sinks/wandb_batch.h"
#include "daemon/sinks/wandb_cursor.h"
#include "daemon/sinks/wandb_pace.h"
#include "daemon/sinks/wandb_requests.h"
#include "daemon/sinks/wandb_uploads.h"
#include "formats/wandb_run.h"
#include "schema/record.capnp.h"
#include "store/metric_rules.h"

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

namespace ringlog::service {

// How often it says something; milliseconds.
struct WandbTimes {
  int64_t interval_ms = 0;
  int64_t heartbeat_ms = 0;
};

class WandbSink final : public HttpSink {
 public:
  WandbSink(HttpServer server, const SinkParts& parts, const WandbTimes& times);

  Limits limits() const override;
  //   kCorrupt  the cursor is none
  Status open(const store::RunMeta& run, const std::string& cursor) override;
  size_t add(const store::RowView&) override { return 0; }  // it collects
  Result<Collected> collect(store::RunReader& reader, store::SinkState& state, size_t rows_max,
                            const Clock& clock) override;
  std::string cursor() const override;
  void clear() override;

 protected:
  std::optional<Call> next() override;
  SendResult judge(const HttpAnswer& answer) override;

 private:
  enum class Kind { kUpsert, kResume, kStream };
  struct Pending {
    Kind kind;
    Call call;
  };
  // What there is to do with a view of the store.
  struct Look {
    store::RunReader& reader;
    WandbPlan plan{};
    int64_t now_ms = 0;
    int64_t now_ns = 0;
    bool is_running = false;
    bool is_last = false;  // the run has ended, and nothing but its end is left to say
  };

  Status read_run(store::RunReader& reader);
  Status read_facts(store::RunReader& reader);
  Status pass_on_alerts(const Look& look, Collected& out);
  void look_for_files(const Look& look);
  Status add_last_files(const Look& look);
  void add_content(const std::string& name, std::string content);
  void take_uploaded();
  bool is_known(const std::string& name, const std::string& stamp) const;
  std::set<int32_t> ranks_of(bool has_ranks) const;
  Result<std::string> summary_of(const Look& look, bool has_ranks) const;
  WandbPace::Wish wish_of(const Look& look) const;
  // When to send the config; negative: it is there.
  int64_t config_due_ms(const Look& look) const;
  Status add_stream(const Look& look, store::SinkState& state, Collected& out);
  void add_upsert(int64_t now_ms);
  void add_call(Kind kind, std::string target, std::string body);
  SendResult judge_upsert(const HttpAnswer& answer);
  void judge_stream(const HttpAnswer& answer);
  SendResult refusal(const HttpAnswer& answer);

  const WandbTimes times_;
  WandbPlace place_;
  WandbPace pace_;
  WandbAlerts alerts_;
  WandbUploads uploads_;
  WandbCursor cursor_;  // as acknowledged, and what is under way; its alert_lsn is that of open()

  // Of the run, as last read.
  formats::WandbFacts facts_;
  store::MetricRules rules_;
  std::map<std::string, schema::File::Policy> files_;  // that were saved
  bool has_facts_ = false;                             // they were read
  std::string config_;                                 // as it should be

  // What the server knows, as far as this process does.
  std::string told_;     // all of the run but its config, as it was sent; empty: nothing yet
  std::string telling_;  // the same, under way
  std::string config_sent_;
  std::string config_sending_;
  std::string summary_sent_;
  std::string summary_sending_;
  int64_t config_ms_ = 0;  // of the last one
  bool has_stopped_ = false;
  bool has_last_files_ = false;
  int64_t files_ms_ = 0;                            // the last look at saved files
  std::vector<std::string> uploaded_;               // the server is still to be told
  std::map<std::string, std::string> file_stamps_;  // of files that came to an end

  // The batch.
  std::deque<Pending> calls_;  // the first is under way while is_called_
  bool is_called_ = false;
  bool has_stream_ = false;
  WandbBatch batch_;
  int64_t now_ms_ = 0;  // when it was collected
};

// As make_sink(); without parts it only checks the URL.
Result<std::unique_ptr<Sink>> make_wandb_sink(const std::string& url, const SinkParts* parts);

}  // namespace ringlog::service
