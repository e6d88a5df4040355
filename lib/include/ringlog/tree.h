#pragma once
// Tree: a JSON-like value that owns its memory: config, summary, cells that are not numbers.
//
// A value; numbers keep their type and their bits.  Logging takes ringlog::Value, which borrows.

#include <ringlog/export.h>

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

namespace ringlog {

struct RINGLOG_API Tree {
  using List = std::vector<Tree>;
  using Object = std::map<std::string, Tree, std::less<>>;  // sorted: output is the same every time
  std::variant<std::monostate, bool, int64_t, uint64_t, double, std::string, List, Object> value;

  // Defined out of line: inlined, a variant's move is reported as uninitialised by g++ 12.
  Tree();
  Tree(const Tree&);
  Tree(Tree&&) noexcept;
  Tree& operator=(const Tree&);
  Tree& operator=(Tree&&) noexcept;
  ~Tree();
  template <typename T, typename = std::enable_if_t<!std::is_same_v<std::remove_cvref_t<T>, Tree>>>
  explicit Tree(T&& from) : value(std::forward<T>(from)) {}

  bool is_null() const { return value.index() == 0; }
  const Object* object() const { return std::get_if<Object>(&value); }
  Object* object() { return std::get_if<Object>(&value); }
  const List* list() const { return std::get_if<List>(&value); }
  const std::string* text() const { return std::get_if<std::string>(&value); }
  // The entry of an object, or nullptr.
  const Tree* find(std::string_view key) const;
};

}  // namespace ringlog
