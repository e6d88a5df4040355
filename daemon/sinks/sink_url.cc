#include "daemon/sinks/sink_url.h"

#include <algorithm>
#include <cctype>
#include <charconv>

namespace ringlog::service {

namespace {

constexpr std::string_view kUnreserved =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.~";

// Where user and password end; npos: there are none.
size_t at_of(const std::string& url, size_t authority) {
  const size_t end = std::min(url.find_first_of("/?#", authority), url.size());
  const size_t at = end == authority ? std::string::npos : url.rfind('@', end - 1);
  return at == std::string::npos || at < authority ? std::string::npos : at;
}

bool has_odd_bytes(std::string_view text) {
  return std::any_of(text.begin(), text.end(), [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return byte <= ' ' || byte == 0x7f;
  });
}

Error bad(const std::string& url, const std::string& why) {
  return {Code::kInvalidArgument, "sink " + shown_sink(url) + " " + why};
}

Status read_options(const std::string& url, std::string_view query, std::string_view known,
                    SinkUrl& out) {
  while (!query.empty()) {
    const std::string_view pair = query.substr(0, query.find('&'));
    query.remove_prefix(std::min(pair.size() + 1, query.size()));
    const size_t equals = std::min(pair.find('='), pair.size());
    const std::string name(pair.substr(0, equals));
    const std::string listed = " " + std::string(known) + " ";
    if (listed.find(" " + name + " ") == std::string::npos) {
      return bad(url, "has the unknown option " + name + "; known are: " + std::string(known));
    }
    out.options[name] = url_decode(pair.substr(std::min(equals + 1, pair.size())));
  }
  return Done{};
}

}  // namespace

bool SinkUrl::is_loopback() const {
  return host == "localhost" || host == "[::1]" || host.starts_with("127.");
}

Result<SinkUrl> parse_sink_url(const std::string& url, std::string_view known,
                               std::string_view secrets) {
  const size_t plus = url.find('+');
  const size_t colon = url.find("://");
  if (plus == std::string::npos || colon == std::string::npos || plus > colon) {
    return bad(url, "is no URL like KIND+https://HOST/PATH");
  }
  SinkUrl out;
  out.kind = url.substr(0, plus);
  const std::string scheme = url.substr(plus + 1, colon - plus - 1);
  if (scheme != "http" && scheme != "https") {
    return bad(url, "is neither " + out.kind + "+http:// nor " + out.kind + "+https://");
  }
  const size_t authority = colon + 3;
  const size_t end = std::min(url.find_first_of("/?#", authority), url.size());
  const size_t at = at_of(url, authority);
  const size_t host = at == std::string::npos ? authority : at + 1;
  if (at != std::string::npos) {
    const std::string user = url.substr(authority, at - authority);
    if (user.find(':') != std::string::npos) {
      return bad(url, "holds a password, which would show in lists of processes; put it into " +
                          std::string(secrets));
    }
    out.user = url_decode(user);
  }
  const std::string place = url.substr(host, end - host);
  const size_t port = place.find(':', place.starts_with('[') ? place.find(']') : 0);
  out.host = place.substr(0, port);
  if (out.host.empty()) return bad(url, "names no host");
  if (has_odd_bytes(url)) return bad(url, "contains a space or control character");
  out.base = scheme + "://" + place;
  const size_t query = std::min(url.find('?', end), url.size());
  if (url.find('#') != std::string::npos) return bad(url, "contains a #");
  if (query > end) out.path = url_decode(url.substr(end + 1, query - end - 1));
  if (query == url.size()) return out;
  if (Status s = read_options(url, std::string_view(url).substr(query + 1), known, out); !s) {
    return s.take_error();
  }
  return out;
}

std::string url_encode(std::string_view text) {
  constexpr std::string_view kHex = "0123456789ABCDEF";
  std::string out;
  for (const char c : text) {
    if (kUnreserved.find(c) != std::string_view::npos) {
      out += c;
      continue;
    }
    const auto byte = static_cast<unsigned char>(c);
    out += '%';
    out += kHex[byte >> 4];
    out += kHex[byte & 15];
  }
  return out;
}

std::string url_decode(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    unsigned byte = 0;
    if (text[i] == '%' && i + 2 < text.size() &&
        std::from_chars(text.data() + i + 1, text.data() + i + 3, byte, 16).ptr ==
            text.data() + i + 3) {
      out += static_cast<char>(byte);
      i += 2;
    } else {
      out += text[i];
    }
  }
  return out;
}

std::string shown_sink(const std::string& url) {
  return without_credentials(url.substr(0, url.find_first_of("?#")));
}

std::string without_credentials(const std::string& url) {
  const size_t scheme = url.find("://");
  if (scheme == std::string::npos) return url;
  const size_t authority = scheme + 3;
  const size_t at = at_of(url, authority);
  if (at == std::string::npos) return url;
  const size_t colon = url.find(':', authority);
  if (colon == std::string::npos || colon > at) return url;
  const bool has_user = colon > authority;
  return url.substr(0, has_user ? colon : authority) + url.substr(has_user ? at : at + 1);
}

}  // namespace ringlog::service
