#pragma once
// Value: anything a row, a config or a summary can hold.
//
//   run.log({{"loss", 0.1}, {"epoch", 3}, {"tag", "warm"}, {"nested", {{"a", 1}}}});
//
// A Value borrows: text, lists and objects are views of the caller's memory and must stay alive
// until the call that takes them returns (temporaries in the argument list do).  Values are small,
// are copied freely and never allocate.

#include <concepts>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

namespace ringlog {

struct Item;

class Value {
 public:
  enum class Type : uint8_t {
    kNull,
    kFloat64,
    kInt64,
    kUint64,  // only values above the int64 range
    kBool,
    kText,
    kList,
    kObject,
    kFloat64List,
    kInt64List,
  };

  constexpr Value() = default;
  constexpr Value(std::nullptr_t) {}                                   // NOLINT
  constexpr Value(double v) : type_(Type::kFloat64), float64_(v) {}    // NOLINT
  constexpr Value(float v) : Value(static_cast<double>(v)) {}          // NOLINT
  constexpr Value(bool v) : type_(Type::kBool), uint64_(v ? 1 : 0) {}  // NOLINT
  template <std::integral T>
  constexpr Value(T v)  // NOLINT
      : type_(std::unsigned_integral<T> && static_cast<uint64_t>(v) > INT64_MAX ? Type::kUint64
                                                                                : Type::kInt64),
        uint64_(static_cast<uint64_t>(v)) {}
  constexpr Value(std::string_view v)  // NOLINT
      : type_(Type::kText), count_(v.size()), data_(v.data()) {}
  constexpr Value(const char* v) : Value(std::string_view(v)) {}  // NOLINT
  Value(const std::string& v) : Value(std::string_view(v)) {}     // NOLINT
  // {{"a", 1}, …}: an object.
  Value(std::initializer_list<Item> v);  // NOLINT
  Value(std::span<const Item> v);        // NOLINT
  Value(const std::vector<Item>& v);     // NOLINT
  // {1.0, 2.0}, vectors and spans: lists.
  Value(std::initializer_list<double> v)  // NOLINT
      : Value(std::span<const double>(v.begin(), v.size())) {}
  Value(std::span<const double> v)  // NOLINT
      : type_(Type::kFloat64List), count_(v.size()), data_(v.data()) {}
  Value(std::span<const int64_t> v)  // NOLINT
      : type_(Type::kInt64List), count_(v.size()), data_(v.data()) {}
  Value(std::span<const Value> v)  // NOLINT
      : type_(Type::kList), count_(v.size()), data_(v.data()) {}
  Value(const std::vector<double>& v) : Value(std::span<const double>(v)) {}    // NOLINT
  Value(const std::vector<int64_t>& v) : Value(std::span<const int64_t>(v)) {}  // NOLINT
  Value(const std::vector<Value>& v) : Value(std::span<const Value>(v)) {}      // NOLINT

  constexpr Type type() const { return type_; }
  // True for the types that travel as eight bytes: float64, int64, uint64, bool.
  constexpr bool is_number() const { return type_ >= Type::kFloat64 && type_ <= Type::kBool; }
  // The eight bytes of a number.
  constexpr uint64_t bits() const { return uint64_; }

  // Each accessor requires the matching type().
  constexpr double float64() const { return float64_; }
  constexpr int64_t int64() const { return static_cast<int64_t>(uint64_); }
  constexpr uint64_t uint64() const { return uint64_; }
  constexpr bool boolean() const { return uint64_ != 0; }
  std::string_view text() const { return {static_cast<const char*>(data_), count_}; }
  std::span<const Value> list() const { return {static_cast<const Value*>(data_), count_}; }
  std::span<const Item> object() const;
  std::span<const double> float64_list() const {
    return {static_cast<const double*>(data_), count_};
  }
  std::span<const int64_t> int64_list() const {
    return {static_cast<const int64_t*>(data_), count_};
  }

 private:
  Type type_ = Type::kNull;
  union {
    uint64_t uint64_ = 0;  // numbers
    double float64_;
    size_t count_;  // text (bytes), lists and objects (elements)
  };
  const void* data_ = nullptr;
};

// One key and its value.  Keys are UTF-8 and not empty; any other text is a legal key.
struct Item {
  std::string_view key;
  Value value;
};

inline Value::Value(std::initializer_list<Item> v)
    : type_(Type::kObject), count_(v.size()), data_(v.begin()) {}
inline Value::Value(std::span<const Item> v)
    : type_(Type::kObject), count_(v.size()), data_(v.data()) {}
inline Value::Value(const std::vector<Item>& v) : Value(std::span<const Item>(v)) {}
inline std::span<const Item> Value::object() const {
  return {static_cast<const Item*>(data_), count_};
}

}  // namespace ringlog
