#pragma once
// What the store does with trees.
//
// Plain functions; any thread.

#include <ringlog/result.h>
#include <ringlog/tree.h>

#include <string>
#include <string_view>

namespace ringlog::store {

using ringlog::Tree;

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
