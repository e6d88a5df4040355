#pragma once
// The names of LevelDB's files, for everybody who looks into a store folder without opening it.
//
// Pure functions of a name.

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

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

// Whether a database of these files, and with this text in CURRENT, has lost its log, and with it
// the rows that were in no table yet.  LevelDB itself does not notice, and takes what is left for
// all there is.  A log is made before CURRENT first names the second manifest, and from then on
// there always is one.
inline bool is_log_missing(const std::vector<std::string>& names, std::string_view current) {
  const bool has_had_one =
      current.starts_with("MANIFEST-") && !current.starts_with("MANIFEST-000001\n");
  return has_had_one && std::none_of(names.begin(), names.end(), [](const std::string& name) {
           return name.ends_with(".log");
         });
}
inline constexpr std::string_view kLogIsMissing =
    "the log is missing; rows that were in it and in no table are lost";

}  // namespace ringlog::store
