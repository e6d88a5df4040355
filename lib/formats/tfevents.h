#pragma once
// TensorBoard event files: rows of one producer as the records that TensorBoard reads.
//
//   TfEvents::append_version(out, started_ns);
//   events.append(row, out);
//
// A number is a scalar, which in TensorBoard is a float32: what is larger becomes an infinity.
// Text, lists and objects are text summaries.  Keys of nested objects are joined with "/", as
// TensorBoard groups its charts.  A metric that is a number in some rows and text in others has its
// texts under "NAME/text_summary", because a tag has one kind there.
//
// The functions append to a string of the caller and touch nothing else.

#include <ringlog/result.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "store/reader.h"

namespace ringlog::formats {

namespace tfevents {
class Event;
}

// The largest step that TensorBoard, and W&B, can hold.
inline constexpr uint64_t kStepMax = INT64_MAX;

// Frames one record as TensorFlow does: size, its checksum, bytes, their checksum; all little
// endian.
void append_tf_record(std::string& out, std::string_view bytes);

// The tag of a metric; see above.
std::string tf_tag(std::string_view path);

class TfEvents {
 public:
  // `metrics` are all those of the run.
  explicit TfEvents(const std::vector<store::Metric>& metrics);
  ~TfEvents();
  TfEvents(const TfEvents&) = delete;
  TfEvents& operator=(const TfEvents&) = delete;

  // The first record of every file.
  void append_version(int64_t time_ns, std::string& out);
  // Says that steps from this one on are done again: what an older file has of them is hidden.
  void append_restart(int64_t time_ns, uint64_t step, std::string& out);
  // A text that belongs to no row.
  void append_text(std::string_view tag, std::string_view text, int64_t time_ns, std::string& out);
  // One record; none when the row has no value.  Requires row.step() <= kStepMax.
  //   kCorrupt  a cell is not a value
  Status append(const store::RowView& row, std::string& out);

 private:
  struct Cell {
    size_t index;
    std::string tag;
  };
  const std::vector<Cell>& cells_of(const store::RowView& row);
  Status add_other(const store::RowView& row, const Cell& cell);
  void add_text(std::string_view tag, std::string_view text);
  void start(int64_t time_ns, uint64_t step);
  void append_event(std::string& out);

  std::unordered_set<std::string> mixed_;                   // paths of numbers that are text too
  std::unordered_map<uint32_t, std::vector<Cell>> shapes_;  // by key set
  std::unique_ptr<tfevents::Event> event_;                  // kept for its memory
  std::string bytes_;                                       // likewise
};

}  // namespace ringlog::formats
