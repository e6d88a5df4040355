#include "daemon/sinks/wandb_uploads.h"

#include <fcntl.h>

#include <algorithm>
#include <memory>

#include "daemon/limits.h"
#include "daemon/log.h"

namespace ringlog::service {

namespace {

// A file that will not be taken however often it is sent.
bool is_for_good(const HttpAnswer& answer) {
  const bool is_answered = answer.outcome == HttpAnswer::Outcome::kAnswered;
  return is_answered && answer.status >= 300 && answer.status < 500 && answer.status != 408 &&
         answer.status != 429;
}

std::string reason_of(const HttpAnswer& answer) {
  if (answer.outcome != HttpAnswer::Outcome::kAnswered) return answer.message;
  return "the answer is " + std::to_string(answer.status);
}

}  // namespace

WandbUploads::~WandbUploads() { http_.cancel(call_); }

void WandbUploads::add(WandbFile file) {
  std::erase_if(waiting_, [&](const WandbFile& other) { return other.name == file.name; });
  waiting_.push_back(std::move(file));
}

bool WandbUploads::has(const std::string& name, const std::string& stamp) const {
  const auto is_same = [&](const WandbFile& file) {
    return file.name == name && file.stamp == stamp;
  };
  return std::any_of(waiting_.begin(), waiting_.end(), is_same) ||
         std::any_of(batch_.begin(), batch_.end(), is_same);
}

// A server that is away says nothing about the file, however long.
WandbUploads::Verdict WandbUploads::verdict_of(const HttpAnswer& answer) {
  if (is_for_good(answer)) return Verdict::kNever;
  const bool is_answered = answer.outcome == HttpAnswer::Outcome::kAnswered;
  return is_answered ? Verdict::kNotNow : Verdict::kUnknown;
}

void WandbUploads::step(int64_t now_ms) {
  if (std::exchange(has_failed_, false)) {
    const int doublings = std::min(failures_ - 1, 10);
    next_try_ms_ = now_ms + std::min(kSinkRetryFirstMs << doublings, kSinkRetryMaxMs);
  }
  if (call_ != 0 || waiting_.empty() || now_ms < next_try_ms_) return;
  ask();
}

void WandbUploads::ask() {
  std::vector<std::string> names;
  while (!waiting_.empty() && batch_.size() < kWandbFilesPerRequest) {
    batch_.push_back(std::move(waiting_.front()));
    waiting_.pop_front();
    names.push_back(batch_.back().name);
  }
  HttpRequest request{.url = server_.url.base + "/graphql",
                      .user = server_.user,
                      .password = server_.password,
                      .headers = server_.headers,
                      .body = files_body(place_, names),
                      .stall_ms = server_.stall_ms};
  call_ = http_.start(std::move(request), [this](const HttpAnswer& answer) {
    call_ = 0;
    on_urls(answer);
  });
}

void WandbUploads::on_urls(const HttpAnswer& answer) {
  const bool is_good = answer.outcome == HttpAnswer::Outcome::kAnswered && answer.status == 200;
  urls_ = is_good ? read_urls(answer.body) : WandbUrls{.error = reason_of(answer)};
  // What the server says may repeat the key; what went wrong is told without it.
  if (is_good && !urls_.error.empty()) urls_.error = "the server names no address for it";
  if (!urls_.error.empty()) return fail(urls_.error, verdict_of(answer));
  put();
}

void WandbUploads::put() {
  while (!batch_.empty() && call_ == 0) {
    const WandbFile& file = batch_.front();
    const auto url = std::find_if(urls_.files.begin(), urls_.files.end(),
                                  [&](const auto& entry) { return entry.first == file.name; });
    HttpRequest request{.headers = urls_.headers,
                        .body = file.content,
                        .stall_ms = server_.stall_ms,
                        .is_upload = true};
    std::string why = url == urls_.files.end() ? "the server names no address for it" : "";
    if (why.empty() && !file.path.empty()) {
      auto opened = shm::open_file(file.path, O_RDONLY | O_CLOEXEC);
      auto size = opened ? shm::file_size(opened->get(), file.path) : opened.take_error();
      if (size) {
        request.file = std::make_shared<const shm::Fd>(std::move(*opened));
        request.file_size = *size;
      } else {
        why = size.error().message;
      }
    }
    if (!why.empty()) {
      give_up(file, why);
      batch_.pop_front();
      continue;
    }
    request.url = url->second;
    // An address may be relative to the server, where that keeps files itself.
    if (request.url.starts_with('/')) request.url = server_.url.base + request.url;
    call_ = http_.start(std::move(request), [this](const HttpAnswer& answer) {
      call_ = 0;
      on_put(answer);
    });
  }
}

void WandbUploads::on_put(const HttpAnswer& answer) {
  const bool is_good = answer.outcome == HttpAnswer::Outcome::kAnswered && answer.status >= 200 &&
                       answer.status < 300;
  if (!is_good && !is_for_good(answer)) return fail(reason_of(answer), verdict_of(answer));
  if (is_good) {
    done_.push_back({batch_.front().name, batch_.front().stamp, true});
    tries_.erase(batch_.front().name);
    failures_ = 0;
  } else {
    give_up(batch_.front(), reason_of(answer));
  }
  batch_.pop_front();
  put();
}

// The files of the batch wait for another try, those that had enough of them do not.
void WandbUploads::fail(const std::string& why, Verdict verdict) {
  ++failures_;
  has_failed_ = true;
  for (; !batch_.empty(); batch_.pop_front()) {
    WandbFile& file = batch_.front();
    const bool is_tried = verdict == Verdict::kNotNow && ++tries_[file.name] >= kWandbFileTriesMax;
    if (verdict == Verdict::kNever || is_tried) {
      give_up(file, why);
      continue;
    }
    const bool is_replaced =
        std::any_of(waiting_.begin(), waiting_.end(),
                    [&](const WandbFile& other) { return other.name == file.name; });
    if (!is_replaced) waiting_.push_back(std::move(file));
  }
}

void WandbUploads::give_up(const WandbFile& file, const std::string& why) {
  tries_.erase(file.name);
  log().warn("{}: file {} is not uploaded: {}", server_.url.base, file.name, why);
  done_.push_back({file.name, file.stamp, false});
}

}  // namespace ringlog::service
