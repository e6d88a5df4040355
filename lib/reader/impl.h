#pragma once
// What stands behind the public RunReader.  Internal to lib/reader.
//
// One thread.

#include <ringlog/reader.h>

#include <memory>
#include <string>
#include <utility>

#include "store/reader.h"

namespace ringlog {

struct RunReader::Impl {
  std::string run_id;
  std::string project;
  bool asks_service = true;
  std::unique_ptr<store::RunReader> store;
};

struct ReadPosition::Impl {
  store::Cursors cursors;
};

namespace reader {

// The kind of a metric's column.
ColumnKind kind_of(const store::Metric& metric);

// The rows of a request.  `cursors`: where it begins, and then where it ended.
Result<Table> read_table(store::RunReader& store, const TableRequest& request,
                         store::Cursors& cursors);

}  // namespace reader
}  // namespace ringlog
