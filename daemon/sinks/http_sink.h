#pragma once
// HttpSink: what all sinks that send over HTTP share: one request after another, and what an answer
// means.
//
// Belongs to its Sender, on the network thread.  A request that is under way when the sink is
// cleared or destroyed is cut off.

#include "daemon/sinks/http_transport.h"
#include "daemon/sinks/sink.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace ringlog::service {

// How request bodies are packed.
enum class Coding { kNone, kGzip, kZstd };

// The server of a sink, and what its requests have in common.
struct HttpServer {
  SinkUrl url;
  std::string user{};
  std::string password{};
  std::string token{};                 // that stands in `headers`
  std::string secrets{};               // where people put the password, for messages
  std::vector<std::string> headers{};  // of every request
  Coding coding = Coding::kNone;
  int64_t stall_ms = 0;
};

class HttpSink : public Sink {
 public:
  ~HttpSink() override;
  HttpSink(const HttpSink&) = delete;
  HttpSink& operator=(const HttpSink&) = delete;

  std::optional<SendResult> send() final;
  void clear() override;

 protected:
  struct Call {
    std::string target{};  // path and query, with the first slash
    std::string body{};
  };

  HttpSink(HttpServer server, const SinkParts& parts);

  // The next request of the batch; nothing: all were acknowledged.
  virtual std::optional<Call> next() = 0;
  // What the answer to the request of the last next() means.
  virtual SendResult judge(const HttpAnswer& answer) = 0;
  // The same for any server: by status alone.
  SendResult judge_status(const HttpAnswer& answer) const;
  // "https://host:1 answers 500: first line of the answer"
  std::string text_of(const HttpAnswer& answer) const;
  SendResult refused_password(const HttpAnswer& answer) const;
  const HttpServer& server() const { return server_; }
  const SinkParts& parts() const { return parts_; }

 private:
  void start(Call call);
  // A server may repeat what it was sent, and what it answers is logged and shown.
  void hide_secrets(std::string& text) const;

  const HttpServer server_;
  const SinkParts parts_;
  uint64_t call_ = 0;  // under way; 0: none
  std::optional<HttpAnswer> answer_;
};

// The options of a URL that every HTTP sink has: compress=none|gzip|zstd and timeout_s.
inline constexpr std::string_view kHttpSinkOptions = "compress timeout_s";
//   kInvalidArgument  a value that cannot be used
Result<Coding> coding_of(const SinkUrl& url);
Result<int64_t> stall_ms_of(const SinkUrl& url);
// Any option in whole seconds from `least_s` to an hour, as milliseconds.
Result<int64_t> seconds_of(const SinkUrl& url, const std::string& name, int64_t otherwise_ms,
                           int64_t least_s);

// Where a server's user and password come from.
struct Secrets {
  const char* user_variable;  // of the environment, unless the URL names a user; nullptr: none
  const char* password_variable;
  std::string_view places;  // where people put the password, for messages
};
// The server of a URL whose options above have been read, with the environment's credentials.
//   kInvalidArgument  an option's value cannot be used
Result<HttpServer> server_of(const SinkUrl& url, const Secrets& secrets);

}  // namespace ringlog::service
