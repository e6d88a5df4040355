#include "daemon/sink.h"

#include "daemon/file_sink.h"

namespace ringlog::service {

Result<std::unique_ptr<Sink>> make_sink(const std::string& url) {
  constexpr std::string_view kFile = "jsonl+file://";
  if (url.starts_with(kFile)) {
    const std::string path = url.substr(kFile.size());
    if (path.size() < 2 || path.front() != '/' || path.find('\0') != std::string::npos) {
      return Error{Code::kInvalidArgument, "sink " + url + " names no absolute path"};
    }
    return std::unique_ptr<Sink>(std::make_unique<FileSink>(path));
  }
  return Error{Code::kInvalidArgument, "sink " + without_credentials(url) +
                                           " is of an unknown kind; known are " +
                                           std::string(kFile) + "/path"};
}

Status check_sink(const std::string& url) {
  auto sink = make_sink(url);
  if (!sink) return sink.take_error();
  return Done{};
}

std::string without_credentials(const std::string& url) {
  const size_t scheme = url.find("://");
  if (scheme == std::string::npos) return url;
  const size_t host = scheme + 3;
  const size_t end = std::min(url.find_first_of("/?#", host), url.size());
  const size_t at = url.rfind('@', end);
  if (at == std::string::npos || at < host) return url;
  return url.substr(0, host) + url.substr(at + 1);
}

}  // namespace ringlog::service
