#include "daemon/log.h"

#include "daemon/limits.h"

#include <spdlog/sinks/rotating_file_sink.h>
#include <spdlog/sinks/stdout_sinks.h>

#include <memory>
#include <vector>

namespace ringlog::service {

namespace {

std::unique_ptr<spdlog::logger> make_logger(const std::vector<spdlog::sink_ptr>& sinks) {
  auto logger = std::make_unique<spdlog::logger>("ringlogd", sinks.begin(), sinks.end());
  logger->flush_on(spdlog::level::info);
  logger->set_error_handler([](const std::string&) {});
  return logger;
}

// Never destroyed: threads may still log while the process exits.
std::unique_ptr<spdlog::logger>& current() {
  static auto* const kCurrent = new std::unique_ptr<spdlog::logger>(make_logger({}));
  return *kCurrent;
}

}  // namespace

spdlog::logger& log() { return *current(); }

void open_log(const std::string& path, bool is_on_stderr) {
  std::vector<spdlog::sink_ptr> sinks;
  try {
    sinks.push_back(
        std::make_shared<spdlog::sinks::rotating_file_sink_mt>(path, kLogFileBytes, kLogFileCount));
  } catch (const spdlog::spdlog_ex&) {
    // As the header says.
  }
  if (is_on_stderr) sinks.push_back(std::make_shared<spdlog::sinks::stderr_sink_mt>());
  current() = make_logger(sinks);
}

void close_log() { current() = make_logger({}); }

}  // namespace ringlog::service
