#pragma once
// Tables: columns that line up, two spaces apart, without lines around them.
//
//   Table table({{"ID"}, {"ROWS", Table::Align::kRight}});
//   table.add({{run_id}, {format_count(rows)}});
//   std::string text = table.render(style);
//
// A value type of one thread.  Cells must be printable() already.

#include <cstddef>
#include <string>
#include <vector>

#include "cli/style.h"

namespace ringlog::cli {

class Table {
 public:
  enum class Align { kLeft, kRight };
  struct Column {
    std::string header;
    Align align = Align::kLeft;
    // May be shortened, down to this many columns, when the terminal is too narrow; 0: never.
    size_t width_min = 0;
  };
  struct Cell {
    std::string text;
    Ink ink = Ink::kPlain;
  };

  explicit Table(std::vector<Column> columns) : columns_(std::move(columns)) {}

  // Requires one cell for each column.
  void add(std::vector<Cell> row) { rows_.push_back(std::move(row)); }
  bool empty() const { return rows_.empty(); }

  // Header and rows, a line each, none with trailing spaces, each after `indent` spaces.  Columns
  // that are empty in all rows are left out.
  std::string render(const Style& style, size_t indent = 0) const;

 private:
  bool is_empty(size_t column) const;
  std::vector<size_t> widths(const Style& style, size_t indent) const;
  std::string line(const std::vector<Cell>& cells, const std::vector<size_t>& widths,
                   const Style& style, size_t indent) const;

  std::vector<Column> columns_;
  std::vector<std::vector<Cell>> rows_;
};

}  // namespace ringlog::cli
