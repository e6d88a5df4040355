#pragma once
// SinkUrl: the parts of a sink's URL, "clickhouse+http://user@host:8123/db?compress=none".
//
// Plain functions and values; safe from any thread.  No error message repeats a password.

#include <ringlog/result.h>

#include <map>
#include <string>
#include <string_view>

namespace ringlog::service {

struct SinkUrl {
  std::string kind;  // "clickhouse"
  std::string base;  // "http://host:8123"
  std::string host;  // as in the URL, an IPv6 address in its brackets
  std::string user;  // empty: none
  std::string path;  // without the first slash
  std::map<std::string, std::string> options;

  bool is_loopback() const;
};

// Reads KIND+http[s]://[USER@]HOST[:PORT]/PATH[?OPTION=VALUE&…] whose options are all in `known`.
//   kInvalidArgument  it is none; or it holds a password, which belongs elsewhere: `secrets` says
//                     where
Result<SinkUrl> parse_sink_url(const std::string& url, std::string_view known,
                               std::string_view secrets);

// Bytes that may not stand in a URL's query as %XX.
std::string url_encode(std::string_view text);
// %XX as bytes; a percent sign before anything else stands for itself.
std::string url_decode(std::string_view text);

// The URL as it may be shown and stored: without its password.  A user name stays, because the next
// service needs it.
std::string without_credentials(const std::string& url);
// As a message about a URL that cannot be used has it: without its options too, which may be
// anything.
std::string shown_sink(const std::string& url);

}  // namespace ringlog::service
