// The packed values of a store and the byte cells of its rows.
//
//   type:u8 · the value's bytes
//
// A value that reads is the same after it was written anew; a cell that reads is text as JSON.

#include <string>

#include "record/path.h"
#include "store/keys.h"
#include "store/model.h"
#include "store/tree.h"
#include "tests/fuzz/input.h"

namespace ringlog::fuzz {
namespace {

using namespace store;  // NOLINT

template <typename T>
void check_value(const std::string& bytes) {
  auto value = from_bytes<T>(bytes);
  if (!value) {
    return require(value.error().code == Code::kCorrupt, "a foreign value is corrupt or read");
  }
  const std::string written = to_bytes(*value);
  // Texts that a foreign message shares are written one by one, and may come to more than is read.
  constexpr size_t kSharedMax = size_t{16} << 20;
  if (written.size() > kSharedMax) return;
  const auto again = from_bytes<T>(written);
  require(static_cast<bool>(again), "what was written reads");
  require(*again == *value, "a value keeps every bit");
}

void check_commit(const std::string& bytes) {
  const CommitState state = CommitState::from_bytes(bytes);
  if (bytes.size() == 16) require(state.to_bytes() == bytes, "a commit keeps every bit");
}

void check_cell(const std::string& bytes) {
  const auto tree = tree_of_value(bytes);
  if (!tree) {
    return require(tree.error().code == Code::kCorrupt, "a foreign cell is corrupt or read");
  }
  const auto again = tree_of_value(bytes);
  require(again && identical(*tree, *again), "a cell is the same each time");
  Tree merged{Tree::Object{}};
  merge(merged, *tree);
  set_path(merged,
           "a\x1f"
           "b",
           *tree);
  require(record::is_utf8(to_json(merged)), "JSON is UTF-8 whatever stood in the cell");
}

}  // namespace
}  // namespace ringlog::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace ringlog;  // NOLINT
  fuzz::Input input(data, size);
  const uint8_t type = input.take<uint8_t>() % 7;
  const std::string bytes = input.rest();
  switch (type) {
    case 0:
      fuzz::check_value<store::KeySet>(bytes);
      break;
    case 1:
      fuzz::check_value<store::RunMeta>(bytes);
      break;
    case 2:
      fuzz::check_value<store::ProducerState>(bytes);
      break;
    case 3:
      fuzz::check_value<store::SinkState>(bytes);
      break;
    case 6:
      fuzz::check_value<store::Stats>(bytes);
      break;
    case 4:
      fuzz::check_commit(bytes);
      break;
    default:
      fuzz::check_cell(bytes);
  }
  return 0;
}
