#pragma once
// The names of LevelDB's files, for everybody who looks into a store folder without opening it.
//
// Pure functions of a name.

#include <string_view>

namespace ringlog::store {

// Sorted rows.
inline bool is_table(std::string_view name) {
  return name.ends_with(".ldb") || name.ends_with(".sst");
}

// A folder with one of these holds a run.  One without holds nothing: its service died while
// LevelDB was making it, before anybody was told of the run.
inline bool is_store_file(std::string_view name) {
  return name == "CURRENT" || name.ends_with(".log") || is_table(name);
}

}  // namespace ringlog::store
