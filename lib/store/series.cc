#include "store/series.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <optional>
#include <utility>

namespace ringlog::store {

namespace {

// A quarter of the points that were asked for is enough when they come at once.
constexpr size_t kPointsPerChunkMax = 4;
constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

// A chunk that has the metric, and the steps of it that are wanted.
struct Piece {
  const ChunkInfo* chunk;
  size_t column;
  uint64_t step_last;  // inclusive
  int32_t attempt;
};

// The place of a row on the axis as an unsigned number that keeps the order.
uint64_t place_of_time(int64_t time_ns) {
  return static_cast<uint64_t>(time_ns) ^ (uint64_t{1} << 63);
}

struct Range {
  uint64_t first = UINT64_MAX;
  uint64_t last = 0;  // inclusive
  void add(const Range& other) {
    first = std::min(first, other.first);
    last = std::max(last, other.last);
  }
};

// Adds the rows of `b` to `a`; `b` may lie anywhere.
void add_point(Point& a, const Point& b) {
  if (a.rows == 0) {
    a = b;
    return;
  }
  if (b.time_first_ns < a.time_first_ns) a.first = b.first;
  if (b.time_last_ns >= a.time_last_ns) a.last = b.last;
  a.step_first = std::min(a.step_first, b.step_first);
  a.step_last = std::max(a.step_last, b.step_last);
  a.time_first_ns = std::min(a.time_first_ns, b.time_first_ns);
  a.time_last_ns = std::max(a.time_last_ns, b.time_last_ns);
  a.rows += b.rows;
  if (b.finite == 0) return;
  if (a.finite == 0) {
    a.min = b.min;
    a.max = b.max;
    a.mean = b.mean;
  } else {
    a.min = std::min(a.min, b.min);
    a.max = std::max(a.max, b.max);
    const double share = static_cast<double>(b.finite) / static_cast<double>(a.finite + b.finite);
    a.mean += (b.mean - a.mean) * share;
  }
  a.finite += b.finite;
}

Point point_of_row(uint64_t step, int64_t time_ns, double value) {
  const bool finite = std::isfinite(value);
  const double over_finite = finite ? value : kNan;
  return {step,  step,  time_ns,     time_ns,     1,          finite ? uint64_t{1} : 0,
          value, value, over_finite, over_finite, over_finite};
}

Point point_of_chunk(const ChunkInfo& chunk, const ColumnStatistics& s) {
  return {chunk.min_step,
          chunk.max_step,
          chunk.min_time_ns,
          chunk.max_time_ns,
          chunk.rows,
          chunk.rows - std::min(chunk.rows, s.non_finite),
          s.first,
          s.last,
          s.min,
          s.max,
          s.mean};
}

// The line of one rank.
class Line {
 public:
  Line(const RunIndex& index, const ValueSource& source, const SeriesRequest& query)
      : index_(index), source_(source), query_(query) {}

  void add(const Piece& piece);
  // kCorrupt, kIo.
  Result<std::vector<Point>> points();

 private:
  Range range_of(const Piece& piece) const;
  bool is_inside(const Piece& piece) const;
  uint64_t place_of(uint64_t step, int64_t time_ns) const {
    return query_.axis == SeriesAxis::kStep ? step : place_of_time(time_ns);
  }
  size_t bucket_of(uint64_t place) const;
  Status add_statistics(const Piece& piece, size_t bucket);
  Status add_rows(const Piece& piece);
  void add_point_at(uint64_t place, const Point& point);

