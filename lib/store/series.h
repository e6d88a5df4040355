#pragma once
// One metric as a line to plot.  Internal to lib/store; see RunReader::series.
//
// Plain function; safe from any thread that may read the index and the source.

#include <ringlog/result.h>

#include <vector>

#include "store/reader.h"
#include "store/run_index.h"

namespace ringlog::store {

// kNotFound: no row has the metric; kCorrupt, kIo: a chunk cannot be read.
Result<std::vector<Series>> read_series(const RunIndex& index, const ValueSource& source,
                                        const SeriesRequest& query);

}  // namespace ringlog::store
