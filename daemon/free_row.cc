#include "daemon/free_row.h"

#include "record/limits.h"
#include "record/message.h"
#include "record/path.h"
#include "store/limits.h"

#include <bit>
#include <string_view>
#include <unordered_map>

namespace ringlog::service {

namespace {

using Fields = capnp::List<schema::Field>::Reader;

Error refuse(const char* what) { return {Code::kInvalidArgument, what}; }

Status check_key(std::string_view key) {
  if (key.empty()) return refuse("a key is empty");
  if (key.size() > record::kKeySizeMax) return Error{Code::kTooLarge, "a key is too long"};
  if (!record::is_utf8(key)) return refuse("a key is not UTF-8");
  return Done{};
}

Status check_value(schema::Value::Reader value, int depth);

Status check_level(Fields fields, int depth) {
  // As the library counts: an empty object has no level of its own.
  if (fields.size() > 0 && depth > record::kValueDepthMax) {
    return refuse("a value is nested too deep");
  }
  for (const auto field : fields) {
    if (Status s = check_key(view(field.getKey())); !s) return s;
    if (Status s = check_value(field.getValue(), depth); !s) return s;
  }
  return Done{};
}

Status check_value(schema::Value::Reader value, int depth) {
  if (value.isText()) return check_text(view(value.getText()), "a text");
  if (value.isObject()) return check_level(value.getObject(), depth + 1);
  // Asking for a list follows its pointer, which throws if it leads nowhere.
  if (value.isFloat64List()) return value.getFloat64List(), Done{};
  if (value.isInt64List()) return value.getInt64List(), Done{};
  if (!value.isList()) return Done{};
  if (depth > record::kValueDepthMax) return refuse("a value is nested too deep");
  for (const auto element : value.getList()) {
    if (Status s = check_value(element, depth + 1); !s) return s;
  }
  return Done{};
}

struct Leaf {
  std::string path;
  store::ColumnType type;
  uint64_t bits;
  std::string bytes;
};

std::string serialise(schema::Value::Reader value) {
  capnp::MallocMessageBuilder message;
  message.setRoot(value);
  const record::Words words = record::to_words(message);
  return {reinterpret_cast<const char*>(words.data()), words.size() * 8};
}

class Flattener {
 public:
  Status add_level(Fields fields, const std::string& prefix, int depth) {
    if (depth > record::kValueDepthMax) return refuse("a row is nested too deep");
    key_count_ += fields.size();
    if (key_count_ > record::kRowKeysMax) return Error{Code::kTooLarge, "a row has too many keys"};
    for (const auto field : fields) {
      if (Status s = check_key(view(field.getKey())); !s) return s;
      std::string path = prefix;
      record::append_key(path, view(field.getKey()));
      if (Status s = add(std::move(path), field.getValue(), depth); !s) return s;
    }
    return Done{};
  }

  FlatRow take() && {
    FlatRow row;
    row.columns.reserve(leaves_.size());
    for (Leaf& leaf : leaves_) {
      row.columns.push_back({std::move(leaf.path), leaf.type});
      if (leaf.type == store::ColumnType::kOther) {
        row.others.push_back(std::move(leaf.bytes));
      } else {
        row.numbers.push_back(leaf.bits);
      }
    }
    return row;
  }

 private:
  Status add(std::string path, schema::Value::Reader value, int depth) {
    switch (value.which()) {
      case schema::Value::FLOAT64:
        return put(std::move(path), store::ColumnType::kFloat64,
                   std::bit_cast<uint64_t>(value.getFloat64()));
      case schema::Value::INT64:
        return put(std::move(path), store::ColumnType::kInt64,
                   static_cast<uint64_t>(value.getInt64()));
      case schema::Value::UINT64:
        return put(std::move(path), store::ColumnType::kUint64, value.getUint64());
      case schema::Value::BOOL:
        return put(std::move(path), store::ColumnType::kBool, value.getBool() ? 1 : 0);
      case schema::Value::OBJECT:
        // An empty object has no key to become a path; it stays a value.
        if (value.getObject().size() > 0) return add_level(value.getObject(), path, depth + 1);
        break;
      default:
        break;
    }
    if (Status s = check_value(value, depth); !s) return s;
    std::string bytes = serialise(value);
    if (bytes.size() > store::kValueBytesMax) return Error{Code::kTooLarge, "a value is too large"};
    return put(std::move(path), store::ColumnType::kOther, 0, std::move(bytes));
  }

  Status put(std::string path, store::ColumnType type, uint64_t bits, std::string bytes = {}) {
    const auto [at, is_new] = index_.try_emplace(path, leaves_.size());
    if (!is_new) {
      leaves_[at->second] = {std::move(path), type, bits, std::move(bytes)};
    } else {
      leaves_.push_back({std::move(path), type, bits, std::move(bytes)});
    }
    return Done{};
  }

  std::vector<Leaf> leaves_;
  std::unordered_map<std::string, size_t> index_;  // path → leaf
  size_t key_count_ = 0;
};

}  // namespace

size_t FlatRow::bytes() const {
  size_t size = numbers.size() * 8;
  for (const std::string& other : others) size += other.size();
  return size;
}

Result<FlatRow> flatten(schema::FreeRow::Reader row) {
  Flattener flattener;
  if (Status s = flattener.add_level(row.getFields(), {}, 1); !s) return s.take_error();
  return std::move(flattener).take();
}

Status check_fields(Fields fields) {
  if (fields.size() > record::kRowKeysMax) return Error{Code::kTooLarge, "too many keys"};
  return check_level(fields, 1);
}

Status check_text(std::string_view text, const char* what) {
  if (record::is_utf8(text)) return Done{};
  return Error{Code::kInvalidArgument, std::string(what) + " is not UTF-8"};
}

}  // namespace ringlog::service
