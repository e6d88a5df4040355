#include "daemon/sinks/http_transport.h"

#include "daemon/limits.h"
#include "daemon/sinks/sink_url.h"

#include <curl/curl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <ringlog/version.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdlib>
#include <iterator>
#include <limits>
#include <map>
#include <span>
#include <stdexcept>
#include <string_view>
#include <utility>

namespace ringlog::service {

namespace {

struct Transfer {
  uint64_t id = 0;
  HttpRequest request;
  HttpTransport::Done done;
  HttpAnswer answer;
  CURL* easy = nullptr;
  curl_slist* headers = nullptr;
  size_t received = 0;  // bytes of headers and body
  uint64_t sent = 0;    // bytes of the upload
  // What had moved at the last look at which it was not standing still, and when that was.
  uint64_t moved = 0;
  int64_t moved_ms = 0;
  std::array<char, CURL_ERROR_SIZE> error{};

  Transfer() = default;
  Transfer(const Transfer&) = delete;
  Transfer& operator=(const Transfer&) = delete;
  ~Transfer() {
    if (easy != nullptr) curl_easy_cleanup(easy);
    curl_slist_free_all(headers);
  }
};

// Both take nothing, which ends the transfer, once the answer is longer than any server's.
size_t on_body(char* bytes, size_t, size_t size, void* user) {
  auto& transfer = *static_cast<Transfer*>(user);
  transfer.received += size;
  if (transfer.received > kHttpAnswerBytesMax) return 0;
  transfer.answer.body.append(bytes, size);
  return size;
}

size_t on_header(char*, size_t, size_t size, void* user) {
  auto& transfer = *static_cast<Transfer*>(user);
  transfer.received += size;
  return transfer.received > kHttpAnswerBytesMax ? 0 : size;
}

uint64_t upload_size(const HttpRequest& request) {
  return request.file ? request.file_size : request.body.size();
}

// The next bytes of an upload; a file that became shorter meanwhile ends the transfer.
size_t on_upload(char* to, size_t, size_t size, void* user) {
  auto& transfer = *static_cast<Transfer*>(user);
  const HttpRequest& request = transfer.request;
  const std::span bytes(to, std::min<uint64_t>(size, upload_size(request) - transfer.sent));
  if (!request.file) {
    request.body.copy(bytes.data(), bytes.size(), transfer.sent);
  } else if (!shm::read_at(request.file->get(), std::as_writable_bytes(bytes), transfer.sent,
                           "file")) {
    return CURL_READFUNC_ABORT;
  }
  transfer.sent += bytes.size();
  return bytes.size();
}

// Without it a whole batch would count as sent while the kernel holds it for a slow line.
int on_socket(void*, curl_socket_t socket, curlsocktype) {
  const int bytes = kHttpUnsentBytes;
  static_cast<void>(::setsockopt(socket, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &bytes, sizeof bytes));
  return CURL_SOCKOPT_OK;
}

template <typename Value>
void set(CURL* easy, CURLoption option, Value value) {
  // Fails only when an option is unknown to the library or memory is out.
  if (curl_easy_setopt(easy, option, value) != CURLE_OK) throw std::bad_alloc();
}

// The URL with the user in it: libcurl looks ~/.netrc up for a user only if it stands there.
std::string url_with_user(const HttpRequest& request) {
  const size_t authority = request.url.find("://") + 3;
  return request.url.substr(0, authority) + url_encode(request.user) + "@" +
         request.url.substr(authority);
}

void set_credentials(Transfer& transfer) {
  CURL* easy = transfer.easy;
  const HttpRequest& request = transfer.request;
  set(easy, CURLOPT_HTTPAUTH, static_cast<long>(CURLAUTH_BASIC));
  if (!request.password.empty()) {
    set(easy, CURLOPT_USERNAME, request.user.c_str());
    set(easy, CURLOPT_PASSWORD, request.password.c_str());
    return;
  }
  if (!request.user.empty()) set(easy, CURLOPT_URL, url_with_user(request).c_str());
  set(easy, CURLOPT_NETRC, static_cast<long>(CURL_NETRC_OPTIONAL));
  if (const char* file = std::getenv("NETRC")) set(easy, CURLOPT_NETRC_FILE, file);
}

void set_post(Transfer& transfer) {
  CURL* easy = transfer.easy;
  set(easy, CURLOPT_POST, 1L);
  set(easy, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(transfer.request.body.size()));
  set(easy, CURLOPT_POSTFIELDS, transfer.request.body.data());
  set_credentials(transfer);
}

void set_upload(Transfer& transfer) {
  CURL* easy = transfer.easy;
  set(easy, CURLOPT_UPLOAD, 1L);
  set(easy, CURLOPT_INFILESIZE_LARGE, static_cast<curl_off_t>(upload_size(transfer.request)));
  set(easy, CURLOPT_READFUNCTION, on_upload);
  set(easy, CURLOPT_READDATA, static_cast<void*>(&transfer));
}

void set_up(Transfer& transfer) {
  transfer.easy = curl_easy_init();
  if (transfer.easy == nullptr) throw std::bad_alloc();
  CURL* easy = transfer.easy;
  const HttpRequest& request = transfer.request;
  set(easy, CURLOPT_URL, request.url.c_str());
  set(easy, CURLOPT_PROTOCOLS_STR, "http,https");
  set(easy, CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_1_1));
  set(easy, CURLOPT_FOLLOWLOCATION, 0L);
  set(easy, CURLOPT_NOSIGNAL, 1L);
  // A name server that hangs is not waited for when the transfer ends.
  set(easy, CURLOPT_QUICK_EXIT, 1L);
  set(easy, CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(kHttpConnectMs));
  set(easy, CURLOPT_TCP_KEEPALIVE, 1L);
  set(easy, CURLOPT_SOCKOPTFUNCTION, on_socket);
  set(easy, CURLOPT_USERAGENT, "ringlog/" RINGLOG_VERSION);
  set(easy, CURLOPT_ERRORBUFFER, transfer.error.data());
  set(easy, CURLOPT_WRITEFUNCTION, on_body);
  set(easy, CURLOPT_WRITEDATA, static_cast<void*>(&transfer));
  set(easy, CURLOPT_HEADERFUNCTION, on_header);
  set(easy, CURLOPT_HEADERDATA, static_cast<void*>(&transfer));
  set(easy, CURLOPT_PRIVATE, static_cast<void*>(&transfer));
  if (const char* file = std::getenv("SSL_CERT_FILE")) set(easy, CURLOPT_CAINFO, file);
  if (request.is_upload) {
    set_upload(transfer);
  } else {
    set_post(transfer);
  }
  // Curl would wait a second for a "100 Continue" that most servers do not send.
  transfer.headers = curl_slist_append(transfer.headers, "Expect:");
  for (const std::string& header : request.headers) {
    transfer.headers = curl_slist_append(transfer.headers, header.c_str());
  }
  set(easy, CURLOPT_HTTPHEADER, transfer.headers);
}

HttpAnswer::Outcome outcome_of(CURLcode code) {
  switch (code) {
    case CURLE_OK:
      return HttpAnswer::Outcome::kAnswered;
    case CURLE_OPERATION_TIMEDOUT:
      return HttpAnswer::Outcome::kTimeout;
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_CIPHER:
    case CURLE_SSL_ISSUER_ERROR:
    case CURLE_SSL_INVALIDCERTSTATUS:
      return HttpAnswer::Outcome::kUntrusted;
    case CURLE_UNSUPPORTED_PROTOCOL:  // what libcurl says of an answer without headers
    case CURLE_WEIRD_SERVER_REPLY:
    case CURLE_BAD_CONTENT_ENCODING:
    case CURLE_WRITE_ERROR:
      return HttpAnswer::Outcome::kNonsense;
    default:
      return HttpAnswer::Outcome::kUnreachable;
  }
}

// The number that a header of the answer begins with; negative: there is none.
double header_number(CURL* easy, const char* name) {
  curl_header* header = nullptr;
  if (curl_easy_header(easy, name, 0, CURLH_HEADER, -1, &header) != CURLHE_OK) return -1;
  double number = -1;
  const std::string_view text(header->value);
  const auto read = std::from_chars(text.data(), text.data() + text.size(), number);
  return read.ec == std::errc() && number >= 0 ? number : -1;
}

void read_answer(Transfer& transfer, CURLcode code) {
  HttpAnswer& answer = transfer.answer;
  answer.outcome = outcome_of(code);
  if (transfer.received > kHttpAnswerBytesMax) {
    answer.message = "the answer has more than " + std::to_string(kHttpAnswerBytesMax) + " bytes";
    answer.body.clear();
    return;
  }
  if (code != CURLE_OK) {
    answer.message = transfer.error[0] != '\0' ? transfer.error.data() : curl_easy_strerror(code);
    return;
  }
  long status = 0;
  curl_off_t retry_after_s = 0;
  char* location = nullptr;
  curl_easy_getinfo(transfer.easy, CURLINFO_RESPONSE_CODE, &status);
  curl_easy_getinfo(transfer.easy, CURLINFO_RETRY_AFTER, &retry_after_s);
  curl_easy_getinfo(transfer.easy, CURLINFO_REDIRECT_URL, &location);
  answer.status = static_cast<int>(status);
  answer.retry_after_ms = 1000 * std::clamp<int64_t>(retry_after_s, 0, kSinkRetryAfterMaxMs / 1000);
  if (location != nullptr) answer.location = location;
  answer.limit_remaining = header_number(transfer.easy, "RateLimit-Remaining");
  const double reset_s = header_number(transfer.easy, "RateLimit-Reset");
  if (reset_s >= 0) {
    constexpr double kLongest = static_cast<double>(kSinkRetryAfterMaxMs);
    answer.limit_reset_ms = static_cast<int64_t>(std::min(reset_s * 1000, kLongest));
  }
}

// Bytes of the request and its answer that have passed.
uint64_t moved_bytes(const Transfer& transfer) {
  curl_off_t up = 0;
  curl_easy_getinfo(transfer.easy, CURLINFO_SIZE_UPLOAD_T, &up);
  return static_cast<uint64_t>(up) + transfer.received;
}

// A transfer makes progress when it moves this much in the time it may stand still.
bool is_stalled(Transfer& transfer, int64_t now_ms) {
  const uint64_t moved = moved_bytes(transfer);
  const int64_t enough = kHttpBytesPerSecondMin * transfer.request.stall_ms / 1000;
  if (moved - transfer.moved >= static_cast<uint64_t>(enough)) {
    transfer.moved = moved;
    transfer.moved_ms = now_ms;
  }
  return now_ms - transfer.moved_ms >= transfer.request.stall_ms;
}

int64_t now_ms() { return shm::monotonic_ns() / 1'000'000; }

}  // namespace

