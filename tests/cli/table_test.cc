// Columns line up, nothing trails, and a narrow terminal shortens what may be shortened.

#include "cli/table.h"

#include <gtest/gtest.h>

#include <sstream>

namespace ringlog::cli {
namespace {

Table runs() {
  Table table({{"ID", Table::Align::kLeft, 4}, {"STATE"}, {"ROWS", Table::Align::kRight}});
  table.add({{"swift-otter-1"}, {"finished", Ink::kGreen}, {"12"}});
  table.add({{"a"}, {"running"}, {"640,000"}});
  return table;
}

TEST(Table, LinesUpWithoutTrailingSpaces) {
  EXPECT_EQ(runs().render({}),
            "ID             STATE        ROWS\n"
            "swift-otter-1  finished       12\n"
            "a              running   640,000\n");
}

TEST(Table, EndsALineAtItsLastText) {
  Table table({{"ID"}, {"CAUSE"}});
  table.add({{"a"}, {"because"}});
  table.add({{"b"}, {""}});
  EXPECT_EQ(table.render({}, 2), "  ID  CAUSE\n  a   because\n  b\n");
}

TEST(Table, LeavesOutColumnsThatAreEmpty) {
  Table table({{"URL"}, {"STATE"}, {"SENT"}});
  table.add({{"file:x"}, {""}, {"3"}});
  EXPECT_EQ(table.render({}), "URL     SENT\nfile:x  3\n");
}

TEST(Table, FitsATerminalByShorteningWhatMay) {
  Style style;
  style.is_terminal = true;
  style.width = 26;
  EXPECT_EQ(runs().render(style),
            "ID       STATE        ROWS\n"
            "swift..  finished       12\n"
            "a        running   640,000\n");
  style.width = 10;
  std::istringstream lines(runs().render(style));
  std::string line;
  std::getline(lines, line);
  std::getline(lines, line);
  EXPECT_EQ(line, "sw..  finished       12") << "never below the column's minimum";
}

TEST(Table, ShortensNothingInAFile) {
  Style style;
  style.width = 10;
  EXPECT_NE(runs().render(style).find("swift-otter-1"), std::string::npos);
}

TEST(Table, ColoursDoNotCountAsWidth) {
  Style style;
  style.has_colour = true;
  EXPECT_EQ(runs().render(style),
            "\x1b[2mID\x1b[0m             \x1b[2mSTATE\x1b[0m        \x1b[2mROWS\x1b[0m\n"
            "swift-otter-1  \x1b[32mfinished\x1b[0m       12\n"
            "a              running   640,000\n");
}

}  // namespace
}  // namespace ringlog::cli
