#include "daemon/sinks/http_sink.h"

#include "daemon/limits.h"
#include "daemon/sinks/compress.h"
#include "daemon/sinks/netrc.h"

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <utility>

namespace ringlog::service {

namespace {

using Kind = SendResult::Kind;
using Outcome = HttpAnswer::Outcome;

// What people see of an answer: its first line, without what a terminal would act on.
std::string first_line(const std::string& body) {
  constexpr size_t kShownMax = 300;
  std::string line = body.substr(0, std::min(body.find_first_of("\r\n"), kShownMax));
  std::replace_if(
      line.begin(), line.end(), [](char c) { return static_cast<unsigned char>(c) < ' '; }, ' ');
  return line;
}

// A server may repeat what it was sent, and what it answers is logged and shown.
void hide(std::string& text, std::string_view secret) {
  constexpr std::string_view kHidden = "***";
  if (secret.empty()) return;
  for (size_t at = 0; (at = text.find(secret, at)) != std::string::npos; at += kHidden.size()) {
    text.replace(at, secret.size(), kHidden);
  }
}

// The credentials behind the name of a scheme, in whatever form they were sent.
void hide_credentials(std::string& text) {
  for (const std::string_view scheme : {"Basic ", "Bearer ", "Token "}) {
    for (size_t at = 0; (at = text.find(scheme, at)) != std::string::npos;) {
      at += scheme.size();
      const size_t end = std::min(text.find_first_of(" \t\r\n\"',;<>", at), text.size());
      text.replace(at, end - at, "***");
    }
  }
}

SendResult judge_failure(const std::string& base, const HttpAnswer& answer) {
  SendResult result{.kind = Kind::kRetry, .message = base + ": " + answer.message};
  switch (answer.outcome) {
    case Outcome::kTimeout:
      result.is_slow = true;
      break;
    case Outcome::kUntrusted:
      result.message += "; if its authority is your own, name its file in SSL_CERT_FILE";
      break;
    case Outcome::kNonsense:
      result.message += "; is this the address of the server?";
      break;
    case Outcome::kAnswered:
    case Outcome::kUnreachable:
      break;
  }
  return result;
}

}  // namespace

HttpSink::HttpSink(HttpServer server, const SinkParts& parts)
    : server_(std::move(server)), parts_(parts) {}

HttpSink::~HttpSink() { parts_.http.cancel(call_); }

std::optional<SendResult> HttpSink::send() {
  if (call_ != 0) return {};
  if (answer_) {
    const HttpAnswer answer = *std::exchange(answer_, {});
    SendResult result = judge(answer);
    if (result.kind != Kind::kAcknowledged) return result;
  }
  std::optional<Call> call = next();
  if (!call) return SendResult{};
  start(*std::move(call));
  return {};
}

void HttpSink::start(Call call) {
  HttpRequest request{.url = server_.url.base + call.target,
                      .user = server_.user,
                      .password = server_.password,
                      .headers = server_.headers,
                      .body = std::move(call.body),
                      .stall_ms = server_.stall_ms};
  if (!request.body.empty() && server_.coding != Coding::kNone) {
    const bool is_gzip = server_.coding == Coding::kGzip;
    request.body = is_gzip ? gzip(request.body) : zstd(request.body);
    request.headers.push_back(is_gzip ? "Content-Encoding: gzip" : "Content-Encoding: zstd");
  }
  call_ = parts_.http.start(std::move(request), [this](HttpAnswer answer) {
    call_ = 0;
    for (std::string* said : {&answer.body, &answer.location, &answer.message}) hide_secrets(*said);
    answer_ = std::move(answer);
    parts_.ready();
  });
}

void HttpSink::hide_secrets(std::string& text) const {
  if (text.empty()) return;
  hide(text, server_.password);
  hide(text, server_.token);
  if (server_.password.empty()) hide(text, netrc_password(server_.url.host).value_or(""));
  hide_credentials(text);
}

void HttpSink::clear() {
  parts_.http.cancel(std::exchange(call_, 0));
  answer_.reset();
}

std::string HttpSink::text_of(const HttpAnswer& answer) const {
  return server_.url.base + " answers " + std::to_string(answer.status) +
         (answer.body.empty() ? "" : ": " + first_line(answer.body));
}

SendResult HttpSink::refused_password(const HttpAnswer& answer) const {
  return {.kind = Kind::kRefused,
          .message = text_of(answer) + "; put the right password into " + server_.secrets +
                     " and start the run or the service again"};
}

SendResult HttpSink::judge_status(const HttpAnswer& answer) const {
  if (answer.outcome != Outcome::kAnswered) return judge_failure(server_.url.base, answer);
  const int status = answer.status;
  if (status >= 200 && status < 300) return {};
  if (status == 401 || status == 403) return refused_password(answer);
  SendResult result{
      .kind = Kind::kRetry, .retry_after_ms = answer.retry_after_ms, .message = text_of(answer)};
  if (status >= 300 && status < 400) {
    const bool is_for_good = status == 301 || status == 308;
    if (is_for_good) result.kind = Kind::kRefused;
    result.message = server_.url.base + " redirects to " + without_credentials(answer.location) +
                     "; a password is not sent on, so use that address if it is right";
  } else if (status == 400 || status == 413 || status == 422) {
    result.kind = Kind::kSplit;
  } else if (status == 407) {
    result.message += "; that is the proxy's: put user and password into http_proxy or https_proxy";
  } else if (status == 404) {
    result.message += "; is this the address and the database?";
  }
  return result;
}

Result<Coding> coding_of(const SinkUrl& url) {
  const auto option = url.options.find("compress");
  // Packing costs a core more than a loopback does.
  if (option == url.options.end()) return url.is_loopback() ? Coding::kNone : Coding::kGzip;
  if (option->second == "none") return Coding::kNone;
  if (option->second == "gzip") return Coding::kGzip;
  if (option->second == "zstd") return Coding::kZstd;
  return Error{Code::kInvalidArgument,
               "sink " + url.base + ": compress=" + option->second + " is not none, gzip or zstd"};
}

Result<int64_t> stall_ms_of(const SinkUrl& url) {
  return seconds_of(url, "timeout_s", kHttpStallMs, 1);
}

Result<int64_t> seconds_of(const SinkUrl& url, const std::string& name, int64_t otherwise_ms,
                           int64_t least_s) {
  const auto option = url.options.find(name);
  if (option == url.options.end()) return otherwise_ms;
  constexpr int64_t kSecondsMax = 3600;
  const std::string& text = option->second;
  int64_t seconds = 0;
  const auto read = std::from_chars(text.data(), text.data() + text.size(), seconds);
  if (read.ec != std::errc() || read.ptr != text.data() + text.size() || seconds < least_s ||
      seconds > kSecondsMax) {
    return Error{Code::kInvalidArgument, "sink " + url.base + ": " + name + "=" + text +
                                             " is not a number of seconds from " +
                                             std::to_string(least_s) + " to " +
                                             std::to_string(kSecondsMax)};
  }
  return seconds * 1000;
}

Result<HttpServer> server_of(const SinkUrl& url, const Secrets& secrets) {
  auto coding = coding_of(url);
  if (!coding) return coding.take_error();
  auto stall_ms = stall_ms_of(url);
  if (!stall_ms) return stall_ms.take_error();
  const char* const user =
      secrets.user_variable != nullptr ? std::getenv(secrets.user_variable) : nullptr;
  const char* const password = std::getenv(secrets.password_variable);
  HttpServer server{.url = url,
                    .user = url.user,
                    .password = password != nullptr ? password : "",
                    .secrets = std::string(secrets.places),
                    .coding = *coding,
                    .stall_ms = *stall_ms};
  if (server.user.empty() && user != nullptr) server.user = user;
  return server;
}

}  // namespace ringlog::service
