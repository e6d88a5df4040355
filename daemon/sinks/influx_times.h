#pragma once
// InfluxTimes: times that make every row of a lane a point of its own.
//
// Points are told apart by their tags and their time.  So the last three digits of a time, below a
// microsecond, are those of the row's seq.  Rows that are stamped as they are logged then never
// meet: a thousand in a microsecond are too many.  Rows whose time was given may: they get one more
// tag, the *block* of a thousand seqs that they are in.
//
//   latest = highest microsecond of the lane so far, since = seq of the first row with it
//   later than latest                  → no block: no row before has this microsecond
//   latest itself, seq < since + 1000  → no block: all rows that have it end on other digits
//   else                               → block
//
// What is decided depends only on the rows before, so that a row which is sent again is the same
// point, and on no more than two numbers a lane, which are the sink's cursor.
//
// A value.

#include "store/model.h"

#include <ringlog/result.h>

#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <string>

namespace ringlog::service {

struct InfluxTime {
  int64_t ns = 0;
  std::optional<uint64_t> block{};
};

class InfluxTimes {
 public:
  struct Row {
    int64_t time_ns = 0;
    uint64_t seq = 0;
  };
  // The time of the next row of a lane.
  InfluxTime take(const store::LaneId& lane, const Row& row);

  std::string to_text() const;
  // kCorrupt: it is no such text.  Empty: no row was sent yet.
  static Result<InfluxTimes> from_text(const std::string& text);
  bool operator==(const InfluxTimes&) const = default;

 private:
  struct Latest {
    int64_t us = std::numeric_limits<int64_t>::min();
    uint64_t since = 0;
    bool operator==(const Latest&) const = default;
  };
  std::map<store::LaneId, Latest> lanes_;
};

}  // namespace ringlog::service
