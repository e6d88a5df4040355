#pragma once
// WandbUploads: the files of a run, on their way to where a W&B server wants them.
//
// The server names an address for each file, usually of another host, and the file goes there by
// PUT with the headers the server asked for and nothing else: no credentials leave for another
// host. Rows do not wait for files: a file that cannot be uploaded is tried again by itself, and in
// the end left out and said.
//
// Belongs to its sink on the network thread; requests under way are cut off with it.

#include "daemon/sinks/http_sink.h"
#include "daemon/sinks/wandb_requests.h"

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace ringlog::service {

struct WandbFile {
  std::string name{};  // there
  std::string path{};  // here; empty: `content` is the file
  std::string content{};
  std::string stamp{};  // what it is remembered by
};

// What became of a file.
struct WandbUploaded {
  std::string name;
  std::string stamp;
  bool is_there = false;  // false: it was given up, and said in the log
};

class WandbUploads {
 public:
  WandbUploads(HttpTransport& http, const HttpServer& server) : http_(http), server_(server) {}
  ~WandbUploads();
  WandbUploads(const WandbUploads&) = delete;
  WandbUploads& operator=(const WandbUploads&) = delete;

  void set_place(WandbPlace place) { place_ = std::move(place); }
  // Replaces a file of this name that still waits.
  void add(WandbFile file);
  // A file of this name and stamp waits or is under way.
  bool has(const std::string& name, const std::string& stamp) const;
  // Starts what is due.
  void step(int64_t now_ms);
  bool is_idle() const { return waiting_.empty() && batch_.empty(); }
  // Since the last call.
  std::vector<WandbUploaded> take_done() { return std::exchange(done_, {}); }

 private:
  void ask();
  void on_urls(const HttpAnswer& answer);
  void put();
  void on_put(const HttpAnswer& answer);
  // What an answer says of the files that were asked for.
  enum class Verdict { kUnknown, kNotNow, kNever };
  static Verdict verdict_of(const HttpAnswer& answer);
  void fail(const std::string& why, Verdict verdict);
  void give_up(const WandbFile& file, const std::string& why);

  HttpTransport& http_;
  const HttpServer& server_;
  WandbPlace place_;
  uint64_t call_ = 0;              // under way; 0: none
  std::deque<WandbFile> waiting_;  // for an address
  std::deque<WandbFile> batch_;    // the first is under way
  WandbUrls urls_;                 // of the batch
  std::vector<WandbUploaded> done_;
  std::map<std::string, int> tries_;  // by name
  int64_t next_try_ms_ = 0;
  int failures_ = 0;         // in a row
  bool has_failed_ = false;  // since the last step()
};

}  // namespace ringlog::service
