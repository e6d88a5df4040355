#include "daemon/sinks/clickhouse_error.h"

#include <charconv>

namespace ringlog::service {

ClickHouseAdvice clickhouse_advice(std::string_view answer) {
  constexpr std::string_view kPrefix = "Code: ";
  const size_t at = answer.substr(0, 200).find(kPrefix);
  if (at == std::string_view::npos) return ClickHouseAdvice::kNone;
  int code = 0;
  const char* begin = answer.data() + at + kPrefix.size();
  if (std::from_chars(begin, answer.data() + answer.size(), code).ec != std::errc()) {
    return ClickHouseAdvice::kNone;
  }
  // src/Common/ErrorCodes.cpp of ClickHouse; the numbers never change.
  switch (code) {
    case 60:   // UNKNOWN_TABLE
    case 218:  // TABLE_IS_DROPPED
      return ClickHouseAdvice::kNoTable;
    case 81:  // UNKNOWN_DATABASE
      return ClickHouseAdvice::kNoDatabase;
    case 192:  // UNKNOWN_USER
    case 193:  // WRONG_PASSWORD
    case 194:  // REQUIRED_PASSWORD
    case 516:  // AUTHENTICATION_FAILED
      return ClickHouseAdvice::kPassword;
    case 164:  // READONLY
    case 195:  // IP_ADDRESS_NOT_ALLOWED
    case 291:  // DATABASE_ACCESS_DENIED
    case 392:  // QUERY_IS_PROHIBITED
    case 497:  // ACCESS_DENIED
      return ClickHouseAdvice::kNotAllowed;
    case 6:    // CANNOT_PARSE_TEXT
    case 27:   // CANNOT_PARSE_INPUT_ASSERTION_FAILED
    case 32:   // ATTEMPT_TO_READ_AFTER_EOF
    case 33:   // CANNOT_READ_ALL_DATA
    case 117:  // INCORRECT_DATA
    case 131:  // TOO_LARGE_STRING_SIZE
    case 469:  // VIOLATED_CONSTRAINT
      return ClickHouseAdvice::kBadRows;
    default:
      return ClickHouseAdvice::kBusy;
  }
}

}  // namespace ringlog::service
