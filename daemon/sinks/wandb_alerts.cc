#include "daemon/sinks/wandb_alerts.h"

#include "daemon/limits.h"
#include "daemon/log.h"

#include <algorithm>
#include <utility>

namespace ringlog::service {

namespace {

using Outcome = HttpAnswer::Outcome;

bool is_taken(const HttpAnswer& answer) {
  return answer.outcome == Outcome::kAnswered && answer.status >= 200 && answer.status < 300;
}

// It will not be taken however often it is sent.
bool is_refusal(const HttpAnswer& answer) {
  return answer.outcome == Outcome::kAnswered && answer.status >= 300 && answer.status < 500 &&
         answer.status != 408 && answer.status != 429;
}

std::string alert_fault(const HttpAnswer& answer) {
  if (answer.outcome != Outcome::kAnswered) return answer.message;
  return "the answer is " + std::to_string(answer.status);
}

}  // namespace

WandbAlerts::~WandbAlerts() { http_.cancel(call_); }

Status WandbAlerts::read(store::RunReader& reader) {
  return reader.for_each_record({}, read_lsn_, [&](const store::RecordView& view) {
    if (view.record.isAlert()) {
      if (waiting_.size() >= kWandbAlertsMax) return false;
      waiting_.push_back({view.lsn, wandb_alert(view.record.getAlert())});
    }
    read_lsn_ = view.lsn + 1;
    return true;
  });
}

void WandbAlerts::step(const WandbPlace& place, int64_t now_ms) {
  if (std::exchange(has_failed_, false)) {
    const int doublings = std::min(failures_ - 1, 10);
    next_try_ms_ = now_ms + std::min(kSinkRetryFirstMs << doublings, kSinkRetryMaxMs);
  }
  if (call_ != 0 || waiting_.empty() || now_ms < next_try_ms_) return;
  HttpRequest request{.url = server_.url.base + "/graphql",
                      .user = server_.user,
                      .password = server_.password,
                      .headers = server_.headers,
                      .body = alert_body(place, waiting_.front().alert),
                      .stall_ms = server_.stall_ms};
  call_ = http_.start(std::move(request), [this](const HttpAnswer& answer) {
    call_ = 0;
    on_answer(answer);
  });
}

void WandbAlerts::on_answer(const HttpAnswer& answer) {
  // What the server says may repeat the key; what went wrong is told without it.
  if (is_taken(answer)) {
    if (!graphql_error(answer.body).empty()) {
      log().warn("{}: an alert is not passed on: the server does not want it", server_.url.base);
    }
    return drop_first();
  }
  // A server that is away says nothing about the alert, however long.
  if (answer.outcome == Outcome::kAnswered) ++tries_;
  if (is_refusal(answer) || tries_ >= kWandbAlertTriesMax) {
    log().warn("{}: an alert is not passed on: {}", server_.url.base, alert_fault(answer));
    return drop_first();
  }
  ++failures_;
  has_failed_ = true;
}

void WandbAlerts::drop_first() {
  done_lsn_ = waiting_.front().lsn + 1;
  waiting_.pop_front();
  tries_ = failures_ = 0;
}

int64_t WandbAlerts::due_ms(int64_t now_ms) const {
  constexpr int64_t kAnswerLookMs = 100;
  if (waiting_.empty()) return 0;
  if (call_ != 0) return now_ms + kAnswerLookMs;
  return has_failed_ ? now_ms : std::max(now_ms, next_try_ms_);
}

}  // namespace ringlog::service
