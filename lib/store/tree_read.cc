#include "store/tree_read.h"

#include <span>
#include <string>
#include <utility>

#include "record/message.h"

namespace ringlog::store {

namespace {

template <typename List>
void read_numbers(List from, Tree& into) {
  auto& list = into.value.emplace<Tree::List>();
  list.reserve(from.size());
  for (const auto entry : from) list.emplace_back().value = entry;
}

}  // namespace

void read_tree(schema::Value::Reader from, Tree& into) {
  switch (from.which()) {
    case schema::Value::NULL_:
      into.value = std::monostate();
      return;
    case schema::Value::FLOAT64:
      into.value = from.getFloat64();
      return;
    case schema::Value::INT64:
      into.value = from.getInt64();
      return;
    case schema::Value::UINT64:
      into.value = from.getUint64();
      return;
    case schema::Value::BOOL:
      into.value = from.getBool();
      return;
    case schema::Value::TEXT:
      into.value.emplace<std::string>(from.getText().cStr(), from.getText().size());
      return;
    case schema::Value::LIST: {
      auto& list = into.value.emplace<Tree::List>();
      for (const auto item : from.getList()) read_tree(item, list.emplace_back());
      return;
    }
    case schema::Value::OBJECT:
      return read_tree(from.getObject(), into);
    case schema::Value::FLOAT64_LIST:
      return read_numbers(from.getFloat64List(), into);
    case schema::Value::INT64_LIST:
      return read_numbers(from.getInt64List(), into);
  }
  into.value = std::monostate();  // a type of a later version
}

void read_tree(capnp::List<schema::Field>::Reader fields, Tree& into) {
  auto& object = into.value.emplace<Tree::Object>();
  for (const auto field : fields) {
    const auto key = field.getKey();
    read_tree(field.getValue(), object[std::string(key.cStr(), key.size())]);
  }
}

Result<Tree> tree_of_value(std::string_view message) {
  Tree tree;
  Status read = record::try_read([&] {
    record::MessageView view(std::as_bytes(std::span(message)));
    read_tree(view.root<schema::Value>(), tree);
  });
  if (!read) return read.take_error().in("value");
  return tree;
}

}  // namespace ringlog::store
