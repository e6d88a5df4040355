#include "cli/table.h"

#include <algorithm>

#include "cli/format.h"

namespace ringlog::cli {

namespace {
constexpr size_t kGap = 2;
}

bool Table::is_empty(size_t column) const {
  return std::all_of(rows_.begin(), rows_.end(),
                     [column](const auto& row) { return row[column].text.empty(); });
}

// 0 for a column that is left out.
std::vector<size_t> Table::widths(const Style& style, size_t indent) const {
  std::vector<size_t> widths(columns_.size(), 0);
  size_t total = indent;
  for (size_t i = 0; i < columns_.size(); ++i) {
    if (!rows_.empty() && is_empty(i)) continue;
    widths[i] = display_width(columns_[i].header);
    for (const auto& row : rows_) widths[i] = std::max(widths[i], display_width(row[i].text));
    total += widths[i] + (total == indent ? 0 : kGap);
  }
  if (!style.is_terminal) return widths;
  // The widest column that may shrink gives way, column by column, until the line fits.
  while (total > style.width) {
    size_t widest = columns_.size();
    for (size_t i = 0; i < columns_.size(); ++i) {
      if (columns_[i].width_min == 0 || widths[i] <= columns_[i].width_min) continue;
      if (widest == columns_.size() || widths[i] > widths[widest]) widest = i;
    }
    if (widest == columns_.size()) break;
    --widths[widest];
    --total;
  }
  return widths;
}

std::string Table::line(const std::vector<Cell>& cells, const std::vector<size_t>& widths,
                        const Style& style, size_t indent) const {
  std::string line;
  size_t pending = indent;  // spaces owed before the next text, so that none trail
  bool is_first = true;
  for (size_t i = 0; i < columns_.size(); ++i) {
    if (widths[i] == 0) continue;
    if (!is_first) pending += kGap;
    is_first = false;
    const std::string text = shorten(cells[i].text, widths[i], style.is_ascii);
    const size_t room = widths[i] - display_width(text);
    if (columns_[i].align == Align::kRight) pending += room;
    if (!text.empty()) {
      line.append(pending, ' ');
      pending = 0;
      line += paint(style, cells[i].ink, text);
    }
    if (columns_[i].align == Align::kLeft) pending += room;
  }
  return line + "\n";
}

std::string Table::render(const Style& style, size_t indent) const {
  const std::vector<size_t> widths = this->widths(style, indent);
  std::vector<Cell> header;
  for (const Column& column : columns_) header.push_back({column.header, Ink::kDim});
  std::string text = line(header, widths, style, indent);
  for (const auto& row : rows_) text += line(row, widths, style, indent);
  return text;
}

}  // namespace ringlog::cli
