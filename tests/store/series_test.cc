// The points of a metric say of every row what there was to see.

#include "store/reader.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "reader_fixture.h"

namespace ringlog::store {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// Logs `rows` rows with spikes and holes, in blocks as a fast program makes them.
std::vector<double> log_spikes(Reader&, Store& store, Writer& writer, test::Random& random,
                               uint64_t rows) {
  std::vector<double> values;
  while (values.size() < rows) {
    Commit commit;
    RowBlock block({writer.state.producer, 0}, kLoss);
    for (uint64_t i = 0; i < 3000 && values.size() < rows; ++i) {
      double value = std::sin(static_cast<double>(values.size()) * 1e-3);
      if (random.one_in(1000)) value = random.one_in(2) ? 1e6 : -1e6;
      if (random.one_in(500)) value = std::numeric_limits<double>::quiet_NaN();
      const uint64_t cell = bits_of(value);
      const uint64_t step = values.size();
      block.add_row(writer.next(0), step, static_cast<int64_t>(step) * 1000, std::span(&cell, 1));
      values.push_back(value);
    }
    commit.blocks.push_back(std::move(block));
    commit.producers.push_back(writer.state);
    EXPECT_THAT(store.write(commit, false), IsOk());
  }
  return values;
}

// Every point says exactly what the rows it covers say.
void expect_covers(const std::vector<Point>& points, const std::vector<double>& values,
                   uint64_t begin, uint64_t last) {
  uint64_t next = begin;
  for (const Point& point : points) {
    ASSERT_EQ(point.step_first, next);
    double min = std::numeric_limits<double>::infinity();
    double max = -min;
    double sum = 0;
    uint64_t finite = 0;
    for (uint64_t step = point.step_first; step <= point.step_last; ++step) {
      if (!std::isfinite(values[step])) continue;
      min = std::min(min, values[step]);
      max = std::max(max, values[step]);
      sum += values[step];
      ++finite;
    }
    ASSERT_EQ(point.rows, point.step_last - point.step_first + 1);
    ASSERT_EQ(point.finite, finite);
    if (finite > 0) {
      ASSERT_EQ(point.min, min);
      ASSERT_EQ(point.max, max);
      ASSERT_NEAR(point.mean, sum / static_cast<double>(finite), 1e-6 + 1e-9 * std::abs(sum));
    }
    ASSERT_EQ(bits_of(point.first), bits_of(values[point.step_first]));
    ASSERT_EQ(bits_of(point.last), bits_of(values[point.step_last]));
    ASSERT_EQ(point.time_first_ns, static_cast<int64_t>(point.step_first) * 1000);
    next = point.step_last + 1;
  }
  ASSERT_EQ(next, last + 1);
}

TEST_F(Reader, SeriesOfAnyRangeHideNoSpike) {
  const uint64_t seed = test::seed();
  SCOPED_TRACE(test::seed_text(seed));
  test::Random random(seed);
  Writer writer(1, 0);
  const uint64_t rows = 200'000;
  const std::vector<double> values = log_spikes(*this, *store_, writer, random, rows);
  const auto reader = open_reader(dir_.path());
  for (int round = 0; round < 60; ++round) {
    const uint64_t begin = random.below(rows);
    const uint64_t last = random.between(begin, rows - 1);
    SeriesRequest query{.metric = "loss", .max_points = random.pick<size_t>({0, 1, 10, 100, 1000})};
    const bool by_time = random.one_in(2);
    if (by_time) {
      query.axis = SeriesAxis::kTime;
      query.time_begin_ns = static_cast<int64_t>(begin) * 1000;
      query.time_last_ns = static_cast<int64_t>(last) * 1000 + 999;
    } else {
      query.step_begin = begin;
      query.step_last = last;
    }
    const std::vector<Series> series = *reader->series(query);
    ASSERT_EQ(series.size(), 1U);
    if (query.max_points > 0) {
      ASSERT_LE(series[0].points.size(), query.max_points);
    }
    expect_covers(series[0].points, values, begin, last);
    if (HasFatalFailure()) return;
  }
}

TEST_F(Reader, ThePointsOfHugeValuesHaveAMean) {
  Writer writer(1, 0);
  Commit commit;
  RowBlock block({1, 0}, kLoss);
  for (uint64_t step = 0; step < 1000; ++step) {
    const uint64_t cell = bits_of(step % 10 == 0 ? 1.0 : 1.5e308);
    block.add_row(writer.next(0), step, static_cast<int64_t>(step), std::span(&cell, 1));
  }
  commit.blocks.push_back(std::move(block));
  write(commit, writer);
  const std::vector<Series> series =
      *open_reader(dir_.path())->series({.metric = "loss", .max_points = 10});
  ASSERT_EQ(series[0].points.size(), 10U);
  for (const Point& point : series[0].points) {
    EXPECT_EQ(point.rows, 100U);
    EXPECT_NEAR(point.mean / 1.35e308, 1, 1e-9);
    EXPECT_EQ(point.min, 1.0);
    EXPECT_EQ(point.max, 1.5e308);
  }
}

TEST_F(Reader, SeriesShowTheNewestAttempt) {
  Writer old(1, 0, 0);
  Writer young(2, 0, 1);
  Writer other(3, 1);
  Commit commit;
  for (uint64_t step = 0; step < 10; ++step) old.loss(commit, step, 1.0);
  for (uint64_t step = 6; step < 12; ++step) young.loss(commit, step, 2.0);
  other.loss(commit, 3, 9.0);
  commit.producers = {old.state, young.state, other.state};
  write(commit);
  const auto reader = open_reader(dir_.path());
  const auto line = [](const Series& series) {
    std::string text = std::to_string(series.rank) + "." + std::to_string(series.attempt);
    for (const Point& p : series.points) {
      text += " " + std::to_string(p.step_first) + ":" + std::to_string(static_cast<int>(p.last));
    }
    return text;
  };
  std::vector<std::string> lines;
  const std::vector<Series> newest = *reader->series({.metric = "loss"});
  for (const Series& series : newest) lines.push_back(line(series));
  EXPECT_THAT(lines,
              ElementsAre("0.1 0:1 1:1 2:1 3:1 4:1 5:1 6:2 7:2 8:2 9:2 10:2 11:2", "1.0 3:9"));
  lines.clear();
  const std::vector<Series> all =
      *reader->series({.metric = "loss", .ranks = {0}, .step_begin = 8, .all_attempts = true});
  for (const Series& series : all) lines.push_back(line(series));
  EXPECT_THAT(lines, ElementsAre("0.0 8:1 9:1", "0.1 8:2 9:2 10:2 11:2"));
  EXPECT_THAT(reader->series({.metric = "lost"}), FailsWith(Code::kNotFound, HasSubstr("lost")));
  EXPECT_THAT(*reader->series({.metric = "loss", .step_begin = 100}), IsEmpty());
}

TEST_F(Reader, SeriesOfStepsThatRepeatAndGoBackKeepAllRows) {
  Writer writer(1, 0);
  Commit commit;
  for (const uint64_t step : {5, 5, 7, 3, 5}) writer.loss(commit, step, static_cast<double>(step));
  write(commit, writer);
  const std::vector<Series> series = *open_reader(dir_.path())->series({.metric = "loss"});
  std::vector<uint64_t> steps;
  for (const Point& point : series[0].points) steps.push_back(point.step_first);
  EXPECT_THAT(steps, ElementsAre(3, 5, 5, 5, 7));
}

}  // namespace
}  // namespace ringlog::store
