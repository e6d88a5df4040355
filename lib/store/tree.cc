#include "store/tree.h"

#include <bit>
#include <utility>

#include "record/path.h"
#include "store/row_json.h"

namespace ringlog {

Tree::Tree() = default;
Tree::Tree(const Tree&) = default;
Tree::Tree(Tree&&) noexcept = default;
Tree& Tree::operator=(const Tree&) = default;
Tree& Tree::operator=(Tree&&) noexcept = default;
Tree::~Tree() = default;

const Tree* Tree::find(std::string_view key) const {
  const Object* entries = object();
  if (entries == nullptr) return nullptr;
  const auto it = entries->find(key);
  return it == entries->end() ? nullptr : &it->second;
}

}  // namespace ringlog

namespace ringlog::store {

// Recurses as deep as the trees, which lib/record/limits.h bounds; so do the functions below.
bool identical(const Tree& a, const Tree& b) {
  if (a.value.index() != b.value.index()) return false;
  if (const auto* number = std::get_if<double>(&a.value)) {
    return std::bit_cast<uint64_t>(*number) == std::bit_cast<uint64_t>(std::get<double>(b.value));
  }
  if (const Tree::List* list = a.list()) {
    const Tree::List& other = *b.list();
    if (list->size() != other.size()) return false;
    for (size_t i = 0; i < list->size(); ++i) {
      if (!identical((*list)[i], other[i])) return false;
    }
    return true;
  }
  if (const Tree::Object* object = a.object()) {
    const Tree::Object& other = *b.object();
    if (object->size() != other.size()) return false;
    auto it = other.begin();
    for (const auto& [key, item] : *object) {
      if (key != it->first || !identical(item, it->second)) return false;
      ++it;
    }
    return true;
  }
  if (const auto* boolean = std::get_if<bool>(&a.value)) return *boolean == std::get<bool>(b.value);
  if (const auto* i64 = std::get_if<int64_t>(&a.value)) return *i64 == std::get<int64_t>(b.value);
  if (const auto* u64 = std::get_if<uint64_t>(&a.value)) return *u64 == std::get<uint64_t>(b.value);
  const std::string* text = a.text();
  return text == nullptr || *text == *b.text();
}

void merge(Tree& into, const Tree& from) {
  const Tree::Object* source = from.object();
  if (source == nullptr || into.object() == nullptr) {
    into = from;
    return;
  }
  for (const auto& [key, item] : *source) {
    const auto [it, is_new] = into.object()->try_emplace(key, item);
    if (!is_new) merge(it->second, item);
  }
}

void set_path(Tree& into, std::string_view path, Tree value) {
  Tree* at = &into;
  for (std::string& key : record::split_path(path)) {
    if (at->object() == nullptr) at->value = Tree::Object{};
    at = &(*at->object())[std::move(key)];
  }
  *at = std::move(value);
}

std::string to_json(const Tree& tree) {
  std::string out;
  append_json(out, tree);
  return out;
}

}  // namespace ringlog::store
