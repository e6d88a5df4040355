#include "formats/tfevents.h"

#include <isa-l/crc.h>

#include <algorithm>
#include <limits>
#include <map>
#include <utility>

#include "formats/little_endian.h"
#include "formats/tfevents.pb.h"
#include "formats/utf8.h"
#include "record/path.h"
#include "store/row_json.h"

namespace ringlog::formats {

namespace {

// Key sets whose tags are remembered; a program that logs other keys in every row starts over.
constexpr size_t kTaggedKeySetsMax = 256;

// TensorFlow stores checksums masked, because a checksum over bytes that hold their own checksum
// says little.
uint32_t masked_crc32c(std::string_view bytes) {
  constexpr uint32_t kMaskDelta = 0xa282ead8;
  uint32_t crc = ~uint32_t{0};
  // The library counts in int.
  constexpr size_t kPieceMax = size_t{1} << 30;
  for (size_t at = 0; at < bytes.size(); at += kPieceMax) {
    const std::string_view piece = bytes.substr(at, kPieceMax);
    // It takes the bytes as changeable and leaves them alone.
    auto* data = reinterpret_cast<unsigned char*>(const_cast<char*>(piece.data()));
    crc = ::crc32_iscsi(data, static_cast<int>(piece.size()), crc);
  }
  crc = ~crc;
  return ((crc >> 15) | (crc << 17)) + kMaskDelta;
}

// A double outside the range of a float has no defined conversion.
float to_float(double value) {
  constexpr double kMax = std::numeric_limits<float>::max();
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  if (value > kMax) return kInfinity;
  if (value < -kMax) return -kInfinity;
  return static_cast<float>(value);
}

}  // namespace

void append_tf_record(std::string& out, std::string_view bytes) {
  std::string size;
  append_little_endian(size, uint64_t{bytes.size()});
  out += size;
  append_little_endian(out, masked_crc32c(size));
  out += bytes;
  append_little_endian(out, masked_crc32c(bytes));
}

std::string tf_tag(std::string_view path) {
  std::string tag;
  for (const std::string& key : record::split_path(path)) {
    if (!tag.empty()) tag += '/';
    tag += key;
  }
  return tag;
}

TfEvents::TfEvents(const std::vector<store::Metric>& metrics)
    : event_(std::make_unique<tfevents::Event>()) {
  for (const store::Metric& metric : metrics) {
    if (metric.types.size() > 1 && metric.types.back() == store::ColumnType::kOther) {
      mixed_.insert(metric.path);
    }
  }
}

TfEvents::~TfEvents() = default;

void TfEvents::start(int64_t time_ns, uint64_t step) {
  event_->Clear();
  event_->set_wall_time(static_cast<double>(time_ns) / 1e9);
  event_->set_step(static_cast<int64_t>(step));
}

void TfEvents::append_event(std::string& out) {
  bytes_.clear();
  event_->AppendToString(&bytes_);
  append_tf_record(out, bytes_);
}

void TfEvents::append_version(int64_t time_ns, std::string& out) {
  start(time_ns, 0);
  event_->set_file_version("brain.Event:2");
  append_event(out);
}

void TfEvents::append_restart(int64_t time_ns, uint64_t step, std::string& out) {
  start(time_ns, step);
  event_->mutable_session_log()->set_status(tfevents::SessionLog::START);
  append_event(out);
}

void TfEvents::add_text(std::string_view tag, std::string_view text) {
  tfevents::Summary::Value& value = *event_->mutable_summary()->add_value();
  value.set_tag(std::string(tag));
  value.mutable_metadata()->mutable_plugin_data()->set_plugin_name("text");
  value.mutable_metadata()->set_data_class(tfevents::Metadata::DATA_CLASS_TENSOR);
  value.mutable_tensor()->set_dtype(tfevents::Tensor::STRING);
  value.mutable_tensor()->mutable_tensor_shape();
  value.mutable_tensor()->add_string_val(clean_utf8(text));
}

void TfEvents::append_text(std::string_view tag, std::string_view text, int64_t time_ns,
                           std::string& out) {
  start(time_ns, 0);
  add_text(tag, text);
  append_event(out);
}

const std::vector<TfEvents::Cell>& TfEvents::cells_of(const store::RowView& row) {
  const auto known = shapes_.find(row.keys().id);
  if (known != shapes_.end()) return known->second;
  if (shapes_.size() >= kTaggedKeySetsMax) shapes_.clear();
  std::map<std::string, size_t> last;  // of a key used twice the last cell stays
  for (size_t i = 0; i < row.size(); ++i) last[row.column(i).path] = i;
  std::vector<Cell> cells;
  for (size_t i = 0; i < row.size(); ++i) {
    const store::Column& column = row.column(i);
    if (last[column.path] != i) continue;
    std::string tag = tf_tag(column.path);
    const bool is_text = column.type == store::ColumnType::kOther;
    if (is_text && mixed_.contains(column.path)) tag += "/text_summary";
    cells.push_back({i, std::move(tag)});
  }
  return shapes_.emplace(row.keys().id, std::move(cells)).first->second;
}

Status TfEvents::add_other(const store::RowView& row, const Cell& cell) {
  Result<store::Tree> value = row.value(cell.index);
  if (!value) return value.take_error().in("metric " + cell.tag);
  if (const std::string* text = value->text()) {
    add_text(cell.tag, *text);
  } else if (!value->is_null()) {
    add_text(cell.tag, store::to_json(*value));
  }
  return Done{};
}

Status TfEvents::append(const store::RowView& row, std::string& out) {
  start(row.time_ns(), row.step());
  for (const Cell& cell : cells_of(row)) {
    if (row.column(cell.index).type == store::ColumnType::kOther) {
      if (Status s = add_other(row, cell); !s) return s;
      continue;
    }
    tfevents::Summary::Value& value = *event_->mutable_summary()->add_value();
    value.set_tag(cell.tag);
    value.set_simple_value(to_float(row.number(cell.index)));
  }
  if (event_->has_summary()) append_event(out);
  return Done{};
}

}  // namespace ringlog::formats
