#include "daemon/sinks/netrc.h"

#include <cstdlib>
#include <fstream>
#include <sstream>

namespace ringlog::service {

std::optional<std::string> netrc_password(std::string_view text, std::string_view host) {
  std::istringstream in{std::string(text)};
  bool is_host = false;
  bool is_any = false;
  std::optional<std::string> found;
  for (std::string word; in >> word;) {
    if (word == "machine") {
      in >> word;
      is_host = word == host;
      is_any = false;
    } else if (word == "default") {
      is_host = false;
      is_any = true;
    } else if (word == "password") {
      in >> word;
      if (is_host) return word;
      if (is_any && !found) found = word;
    } else if (word == "login" || word == "account") {
      in >> word;
    } else if (word == "macdef") {
      // A macro ends with an empty line.
      for (std::string line; std::getline(in, line);) {
        if (line.empty()) break;
      }
    }
  }
  return found;
}

std::optional<std::string> netrc_password(std::string_view host) {
  const char* const named = std::getenv("NETRC");
  const char* const home = std::getenv("HOME");
  if (named == nullptr && home == nullptr) return {};
  std::ifstream file(named != nullptr ? named : std::string(home) + "/.netrc");
  std::ostringstream text;
  if (!file || !(text << file.rdbuf())) return {};
  return netrc_password(text.str(), host);
}

}  // namespace ringlog::service
