#pragma once
// Rows as JSON text: what `ringlog export`, `ringlog tail` and a file sink write.
//
//   {"_rank":0,"_attempt":0,"_seq":7,"_step":7,"_timestamp":1724325791.25,"opt":{"lr":1.0}}
//
// Every number reads back bit-exactly and shows its type: an integer has neither point nor
// exponent, a float64 always has one (5.0, 1e+300, -0.0); NaN, Infinity and -Infinity are bare
// words, and a NaN's payload is not kept.  _timestamp has all its nanoseconds.  _worker is there
// when it is not 0. Keys of nested objects are objects again; a key that contains a dot stays one
// key.  A metric that has one of the names above gets another underscore in front.
//
// The functions append to a string of the caller and touch nothing else: safe from any thread.

#include <ringlog/result.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "store/model.h"
#include "store/reader.h"
#include "store/tree.h"

namespace ringlog::store {

void append_json(std::string& out, double value);
void append_json(std::string& out, int64_t value);
void append_json(std::string& out, uint64_t value);
// Quoted and escaped.  What is not UTF-8 becomes U+FFFD, so that the output always parses.
void append_json(std::string& out, std::string_view text);
// Objects in the order of their keys.
void append_json(std::string& out, const Tree& tree);
// An eight-byte cell.  Requires type != kOther.
void append_json_cell(std::string& out, ColumnType type, uint64_t bits);
// Nanoseconds as seconds with as many decimals as it takes, at least one.
void append_json_seconds(std::string& out, int64_t time_ns);

// True for the names of a row's own fields: _rank, _attempt, _worker, _seq, _step, _timestamp.
bool is_row_field(std::string_view key);

// Writes the rows of one run.  One thread at a time; keeps a few kilobytes for each key set.
class RowJson {
 public:
  // Appends the row as one object, without a line end.  All rows must come from one run and through
  // one filter.
  //   kCorrupt  a cell is not a value; `out` then ends with a part of the row
  Status append(const RowView& row, std::string& out);

 private:
  // The text of a key set between its cells.
  struct Piece {
    std::string before;
    size_t cell;
    ColumnType type;
  };
  struct Shape {
    std::vector<Piece> pieces;
    std::string after;
  };
  const Shape& shape_of(const RowView& row);
  void append_head(const RowView& row, std::string& out);

  std::unordered_map<uint32_t, Shape> shapes_;  // by key set
  uint32_t head_producer_ = 0;                  // whose head_ it is; 0: nobody's
  std::string head_;                            // the part that all its rows begin with
};

}  // namespace ringlog::store