  const RunIndex& index_;
  const ValueSource& source_;
  const SeriesRequest& query_;
  std::vector<Piece> pieces_;
  Range range_;  // of what may come, on the axis
  std::vector<Point> buckets_;
  std::vector<std::pair<uint64_t, Point>> exact_;  // place and row
};

// What of a piece can lie inside the query.
Range Line::range_of(const Piece& piece) const {
  const ChunkInfo& chunk = *piece.chunk;
  if (query_.axis == SeriesAxis::kStep) {
    return {std::max(chunk.min_step, query_.step_begin), std::min(chunk.max_step, piece.step_last)};
  }
  return {place_of_time(std::max(chunk.min_time_ns, query_.time_begin_ns)),
          place_of_time(std::min(chunk.max_time_ns, query_.time_last_ns))};
}

bool Line::is_inside(const Piece& piece) const {
  const ChunkInfo& chunk = *piece.chunk;
  return chunk.min_step >= query_.step_begin && chunk.max_step <= piece.step_last &&
         chunk.min_time_ns >= query_.time_begin_ns && chunk.max_time_ns <= query_.time_last_ns;
}

void Line::add(const Piece& piece) {
  const ChunkInfo& chunk = *piece.chunk;
  const bool overlaps = chunk.max_step >= query_.step_begin && chunk.min_step <= piece.step_last &&
                        chunk.max_time_ns >= query_.time_begin_ns &&
                        chunk.min_time_ns <= query_.time_last_ns;
  if (!overlaps) return;
  pieces_.push_back(piece);
  range_.add(range_of(piece));
}

size_t Line::bucket_of(uint64_t place) const {
  const double width = static_cast<double>(range_.last - range_.first) + 1;
  const double offset = static_cast<double>(place - range_.first);
  const auto bucket = static_cast<size_t>(offset / width * static_cast<double>(buckets_.size()));
  return std::min(bucket, buckets_.size() - 1);
}

void Line::add_point_at(uint64_t place, const Point& point) {
  if (buckets_.empty()) {
    exact_.emplace_back(place, point);
  } else {
    add_point(buckets_[bucket_of(place)], point);
  }
}

Status Line::add_statistics(const Piece& piece, size_t bucket) {
  Result<ChunkReader> reader =
      ChunkReader::open(*piece.chunk, index_.keys_of(*piece.chunk), source_);
  if (!reader) return reader.take_error();
  add_point(buckets_[bucket],
            point_of_chunk(*piece.chunk, reader->lookup(piece.column).statistics));
  return Done{};
}

// Rows of one bucket, next to each other: cheaper to collect than as points of their own.
class Neighbours {
 public:
  // Their sum must not overflow.
  static bool can_hold(double value) { return std::abs(value) < 1e290 || !std::isfinite(value); }

  void add(uint64_t step, int64_t time_ns, double value) {
    if (point_.rows++ == 0) {
      point_ = point_of_row(step, time_ns, value);
      sum_ = point_.finite == 0 ? 0 : value;
      return;
    }
    if (time_ns < point_.time_first_ns) point_.first = value;
    if (time_ns >= point_.time_last_ns) point_.last = value;
    point_.step_first = std::min(point_.step_first, step);
    point_.step_last = std::max(point_.step_last, step);
    point_.time_first_ns = std::min(point_.time_first_ns, time_ns);
    point_.time_last_ns = std::max(point_.time_last_ns, time_ns);
    if (!std::isfinite(value)) return;
    if (point_.finite++ == 0) point_.min = point_.max = value;
    point_.min = std::min(point_.min, value);
    point_.max = std::max(point_.max, value);
    sum_ += value;
  }
  // Leaves none.
  void move_to(Point& bucket) {
    if (point_.rows == 0) return;
    if (point_.finite > 0) point_.mean = sum_ / static_cast<double>(point_.finite);
    add_point(bucket, point_);
    point_ = {};
  }

