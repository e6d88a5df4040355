// A chart fits its size, keeps every spike and leaves gaps open.

#include "cli/chart.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>

#include "cli/format.h"

namespace ringlog::cli {
namespace {

using ::testing::HasSubstr;

ChartPoint point(double x, double y) { return {x, x, true, y, y, y, y}; }

ChartCurve ramp(std::string label, size_t count) {
  ChartCurve curve{std::move(label), "r", {}};
  for (size_t i = 0; i < count; ++i) {
    curve.points.push_back(point(static_cast<double>(i), static_cast<double>(i)));
  }
  return curve;
}

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

TEST(Chart, LooksLikeThis) {
  Chart chart{"loss", "step", {ramp("rank 0", 21)}};
  EXPECT_EQ(render_chart(chart, {32, 9}, {}),
            "loss      last 20  min 0  max 20\n"
            "20 +                        ...'\n"
            "   |                   ..'''\n"
            "10 +             ...'''\n"
            "   |         ...'\n"
            "   |    ..'''\n"
            " 0 +.'''\n"
            "   ++-------------+------------+\n"
            "    0            10           20\n");
}

TEST(Chart, FillsItsSizeAndNeverMore) {
  for (const bool is_ascii : {true, false}) {
    Style style;
    style.is_ascii = is_ascii;
    for (const size_t width : {40U, 80U, 133U}) {
      for (const size_t height : {8U, 23U, 60U}) {
        Chart chart{"loss", "step", {ramp("rank 0", 500), ramp("rank 1", 300)}};
        const auto lines = lines_of(render_chart(chart, {width, height}, style));
        EXPECT_EQ(lines.size(), height);
        for (const std::string& line : lines) {
          EXPECT_LE(display_width(line), width) << line;
          EXPECT_FALSE(line.ends_with(' ')) << line;
        }
      }
    }
  }
}

TEST(Chart, ShowsASpikeBetweenAMillionRows) {
  ChartCurve curve{"rank 0", "r0", {}};
  for (int i = 0; i < 100; ++i) curve.points.push_back({i * 1e4, i * 1e4 + 9999, true, 1, 1, 1, 1});
  curve.points[50].max = 100;
  const auto lines = lines_of(render_chart({"loss", "step", {curve}}, {60, 12}, {}));
  size_t with_spike = 0;
  for (size_t i = 1; i < lines.size() - 3; ++i) {
    with_spike += lines[i].find(':') != std::string::npos ? 1 : 0;
  }
  EXPECT_EQ(with_spike, lines.size() - 4) << "it stands from the curve to the top";
}

TEST(Chart, ShowsHowFarTheRowsOfOneCurveSpread) {
  ChartCurve curve{"rank 0", "r0", {}};
  for (int i = 0; i < 150; ++i) curve.points.push_back({1.0 * i, 1.0 * i, true, 1, 0, 2, 1});
  Style style;
  style.is_ascii = false;
  const auto alone = lines_of(render_chart({"loss", "step", {curve}}, {80, 12}, style));
  EXPECT_THAT(alone[1], HasSubstr("⠉⠉⠉⠉")) << "the maximum";
  EXPECT_TRUE(alone[2].ends_with("│")) << "nothing between it and the mean";
  // Between two curves it would be noise.
  const auto both = lines_of(render_chart({"loss", "step", {curve, curve}}, {80, 12}, style));
  EXPECT_THAT(both[1], ::testing::Not(HasSubstr("⠉")));
}

TEST(Chart, LeavesGapsOpen) {
  ChartCurve curve{"rank 0", "r0", {}};
  for (int i = 0; i <= 30; ++i) curve.points.push_back(point(i, 1));
  for (size_t i = 10; i <= 20; ++i) curve.points[i].has_value = false;
  const std::string text = render_chart({"loss", "step", {curve}}, {80, 8}, {});
  // The line of the curve, right of its axis, has two stretches.
  size_t stretches = 0;
  for (const std::string& line : lines_of(text)) {
    if (!line.starts_with("1.00 +")) continue;
    for (size_t i = 6; i < line.size(); ++i) {
      stretches += line[i] != ' ' && (i == 6 || line[i - 1] == ' ') ? 1 : 0;
    }
  }
  EXPECT_EQ(stretches, 2U) << text;
}

TEST(Chart, IsEmptyWithoutAnyValue) {
  EXPECT_EQ(render_chart({"loss", "step", {}}, {}, {}), "");
  ChartCurve curve{"rank 0", "r0", {{0, 0, false, 0, 0, 0, 0}}};
  EXPECT_EQ(render_chart({"loss", "step", {curve}}, {}, {}), "");
}

TEST(Chart, ShowsOnePoint) {
  ChartCurve curve{"rank 0", "r0", {point(7, 3)}};
  EXPECT_THAT(render_chart({"loss", "step", {curve}}, {}, {}), HasSubstr("last 3"));
}

TEST(Chart, TellsCurvesApartByColourOrByLabel) {
  Chart chart{"loss", "step", {ramp("rank 0", 20), ramp("rank 1", 30)}};
  chart.curves[0].short_label = "r0";
  chart.curves[1].short_label = "r1";
  const std::string plain = render_chart(chart, {}, {});
  EXPECT_THAT(plain, HasSubstr(" r0\n"));
  EXPECT_THAT(plain, HasSubstr(" r1\n"));
  Style style;
  style.has_colour = true;
  const std::string coloured = render_chart(chart, {}, style);
  EXPECT_THAT(coloured, HasSubstr("\x1b[36m"));
  EXPECT_THAT(coloured, HasSubstr("\x1b[33m"));
  EXPECT_THAT(coloured, HasSubstr("rank 1 29"));
}

TEST(Chart, SaysHowManyCurvesTheLegendLeavesOut) {
  Chart chart{"loss", "step", {}};
  for (int i = 0; i < 64; ++i) chart.curves.push_back(ramp("rank " + std::to_string(i), 5));
  EXPECT_THAT(render_chart(chart, {}, {}), HasSubstr(" more\n"));
}

}  // namespace
}  // namespace ringlog::cli