struct HttpTransport::Impl {
  Impl() {
    curl_global_init(CURL_GLOBAL_DEFAULT);
    multi = curl_multi_init();
    if (multi == nullptr) throw std::bad_alloc();
    curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, kHttpConnectionsKept);
    curl_multi_setopt(multi, CURLMOPT_MAX_HOST_CONNECTIONS, kHttpConnectionsPerHost);
  }
  ~Impl() {
    for (const auto& [id, transfer] : transfers) curl_multi_remove_handle(multi, transfer->easy);
    transfers.clear();
    curl_multi_cleanup(multi);
    curl_global_cleanup();
  }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  // Takes the transfers that ended away before any callback runs, which may start or cancel others.
  std::vector<std::unique_ptr<Transfer>> take_ended() {
    std::vector<std::unique_ptr<Transfer>> ended;
    int left = 0;
    while (CURLMsg* message = curl_multi_info_read(multi, &left)) {
      if (message->msg != CURLMSG_DONE) continue;
      const CURLcode code = message->data.result;
      Transfer* transfer = nullptr;
      curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &transfer);
      read_answer(*transfer, code);
      curl_multi_remove_handle(multi, transfer->easy);
      const auto found = transfers.find(transfer->id);
      ended.push_back(std::move(found->second));
      transfers.erase(found);
    }
    return ended;
  }

  // Takes away those that stand still, and says so; at most four times in the shortest stall.
  std::vector<std::unique_ptr<Transfer>> take_stalled() {
    std::vector<std::unique_ptr<Transfer>> stalled;
    const int64_t now = now_ms();
    if (now < next_look_ms) return stalled;
    next_look_ms = std::numeric_limits<int64_t>::max();
    for (auto item = transfers.begin(); item != transfers.end();) {
      const std::unique_ptr<Transfer>& transfer = item->second;
      if (!is_stalled(*transfer, now)) {
        next_look_ms = std::min(next_look_ms, now + look_interval_ms(*transfer));
        ++item;
        continue;
      }
      transfer->answer.outcome = HttpAnswer::Outcome::kTimeout;
      transfer->answer.message = "timed out: nothing moved for " +
                                 std::to_string(transfer->request.stall_ms / 1000) + " s, after " +
                                 std::to_string(moved_bytes(*transfer)) + " bytes";
      transfer->answer.body.clear();
      curl_multi_remove_handle(multi, transfer->easy);
      stalled.push_back(std::move(item->second));
      item = transfers.erase(item);
    }
    return stalled;
  }

  static int64_t look_interval_ms(const Transfer& transfer) {
    return std::max<int64_t>(1, transfer.request.stall_ms / 4);
  }

  CURLM* multi = nullptr;
  uint64_t next_id = 1;
  int64_t next_look_ms = std::numeric_limits<int64_t>::max();
  std::vector<std::unique_ptr<Transfer>> failed;  // curl did not take them
  std::map<uint64_t, std::unique_ptr<Transfer>> transfers;
};