 private:
  Point point_{};
  double sum_ = 0;
};

Status Line::add_rows(const Piece& piece) {
  const KeySet& keys = index_.keys_of(*piece.chunk);
  Result<DecodedChunk> chunk =
      decode_chunk(*piece.chunk, keys, source_, {.columns = {piece.column}});
  if (!chunk) return chunk.take_error();
  const ColumnType type = keys.columns[piece.column].type;
  Neighbours neighbours;
  size_t bucket = 0;
  for (size_t row = 0; row < chunk->seq.size(); ++row) {
    const uint64_t step = chunk->step[row];
    const auto time_ns = static_cast<int64_t>(chunk->time_ns[row]);
    if (step < query_.step_begin || step > piece.step_last) continue;
    if (time_ns < query_.time_begin_ns || time_ns > query_.time_last_ns) continue;
    const double value = cell_as_double(type, chunk->columns[0].cells[row]);
    const uint64_t place = place_of(step, time_ns);
    if (buckets_.empty() || !Neighbours::can_hold(value)) {
      if (!buckets_.empty()) neighbours.move_to(buckets_[bucket]);  // came before
      add_point_at(place, point_of_row(step, time_ns, value));
      continue;
    }
    const size_t own = bucket_of(place);
    if (own != bucket) neighbours.move_to(buckets_[bucket]);
    bucket = own;
    neighbours.add(step, time_ns, value);
  }
  if (!buckets_.empty()) neighbours.move_to(buckets_[bucket]);
  return Done{};
}

// A chunk that lies in one bucket is known by its statistics.  When there are more chunks than
// points, each goes whole to where its middle lies: a point is then a chunk's width off at most,
// and says which steps it covers.
Result<std::vector<Point>> Line::points() {
  const bool many_chunks =
      query_.max_points > 0 && pieces_.size() >= query_.max_points / kPointsPerChunkMax;
  if (!pieces_.empty()) buckets_.resize(query_.max_points);
  for (const Piece& piece : pieces_) {
    std::optional<size_t> bucket;
    if (query_.max_points > 0 && is_inside(piece)) {
      const Range range = range_of(piece);
      const uint64_t middle = range.first + (range.last - range.first) / 2;
      if (many_chunks || bucket_of(range.first) == bucket_of(range.last))
        bucket = bucket_of(middle);
    }
    Status added = bucket ? add_statistics(piece, *bucket) : add_rows(piece);
    if (!added) return added.take_error();
  }
  std::vector<Point> out;
  for (const Point& bucket : buckets_) {
    if (bucket.rows > 0) out.push_back(bucket);
  }
  std::stable_sort(exact_.begin(), exact_.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  for (const auto& [place, point] : exact_) out.push_back(point);
  return out;
}

// Column of the metric in each key set that has it as a number.
std::map<uint32_t, size_t> columns_of(const RunIndex& index, const std::string& metric) {
  std::map<uint32_t, size_t> columns;
  for (const auto& [id, keys] : index.key_sets) {
    for (size_t i = 0; i < keys.columns.size(); ++i) {
      const Column& column = keys.columns[i];
      if (column.type != ColumnType::kOther && is_metric(column, metric)) columns[id] = i;
    }
  }
  return columns;
}

// The first step of each attempt of a rank: where it takes over from older ones.
std::map<int32_t, uint64_t> first_steps(const RunIndex& index, int32_t rank) {
  std::map<int32_t, uint64_t> first;
  for (const Lane& lane : index.lanes) {
    if (lane.producer->rank != rank) continue;
    for (const ChunkInfo& chunk : lane.chunks) {
      const auto [it, is_new] = first.try_emplace(lane.producer->attempt, chunk.min_step);
      if (!is_new) it->second = std::min(it->second, chunk.min_step);
    }
  }
  return first;
}

// The last step of `attempt` that no newer attempt did again; nothing when none is left.
std::optional<uint64_t> last_step_of(const std::map<int32_t, uint64_t>& first, int32_t attempt) {
  uint64_t last = UINT64_MAX;
  for (auto it = first.upper_bound(attempt); it != first.end(); ++it) {
    if (it->second == 0) return std::nullopt;
    last = std::min(last, it->second - 1);
  }
  return last;
}

// The series of one rank: one, or with all_attempts one for each.
Status add_rank(const RunIndex& index, const ValueSource& source, const SeriesRequest& query,
                int32_t rank, const std::map<uint32_t, size_t>& columns, std::vector<Series>& out) {
  const std::map<int32_t, uint64_t> first = first_steps(index, rank);
  std::map<int32_t, Line> lines;  // by attempt, or all under 0
  int32_t newest = 0;
  for (const Lane& lane : index.lanes) {
    const int32_t attempt = lane.producer->attempt;
    if (lane.producer->rank != rank) continue;
    const std::optional<uint64_t> last_step =
        query.all_attempts ? UINT64_MAX : last_step_of(first, attempt);
    if (!last_step) continue;
    Line& line =
        lines.try_emplace(query.all_attempts ? attempt : 0, index, source, query).first->second;
    for (const ChunkInfo& chunk : lane.chunks) {
      const auto column = columns.find(chunk.key_set);
      if (column == columns.end()) continue;
      newest = std::max(newest, attempt);
      line.add({&chunk, column->second, std::min(*last_step, query.step_last), attempt});
    }
  }
  for (auto& [attempt, line] : lines) {
    Result<std::vector<Point>> points = line.points();
    if (!points) return points.take_error();
    if (!points->empty()) {
      out.push_back({rank, query.all_attempts ? attempt : newest, std::move(*points)});
    }
  }
  return Done{};
}

}  // namespace

Result<std::vector<Series>> read_series(const RunIndex& index, const ValueSource& source,
                                        const SeriesRequest& query) {
  const std::map<uint32_t, size_t> columns = columns_of(index, query.metric);
  if (columns.empty()) {
    return Error{Code::kNotFound, "no row has a number under the metric " + query.metric};
  }
  std::vector<Series> out;
  std::optional<int32_t> last_rank;
  for (const Lane& lane : index.lanes) {  // by rank
    const int32_t rank = lane.producer->rank;
    if (rank == last_rank) continue;
    last_rank = rank;
    const auto& ranks = query.ranks;
    if (!ranks.empty() && std::find(ranks.begin(), ranks.end(), rank) == ranks.end()) continue;
    if (Status added = add_rank(index, source, query, rank, columns, out); !added) {
      return added.take_error();
    }
  }
  return out;
}

}  // namespace ringlog::store
