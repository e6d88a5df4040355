#include <bit>

#include "store/chunk.h"
#include "store/reader.h"

namespace ringlog::store {

uint16_t RowView::ring() const { return chunk_.info.lane.ring; }
uint64_t RowView::seq() const { return chunk_.seq[row_]; }
uint64_t RowView::public_seq() const { return store::public_seq(producer_.worker, ring(), seq()); }
uint64_t RowView::step() const { return chunk_.step[row_]; }
int64_t RowView::time_ns() const { return static_cast<int64_t>(chunk_.time_ns[row_]); }
uint64_t RowView::bits(size_t i) const { return chunk_.columns[i].cells[row_]; }
double RowView::number(size_t i) const { return cell_as_double(column(i).type, bits(i)); }

std::string_view RowView::bytes(size_t i) const {
  const DecodedColumn& column = chunk_.columns[i];
  const uint64_t begin = row_ == 0 ? 0 : column.ends[row_ - 1];
  return std::string_view(column.bytes).substr(begin, column.ends[row_] - begin);
}

Result<Tree> RowView::value(size_t i) const {
  switch (column(i).type) {
    case ColumnType::kFloat64:
      return Tree(std::bit_cast<double>(bits(i)));
    case ColumnType::kInt64:
      return Tree(static_cast<int64_t>(bits(i)));
    case ColumnType::kUint64:
      return Tree(bits(i));
    case ColumnType::kBool:
      return Tree(bits(i) != 0);
    case ColumnType::kOther:
      break;
  }
  return tree_of_value(bytes(i));
}

}  // namespace ringlog::store
