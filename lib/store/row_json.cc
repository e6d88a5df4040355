#include "store/row_json.h"

#include <algorithm>
#include <array>
#include <bit>
#include <charconv>
#include <cmath>
#include <cstring>
#include <map>
#include <utility>

#include "record/path.h"

namespace ringlog::store {

namespace {

// Key sets whose text is remembered; a program that logs other keys in every row starts over.
constexpr size_t kShapesMax = 256;
// The longest text std::to_chars makes of a double is 24 characters, of an integer 20.
constexpr size_t kNumberSizeMax = 32;

constexpr std::array<std::string_view, 6> kRowFields = {"_rank", "_attempt", "_worker",
                                                        "_seq",  "_step",    "_timestamp"};

template <typename Integer>
void append_integer(std::string& out, Integer value) {
  std::array<char, kNumberSizeMax> text;
  const auto end = std::to_chars(text.data(), text.data() + text.size(), value).ptr;
  out.append(text.data(), static_cast<size_t>(end - text.data()));
}

// Bytes of the well-formed UTF-8 sequence at the front of `text`; 0: there is none.
size_t utf8_sequence(std::string_view text) {
  const auto lead = static_cast<uint8_t>(text[0]);
  const size_t size = lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
  return size <= text.size() && record::is_utf8(text.substr(0, size)) ? size : 0;
}

void append_escaped(std::string& out, char c) {
  constexpr std::string_view kHex = "0123456789abcdef";
  const auto byte = static_cast<uint8_t>(c);
  switch (c) {
    case '"':
      out += "\\\"";
      return;
    case '\\':
      out += "\\\\";
      return;
    case '\n':
      out += "\\n";
      return;
    case '\r':
      out += "\\r";
      return;
    case '\t':
      out += "\\t";
      return;
    default:
      out += "\\u00";
      out += kHex[byte >> 4];
      out += kHex[byte & 15];
  }
}

bool is_plain(char c) {
  const auto byte = static_cast<uint8_t>(c);
  return byte >= 0x20 && byte < 0x80 && c != '"' && c != '\\';
}

// One metric of a key set, on its way to its place in the row's object.
struct Leaf {
  std::vector<std::string> keys;
  std::vector<size_t> order;  // of each enclosing object, then of itself: by first appearance
  size_t cell = 0;
};

// Where each path of a key set ends as a value: the last column wins.
std::map<std::string, size_t> last_columns(const RowView& row) {
  std::map<std::string, size_t> last;
  for (size_t i = 0; i < row.size(); ++i) last[row.column(i).path] = i;
  return last;
}

// The leaves of a row in an order that has every object's keys together.  Where one key is used
// twice, the one logged last stays, whether it is a value or an object.
std::vector<Leaf> leaves_of(const RowView& row) {
  std::map<std::string, size_t> last = last_columns(row);
  std::map<std::string, size_t> order;
  std::vector<Leaf> leaves;
  for (size_t i = 0; i < row.size(); ++i) {
    const std::string& path = row.column(i).path;
    Leaf leaf{record::split_path(path), {}, i};
    bool is_hidden = last[path] != i;
    std::string prefix;
    for (const std::string& key : leaf.keys) {
      record::append_key(prefix, key);
      leaf.order.push_back(order.try_emplace(prefix, order.size()).first->second);
      const auto other = last.find(prefix);
      is_hidden = is_hidden || (other != last.end() && other->second > i);
    }
    if (!is_hidden) leaves.push_back(std::move(leaf));
  }
  std::stable_sort(leaves.begin(), leaves.end(),
                   [](const Leaf& a, const Leaf& b) { return a.order < b.order; });
  // A value in front of an object of the same name is older than the object.
  std::vector<Leaf> kept;
  for (Leaf& leaf : leaves) {
    if (!kept.empty() && kept.back().keys.size() < leaf.keys.size() &&
        std::equal(kept.back().keys.begin(), kept.back().keys.end(), leaf.keys.begin())) {
      kept.pop_back();
    }
    kept.push_back(std::move(leaf));
  }
  return kept;
}

void append_key(std::string& out, const std::string& key, bool is_top_level) {
  append_json(out, is_top_level && is_row_field(key) ? "_" + key : key);
  out += ':';
}

// Closes the objects `open` that `leaf` is not in and opens the ones it is in.  There is always
// something in front: a row begins with its own fields.
std::string text_before(const std::vector<std::string>& open, const Leaf& leaf) {
  size_t common = 0;
  const size_t common_max = std::min(open.size(), leaf.keys.size() - 1);
  while (common < common_max && open[common] == leaf.keys[common]) ++common;
  std::string text(open.size() - common, '}');
  text += ',';
  for (size_t depth = common; depth < leaf.keys.size(); ++depth) {
    append_key(text, leaf.keys[depth], depth == 0);
    if (depth + 1 < leaf.keys.size()) text += '{';
  }
  return text;
}

}  // namespace

void append_json(std::string& out, double value) {
  if (std::isnan(value)) {
    out += "NaN";
    return;
  }
  if (std::isinf(value)) {
    out += value < 0 ? "-Infinity" : "Infinity";
    return;
  }
  std::array<char, kNumberSizeMax> text;
  char* end = std::to_chars(text.data(), text.data() + text.size() - 2, value).ptr;
  const std::string_view number(text.data(), static_cast<size_t>(end - text.data()));
  if (number.find_first_of(".e") == std::string_view::npos) {
    *end++ = '.';
    *end++ = '0';
  }
  out.append(text.data(), static_cast<size_t>(end - text.data()));
}

void append_json(std::string& out, int64_t value) { append_integer(out, value); }
void append_json(std::string& out, uint64_t value) { append_integer(out, value); }

void append_json(std::string& out, std::string_view text) {
  out += '"';
  for (size_t i = 0; i < text.size();) {
    const size_t begin = i;
    while (i < text.size() && is_plain(text[i])) ++i;
    out.append(text.substr(begin, i - begin));
    if (i == text.size()) break;
    if (static_cast<uint8_t>(text[i]) < 0x80) {
      append_escaped(out, text[i++]);
      continue;
    }
    const size_t size = utf8_sequence(text.substr(i));
    out.append(size == 0 ? "\xef\xbf\xbd" : text.substr(i, size));
    i += std::max<size_t>(size, 1);
  }
  out += '"';
}

// Recurses as deep as the tree, which record/limits.h bounds.
void append_json(std::string& out, const Tree& tree) {
  if (tree.is_null()) {
    out += "null";
  } else if (const auto* boolean = std::get_if<bool>(&tree.value)) {
    out += *boolean ? "true" : "false";
  } else if (const auto* signed_integer = std::get_if<int64_t>(&tree.value)) {
    append_json(out, *signed_integer);
  } else if (const auto* unsigned_integer = std::get_if<uint64_t>(&tree.value)) {
    append_json(out, *unsigned_integer);
  } else if (const auto* number = std::get_if<double>(&tree.value)) {
    append_json(out, *number);
  } else if (const std::string* text = tree.text()) {
    append_json(out, std::string_view(*text));
  } else if (const Tree::List* list = tree.list()) {
    char separator = '[';
    for (const Tree& item : *list) {
      out += std::exchange(separator, ',');
      append_json(out, item);
    }
    out += list->empty() ? "[]" : "]";
  } else {
    char separator = '{';
    for (const auto& [key, item] : *tree.object()) {
      out += std::exchange(separator, ',');
      append_json(out, std::string_view(key));
      out += ':';
      append_json(out, item);
    }
    out += tree.object()->empty() ? "{}" : "}";
  }
}

void append_json_cell(std::string& out, ColumnType type, uint64_t bits) {
  switch (type) {
    case ColumnType::kFloat64:
      return append_json(out, std::bit_cast<double>(bits));
    case ColumnType::kInt64:
      return append_json(out, static_cast<int64_t>(bits));
    case ColumnType::kUint64:
      return append_json(out, bits);
    case ColumnType::kBool:
      out += bits != 0 ? "true" : "false";
      return;
    case ColumnType::kOther:
      out += "null";
  }
}

void append_json_seconds(std::string& out, int64_t time_ns) {
  constexpr uint64_t kNsPerSecond = 1'000'000'000;
  const uint64_t magnitude =
      time_ns < 0 ? uint64_t{0} - static_cast<uint64_t>(time_ns) : static_cast<uint64_t>(time_ns);
  if (time_ns < 0) out += '-';
  append_integer(out, magnitude / kNsPerSecond);
  std::array<char, 10> fraction = {'.', '0', '0', '0', '0', '0', '0', '0', '0', '0'};
  uint64_t rest = magnitude % kNsPerSecond;
  for (size_t i = fraction.size() - 1; i > 0; --i, rest /= 10) {
    fraction[i] = static_cast<char>('0' + rest % 10);
  }
  size_t size = fraction.size();
  while (size > 2 && fraction[size - 1] == '0') --size;
  out.append(fraction.data(), size);
}

bool is_row_field(std::string_view key) {
  return std::find(kRowFields.begin(), kRowFields.end(), key) != kRowFields.end();
}

const RowJson::Shape& RowJson::shape_of(const RowView& row) {
  const auto known = shapes_.find(row.keys().id);
  if (known != shapes_.end()) return known->second;
  if (shapes_.size() >= kShapesMax) shapes_.clear();
  Shape shape;
  std::vector<std::string> open;
  for (const Leaf& leaf : leaves_of(row)) {
    shape.pieces.push_back({text_before(open, leaf), leaf.cell, row.column(leaf.cell).type});
    open.assign(leaf.keys.begin(), leaf.keys.end() - 1);
  }
  shape.after = std::string(open.size() + 1, '}');
  return shapes_.emplace(row.keys().id, std::move(shape)).first->second;
}

void RowJson::append_head(const RowView& row, std::string& out) {
  const ProducerState& producer = row.producer();
  if (head_producer_ != producer.producer) {
    head_producer_ = producer.producer;
    head_ = "{\"_rank\":";
    append_integer(head_, producer.rank);
    head_ += ",\"_attempt\":";
    append_integer(head_, producer.attempt);
    if (producer.worker != 0) {
      head_ += ",\"_worker\":";
      append_integer(head_, producer.worker);
    }
    head_ += ",\"_seq\":";
  }
  out += head_;
  append_integer(out, row.public_seq());
  out += ",\"_step\":";
  append_integer(out, row.step());
  out += ",\"_timestamp\":";
  append_json_seconds(out, row.time_ns());
}

Status RowJson::append(const RowView& row, std::string& out) {
  const Shape& shape = shape_of(row);
  append_head(row, out);
  for (const Piece& piece : shape.pieces) {
    out += piece.before;
    if (piece.type != ColumnType::kOther) {
      append_json_cell(out, piece.type, row.bits(piece.cell));
      continue;
    }
    Result<Tree> value = row.value(piece.cell);
    if (!value) {
      return value.take_error().in("metric " + record::display_path(row.column(piece.cell).path));
    }
    append_json(out, *value);
  }
  out += shape.after;
  return Done{};
}

}  // namespace ringlog::store
