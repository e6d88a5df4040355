#pragma once
// Tree: a JSON-like value that owns its memory: config, summary and cells that are not numbers.
//
// Values only; numbers keep their type and their bits.

#include <ringlog/result.h>

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

namespace ringlog::store {

struct Tree {
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

// Equal types and equal bits: NaN equals the same NaN, 0.0 does not equal -0.0.
bool identical(const Tree& a, const Tree& b);

// Merges `from` into the object `into`: objects key by key, anything else replaces what was there.
void merge(Tree& into, const Tree& from);

// Sets the value at a column path (lib/record/path.h), making objects on the way.
void set_path(Tree& into, std::string_view path, Tree value);

// The value of a byte cell: a flat message of schema Value.  kCorrupt: it is none.
Result<Tree> tree_of_value(std::string_view message);

// Text as JSON; NaN, Infinity and -Infinity as bare words, doubles in the shortest form that reads
// back bit-exactly.
std::string to_json(const Tree& tree);

}  // namespace ringlog::store
