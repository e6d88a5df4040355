#pragma once
// HttpTransport: requests over HTTP, any number at a time, without waiting for any of them.
//
//   HttpTransport http;
//   http.start({.url = "https://host/write", .body = …}, [](HttpAnswer answer) { … });
//   for (;;) http.wait(timeout_ms);   // callbacks run here
//
// The only file that knows curl.  Connections are kept and used again; certificates are verified
// (SSL_CERT_FILE names further authorities); http_proxy, https_proxy and no_proxy are honoured;
// redirects are never followed, so that no password goes where nobody sent it.  A request may take
// as long as its bytes need on a slow line, but not stand still, and of an answer no more than
// kHttpAnswerBytesMax is kept.
//
// Belongs to one thread, except wake().

#include "shm/posix.h"

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace ringlog::service {

struct HttpRequest {
  std::string url{};       // without user and password
  std::string user{};      // for Basic authentication; with a user and no password, or with none of
  std::string password{};  // both, ~/.netrc (or $NETRC) is looked up for the host
  std::vector<std::string> headers{};  // "Name: value"
  std::string body{};
  int64_t stall_ms = 0;  // so long it may stand still: slower than kHttpBytesPerSecondMin
  // A PUT instead of a POST, and with no credentials at all, because it goes to another host.
  bool is_upload = false;
  std::shared_ptr<const shm::Fd> file{};  // of an upload: this instead of `body`, from its start…
  uint64_t file_size = 0;                 // …to here
};

struct HttpAnswer {
  enum class Outcome {
    kAnswered,     // `status`, `body` and the headers below are there
    kUnreachable,  // no name, no connection, or it broke
    kTimeout,      // it stood still
    kUntrusted,    // the certificate is not what it should be, or TLS failed otherwise
    kNonsense,     // it is not HTTP, or far too long
  };
  Outcome outcome = Outcome::kAnswered;
  int status = 0;
  std::string body{};          // its first bytes
  int64_t retry_after_ms = 0;  // from Retry-After, at most kSinkRetryAfterMaxMs; 0: not said
  std::string location{};      // of a redirect
  std::string message{};       // for people, unless kAnswered
  // From RateLimit-Remaining and RateLimit-Reset (in ms): how many requests there may still be, and
  // when there are more.  Negative: not said.
  double limit_remaining = -1;
  int64_t limit_reset_ms = -1;
};

class HttpTransport {
 public:
  using Done = std::function<void(HttpAnswer)>;

  HttpTransport();
  ~HttpTransport();
  HttpTransport(const HttpTransport&) = delete;
  HttpTransport& operator=(const HttpTransport&) = delete;

  // Calls `done` later, from wait(), exactly once unless cancelled.  Never blocks.
  uint64_t start(HttpRequest request, Done done);
  // `done` of an unfinished request will not be called; others are ignored.
  void cancel(uint64_t id);

  // Sleeps until something happens, wake() is called or the time is over, and runs callbacks.
  void wait(int64_t timeout_ms);
  // Ends a wait(), also one that begins later.  Any thread.
  void wake();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace ringlog::service
