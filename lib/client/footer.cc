#include "client/footer.h"

#include "record/message.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <exception>
#include <span>
#include <string_view>
#include <vector>

#include "schema/reply.capnp.h"

namespace ringlog::client {

namespace {

constexpr size_t kCurveColumns = 40;
constexpr size_t kFooterNameMax = 40;   // bytes
constexpr size_t kFooterValueMax = 60;  // bytes

// Cut to `size` bytes at a whole character; what could move a cursor becomes "?".
std::string clip(std::string_view text, size_t size) {
  const bool is_long = text.size() > size;
  size_t end = std::min(text.size(), size);
  while (is_long && end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;
  std::string out(text.substr(0, end));
  for (char& c : out) {
    if (static_cast<unsigned char>(c) < ' ' || c == '\x7f') c = '?';
  }
  return is_long ? out + ".." : out;
}

// As many columns as points, at most kCurveColumns: means of those that share one.
std::vector<double> columns_of(capnp::List<double>::Reader points) {
  const size_t count = std::min<size_t>(points.size(), kCurveColumns);
  std::vector<double> columns(count, 0);
  std::vector<size_t> finite(count, 0);
  for (capnp::uint i = 0; i < points.size(); ++i) {
    const size_t column = size_t{i} * count / points.size();
    if (!std::isfinite(points[i])) continue;
    columns[column] += points[i];
    ++finite[column];
  }
  for (size_t i = 0; i < count; ++i) {
    columns[i] = finite[i] == 0 ? std::nan("") : columns[i] / static_cast<double>(finite[i]);
  }
  return columns;
}

std::string curve(const std::vector<double>& columns) {
  constexpr std::array<std::string_view, 8> kBars{"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
  double low = HUGE_VAL;
  double high = -HUGE_VAL;
  for (const double value : columns) {
    if (std::isnan(value)) continue;
    low = std::min(low, value);
    high = std::max(high, value);
  }
  std::string out;
  for (const double value : columns) {
    if (std::isnan(value)) {
      out += ' ';
      continue;
    }
    // Halved first: the difference of two large numbers need not be finite.
    const double span = high / 2 - low / 2;
    const double part = span > 0 ? (value / 2 - low / 2) / span : 0;
    out += kBars[std::min<size_t>(static_cast<size_t>(part * 8), 7)];
  }
  return out;
}

// A float as people read it, whatever the program's locale; whole numbers and what is no number
// stay as they are.
std::string short_number(const std::string& json) {
  double value = 0;
  const char* const end = json.data() + json.size();
  const auto read = std::from_chars(json.data(), end, value);
  const bool is_whole = json.find_first_not_of("-0123456789") == std::string::npos;
  if (is_whole || read.ec == std::errc::invalid_argument || read.ptr != end) {
    return clip(json, kFooterValueMax);
  }
  if (read.ec == std::errc::result_out_of_range) return json;
  std::array<char, 32> text{};
  const auto written =
      std::to_chars(text.data(), text.data() + text.size(), value, std::chars_format::general, 6);
  return {text.data(), written.ptr};
}

std::string pad(std::string text, size_t columns, size_t width) {
  text.append(width > columns ? width - columns : 0, ' ');
  return text;
}

std::string lines_of(schema::Footer::Reader footer, bool has_unicode) {
  size_t name_width = 0;
  size_t curve_width = 0;
  for (const auto line : footer.getLines()) {
    name_width = std::max(name_width, clip(line.getName().cStr(), kFooterNameMax).size());
    curve_width = std::max<size_t>(curve_width, line.getPoints().size());
  }
  curve_width = std::min(curve_width, kCurveColumns);
  std::string text;
  for (const auto line : footer.getLines()) {
    const std::string name = clip(line.getName().cStr(), kFooterNameMax);
    text += "  " + pad(name, name.size(), name_width) + "  ";
    if (has_unicode && curve_width > 0) {
      const std::vector<double> columns = columns_of(line.getPoints());
      text += pad(curve(columns), columns.size(), curve_width) + "  ";
    }
    text += short_number(line.getValue().cStr());
    text.erase(text.find_last_not_of(' ') + 1);
    text += '\n';
  }
  if (footer.getLeftOut() > 0) text += "  and " + std::to_string(footer.getLeftOut()) + " more\n";
  return text;
}

}  // namespace

std::string footer_text(const std::string& reply, bool has_unicode) try {
  record::MessageView message(std::as_bytes(std::span(reply)));
  const auto body = message.root<schema::Reply>();
  return body.isFooter() ? lines_of(body.getFooter(), has_unicode) : "";
} catch (const kj::Exception&) {
  return "";
}

bool is_utf8_locale() {
  for (const char* variable : {"LC_ALL", "LC_CTYPE", "LANG"}) {
    const char* const value = std::getenv(variable);
    if (value == nullptr || *value == '\0') continue;
    std::string text(value);
    for (char& c : text) c = c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
    return text.find("UTF-8") != std::string::npos || text.find("UTF8") != std::string::npos;
  }
  return false;
}

}  // namespace ringlog::client