HttpTransport::HttpTransport() : impl_(std::make_unique<Impl>()) {}
HttpTransport::~HttpTransport() = default;

uint64_t HttpTransport::start(HttpRequest request, Done done) {
  auto transfer = std::make_unique<Transfer>();
  transfer->id = impl_->next_id++;
  transfer->request = std::move(request);
  transfer->done = std::move(done);
  set_up(*transfer);
  const uint64_t id = transfer->id;
  transfer->moved_ms = now_ms();
  impl_->next_look_ms =
      std::min(impl_->next_look_ms, transfer->moved_ms + Impl::look_interval_ms(*transfer));
  if (const CURLMcode code = curl_multi_add_handle(impl_->multi, transfer->easy);
      code != CURLM_OK) {
    transfer->answer.outcome = HttpAnswer::Outcome::kUnreachable;
    transfer->answer.message = curl_multi_strerror(code);
    impl_->failed.push_back(std::move(transfer));
  } else {
    impl_->transfers.emplace(id, std::move(transfer));
  }
  return id;
}

void HttpTransport::cancel(uint64_t id) {
  std::erase_if(impl_->failed, [&](const auto& transfer) { return transfer->id == id; });
  const auto found = impl_->transfers.find(id);
  if (found == impl_->transfers.end()) return;
  curl_multi_remove_handle(impl_->multi, found->second->easy);
  impl_->transfers.erase(found);
}

void HttpTransport::wait(int64_t timeout_ms) {
  int running = 0;
  curl_multi_perform(impl_->multi, &running);
  std::vector<std::unique_ptr<Transfer>> ended = impl_->take_ended();
  if (ended.empty() && impl_->failed.empty()) {
    const int64_t longest = std::numeric_limits<int>::max();
    const int64_t look_ms = impl_->next_look_ms - now_ms();
    curl_multi_poll(
        impl_->multi, nullptr, 0,
        static_cast<int>(std::clamp<int64_t>(std::min(timeout_ms, look_ms), 0, longest)), nullptr);
    curl_multi_perform(impl_->multi, &running);
    ended = impl_->take_ended();
  }
  std::vector<std::unique_ptr<Transfer>> stalled = impl_->take_stalled();
  for (auto* more : {&impl_->failed, &stalled}) {
    std::move(more->begin(), more->end(), std::back_inserter(ended));
    more->clear();
  }
  for (const auto& transfer : ended) transfer->done(std::move(transfer->answer));
}

void HttpTransport::wake() { curl_multi_wakeup(impl_->multi); }

}  // namespace ringlog::service
