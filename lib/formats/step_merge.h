#pragma once
// StepMerge: the rows of a run as tools with one row a step want them: all ranks' values of a step
// together, steps rising.
//
// Where a rank has a value for a step more than once (repeated and backward steps, newer attempts,
// several threads) the one of the newest attempt, and in it the last one, stays; likewise where a
// name is a value in one row and an object in the other.  The run is read
// window by window of steps; memory is bounded by kMergedCellsMax values, or by what one step has.
//
// StepRows does the same with rows that somebody else chose.
//
// One thread; the reader must outlive it.

#include <ringlog/result.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <unordered_map>
#include <vector>

#include "store/reader.h"

namespace ringlog::formats {

// Values in memory at once: about 30 MB.
inline constexpr size_t kMergedCellsMax = size_t{1} << 18;

// A metric of one rank.
struct MergedColumn {
  std::string label;              // of series_label()
  std::vector<std::string> keys;  // of nested objects, as the user wrote them
};

struct MergedRow {
  uint64_t step = 0;
  int64_t time_ns = 0;                    // the latest of its values
  std::map<size_t, std::string> cells{};  // index into StepMerge::columns() → JSON
};

// What stands in front of a process's metrics: "rank1/" where the run has several ranks,
// "worker2/" for a forked child.
std::string series_label(const store::ProducerState& producer, bool has_ranks);

// Rows of the store, merged as they come.
class StepRows {
 public:
  explicit StepRows(bool has_ranks) : has_ranks_(has_ranks) {}

  // kCorrupt: a cell is no value.
  Status add(const store::RowView& row);
  // By step.
  const std::map<uint64_t, MergedRow>& rows() const { return rows_; }
  // Those met so far, in the order of their first appearance.
  const std::vector<MergedColumn>& columns() const { return columns_; }
  size_t cells() const { return cells_; }
  // Forgets the rows; columns stay what they are.
  void clear();

 private:
  struct Shape {
    std::vector<size_t> columns;  // of each cell
  };
  const Shape& shape_of(const store::RowView& row);
  void find_rivals(size_t column, const std::string& label);
  size_t column_of(const std::string& label, const std::string& path);

  const bool has_ranks_;
  std::vector<MergedColumn> columns_;
  std::unordered_map<std::string, size_t> column_ids_;  // label, NUL, path
  // Columns of the objects that a column would stand for, and of the values that it is inside of.
  std::vector<std::vector<size_t>> rivals_;
  std::unordered_map<std::string, std::vector<size_t>> inside_;  // label, NUL, path of an object
  std::map<std::pair<uint32_t, uint32_t>, Shape> shapes_;        // by producer and key set
  std::map<uint64_t, MergedRow> rows_;
  size_t cells_ = 0;  // in rows_
};

class StepMerge {
 public:
  // Rows of `filter`; its step range is not used.
  StepMerge(store::RunReader& reader, store::RowFilter filter, bool has_ranks)
      : reader_(reader), filter_(std::move(filter)), window_(has_ranks) {}

  // Returns false to stop.
  using Visitor = std::function<bool(const MergedRow&)>;
  // Visits steps 0 to `step_last`.  Returns the number of stored rows that went into them.
  //   kCorrupt, kIo  as the reader says
  Result<uint64_t> run(uint64_t step_last, const Visitor& visitor);
  const std::vector<MergedColumn>& columns() const { return window_.columns(); }

 private:
  // False: there are too many values in the window.
  Result<bool> read_window(uint64_t begin, uint64_t last);

  store::RunReader& reader_;
  store::RowFilter filter_;
  StepRows window_;
  uint64_t read_ = 0;  // rows of the window
};

}  // namespace ringlog::formats
