#include "client/redact.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <optional>

#include "record/path.h"

namespace ringlog::client {

namespace {

constexpr std::string_view kHidden = "(hidden)";

std::string lower(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(), [](char c) {
    return static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  });
  return out;
}

bool is_letter(char c) { return std::isalpha(static_cast<unsigned char>(c)) != 0; }

// Of a name's words, the letters between underscores, dashes, dots and digits.  A token is one, a
// tokenizer and many tokens are none.
bool is_secret_word(std::string_view word) {
  constexpr std::array<std::string_view, 10> kWords = {
      "key", "pass", "pwd", "auth", "authorization", "bearer", "creds", "sig", "psk", "jwt"};
  return word.ends_with("token") || std::find(kWords.begin(), kWords.end(), word) != kWords.end();
}

bool has_secret_word(std::string_view name) {
  for (size_t begin = 0; begin < name.size();) {
    size_t end = begin;
    while (end < name.size() && is_letter(name[end])) ++end;
    if (is_secret_word(name.substr(begin, end - begin))) return true;
    begin = end + 1;
  }
  return false;
}

bool is_of_name(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_' || c == '-' || c == '.';
}

struct Value {
  size_t begin;
  size_t end;
};

bool is_quote(char c) { return c == '"' || c == '\''; }

// The value of the name that ends at `end`: of `name=value`, to the next part of a URL or the next
// word; of `Name: value`, a header, to the end of the line; of `"name": value`.
std::optional<Value> value_behind(std::string_view text, size_t end) {
  const auto is = [&](size_t at, auto matches) { return at < text.size() && matches(text[at]); };
  const bool is_quoted = is(end, is_quote);
  const size_t sign = is_quoted ? end + 1 : end;
  const bool is_pair = !is_quoted && is(sign, [](char c) { return c == '='; });
  const bool has_colon = is(sign, [](char c) { return c == ':'; });
  // A path of folders has colons too, without a space.
  const bool is_header = has_colon && !is_quoted && is(sign + 1, [](char c) { return c == ' '; });
  if (!is_pair && !is_header && !(has_colon && is_quoted)) return std::nullopt;
  const size_t begin = std::min(text.find_first_not_of(' ', sign + 1), text.size());
  if (is_pair && begin != sign + 1) return std::nullopt;
  if (is(begin, is_quote)) {
    const size_t closing = std::min(text.find(text[begin], begin + 1), text.size() - 1);
    return Value{begin, closing + 1};
  }
  const char* const ends = is_pair ? " \t\n&\"'" : is_header ? "\n\"'" : " \t\n,}]";
  return Value{begin, std::min(text.find_first_of(ends, begin), text.size())};
}

// `name=value` and the like within a text lose the value of a secret name.
std::string without_secret_pairs(std::string_view text) {
  std::string out;
  for (size_t at = 0; at < text.size();) {
    size_t end = at;
    while (end < text.size() && is_of_name(text[end])) ++end;
    const bool is_secret = end > at && is_secret_name(text.substr(at, end - at));
    const auto value = is_secret ? value_behind(text, end) : std::nullopt;
    const size_t next = value ? value->begin : std::max(end, at + 1);
    out += text.substr(at, next - at);
    at = next;
    if (!value || value->end == value->begin) continue;
    out += kHidden;
    at = value->end;
  }
  return out;
}

std::string without_users(std::string_view text) {
  std::string out;
  for (;;) {
    const size_t scheme = text.find("://");
    if (scheme == std::string_view::npos) break;
    const size_t begin = scheme + 3;
    const size_t end = std::min(text.find_first_of("/?# \t\n,", begin), text.size());
    const size_t at = text.substr(begin, end - begin).rfind('@');
    out += text.substr(0, begin);
    const size_t host = at == std::string_view::npos ? begin : begin + at + 1;
    out += text.substr(host, end - host);
    text.remove_prefix(end);
  }
  return out += text;
}

}  // namespace

bool is_secret_name(std::string_view name) {
  const std::string small = lower(name);
  constexpr std::array<std::string_view, 9> kAnywhere = {"secret",     "passw",   "passphrase",
                                                         "credential", "apikey",  "accesskey",
                                                         "cookie",     "private", "signature"};
  return std::any_of(
             kAnywhere.begin(), kAnywhere.end(),
             [&](std::string_view part) { return small.find(part) != std::string::npos; }) ||
         has_secret_word(small);
}

std::string without_credentials(std::string_view text) {
  return without_secret_pairs(without_users(text));
}

std::vector<std::string> without_secrets(std::vector<std::string> words) {
  bool is_value = false;
  for (size_t i = 1; i < words.size(); ++i) {
    std::string& word = words[i];
    // A password may begin with a dash; what begins with two is the next option.
    if (is_value && !word.starts_with("--")) {
      word = kHidden;
      is_value = false;
      continue;
    }
    const size_t equals = word.find('=');
    const std::string_view name = std::string_view(word).substr(0, equals);
    // Only names: a sentence, a URL or a path that mentions a key is none.
    const bool is_name = name.size() <= 64 && std::all_of(name.begin(), name.end(), is_of_name);
    const bool is_secret = is_name && is_secret_name(name);
    is_value = is_secret && equals == std::string::npos && word.starts_with('-');
    if (is_secret && equals != std::string::npos) {
      word = word.substr(0, equals + 1) + std::string(kHidden);
    } else {
      word = without_credentials(word);
    }
  }
  return words;
}

std::string as_utf8(std::string_view bytes, size_t size_max) {
  std::string text(bytes.substr(0, size_max));
  if (record::is_utf8(text)) return text;
  // A character that the limit cut goes as a whole.
  for (size_t cut = 1; cut < 4 && cut < text.size() && bytes.size() > size_max; ++cut) {
    if (record::is_utf8(text.substr(0, text.size() - cut)))
      return text.substr(0, text.size() - cut);
  }
  for (char& c : text) c = static_cast<unsigned char>(c) < 0x80 ? c : '?';
  return text;
}

}  // namespace ringlog::client
