#include "client/redact.h"

#include <algorithm>
#include <array>
#include <cctype>

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

// The words of a name: letters between underscores, dashes and dots.
bool has_word(std::string_view name, std::string_view word) {
  for (size_t at = name.find(word); at != std::string_view::npos; at = name.find(word, at + 1)) {
    const auto is_letter = [&](size_t i) {
      return i < name.size() && std::isalpha(static_cast<unsigned char>(name[i])) != 0;
    };
    if ((at == 0 || !is_letter(at - 1)) && !is_letter(at + word.size())) return true;
  }
  return false;
}

}  // namespace

bool is_secret_name(std::string_view name) {
  const std::string small = lower(name);
  constexpr std::array<std::string_view, 9> kAnywhere = {"token",      "secret",     "passw",
                                                         "passphrase", "credential", "apikey",
                                                         "cookie",     "private",    "signature"};
  constexpr std::array<std::string_view, 5> kAsWord = {"key", "pass", "pwd", "auth", "bearer"};
  return std::any_of(
             kAnywhere.begin(), kAnywhere.end(),
             [&](std::string_view part) { return small.find(part) != std::string::npos; }) ||
         std::any_of(kAsWord.begin(), kAsWord.end(),
                     [&](std::string_view word) { return has_word(small, word); });
}

std::string without_credentials(std::string_view text) {
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

std::vector<std::string> without_secrets(std::vector<std::string> words) {
  bool is_value = false;
  for (size_t i = 1; i < words.size(); ++i) {
    std::string& word = words[i];
    if (is_value && !word.starts_with('-')) {
      word = kHidden;
      is_value = false;
      continue;
    }
    const size_t equals = word.find('=');
    const std::string_view name = std::string_view(word).substr(0, equals);
    // Only names: a sentence or a path that mentions a key is none.
    const bool is_name = name.size() <= 64 && name.find_first_of(" /\n") == std::string_view::npos;
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
