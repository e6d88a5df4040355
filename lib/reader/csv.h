#pragma once
// Rows as CSV (RFC 4180 quoting), without line ends.
//
// One column for each metric of the run, in order of name; nested names are shown with dots, and
// the dots within a key as backslash and dot where two columns would have one name; an absent
// metric is an empty cell.  Numbers look as in the JSON export; lists and objects are JSON text.
// One thread.

#include <ringlog/result.h>

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <unordered_map>
#include <vector>

#include "store/reader.h"

namespace ringlog::reader {

class CsvWriter {
 public:
  // Columns for `metrics`, names or paths; empty: for all that the run has.  Errors as
  // RunReader::metrics().
  static Result<CsvWriter> create(store::RunReader& reader,
                                  const std::vector<std::string>& metrics);

  std::string header() const;
  // One line.  kCorrupt: a cell is not a value.
  Status append(const store::RowView& row, std::string& out);

 private:
  CsvWriter(std::vector<store::Metric> metrics, bool has_workers);
  // The cell of each column of the file that a row of this key set fills.
  struct Place {
    size_t column;
    size_t cell;
  };
  const std::vector<Place>& places_of(const store::RowView& row);
  Status append_cell(const store::RowView& row, size_t cell, std::string& out) const;

  std::vector<store::Metric> metrics_;
  bool has_workers_;                                             // some rows have a _worker
  std::map<std::string, size_t, std::less<>> columns_;           // by path
  std::unordered_map<uint32_t, std::vector<Place>> key_sets_{};  // by key set, in column order
};

}  // namespace ringlog::reader
