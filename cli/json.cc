#include "cli/json.h"

#include <string_view>

#include "store/row_json.h"

namespace ringlog::cli {

namespace {

enum class Layout { kLines, kOneLine };

void break_line(std::string& out, Layout layout, size_t depth) {
  if (layout == Layout::kOneLine) return;
  out += '\n';
  out.append(2 * depth, ' ');
}

// Recurses as deep as the document, which is as deep as a logged value: record/limits.h.
void append(std::string& out, const Json& value, Layout layout, size_t depth) {
  switch (value.type()) {
    case Json::value_t::object:
    case Json::value_t::array: {
      const bool is_object = value.is_object();
      out += is_object ? '{' : '[';
      bool is_first = true;
      for (auto item = value.begin(); item != value.end(); ++item) {
        if (!is_first) out += ',';
        is_first = false;
        break_line(out, layout, depth + 1);
        if (is_object) {
          store::append_json(out, std::string_view(item.key()));
          out += layout == Layout::kOneLine ? ":" : ": ";
        }
        append(out, item.value(), layout, depth + 1);
      }
      if (!is_first) break_line(out, layout, depth);
      out += is_object ? '}' : ']';
      return;
    }
    case Json::value_t::string:
      return store::append_json(out, std::string_view(value.get_ref<const std::string&>()));
    case Json::value_t::boolean:
      out += value.get<bool>() ? "true" : "false";
      return;
    case Json::value_t::number_integer:
      return store::append_json(out, value.get<int64_t>());
    case Json::value_t::number_unsigned:
      return store::append_json(out, value.get<uint64_t>());
    case Json::value_t::number_float:
      return store::append_json(out, value.get<double>());
    default:
      out += "null";
  }
}

}  // namespace

Json json_of(const store::Tree& tree) {
  if (const auto* boolean = std::get_if<bool>(&tree.value)) return *boolean;
  if (const auto* signed_integer = std::get_if<int64_t>(&tree.value)) return *signed_integer;
  if (const auto* unsigned_integer = std::get_if<uint64_t>(&tree.value)) return *unsigned_integer;
  if (const auto* number = std::get_if<double>(&tree.value)) return *number;
  if (const std::string* text = tree.text()) return *text;
  if (const store::Tree::List* list = tree.list()) {
    Json array = Json::array();
    for (const store::Tree& item : *list) array.push_back(json_of(item));
    return array;
  }
  if (const store::Tree::Object* entries = tree.object()) {
    Json object = Json::object();
    // Keys are unique already; operator[] of an ordered document searches from the front.
    for (const auto& [key, item] : *entries)
      object.get_ref<Json::object_t&>().emplace_back(key, json_of(item));
    return object;
  }
  return nullptr;
}

Json json_seconds(int64_t time_ns) {
  if (time_ns == 0) return nullptr;
  return static_cast<double>(time_ns) / 1e9;
}

std::string json_text(const Json& document) {
  std::string out;
  append(out, document, Layout::kLines, 0);
  out += '\n';
  return out;
}

std::string json_line(const Json& document) {
  std::string out;
  append(out, document, Layout::kOneLine, 0);
  out += '\n';
  return out;
}

}  // namespace ringlog::cli
