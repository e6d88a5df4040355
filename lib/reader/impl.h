#pragma once
// What stands behind the public RunReader.  Internal to lib/reader.
//
// One thread.

#include <ringlog/reader.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "reader/live.h"
#include "store/reader.h"

namespace ringlog {

struct RunReader::Impl {
  std::string run_id;
  std::string project;
  bool asks_service = true;
  reader::Served served = reader::Served::kNot;  // as of the last look
  std::unique_ptr<store::RunReader> store;

  // Nobody reads on what its processes commit.
  bool is_unserved() const { return asks_service && served == reader::Served::kNot; }
};

struct ReadPosition::Impl {
  store::Cursors cursors;
};

namespace reader {

// The kind of a metric's column.
ColumnKind kind_of(const store::Metric& metric);

ProcessDescription description_of(const store::ProducerState& from, bool is_unserved);

// Whether a request for these metrics (empty: all) is for this one.
bool is_wanted(const store::Metric& metric, const std::vector<std::string>& names);

// Which rows a request is about, from its position on.
store::RowFilter filter_of(const TableRequest& request, const store::Cursors& from);

// The rows of a request.  `cursors`: where it begins, and then where it ended.
Result<Table> read_table(store::RunReader& store, const TableRequest& request,
                         store::Cursors& cursors);

}  // namespace reader
}  // namespace ringlog
