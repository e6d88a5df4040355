#pragma once
// What ClickHouse's errors ask of a sender.  Its HTTP status alone does not tell: 18.16 answers 500
// to a wrong password.
//
// A plain function; safe from any thread.

#include <string_view>

namespace ringlog::service {

enum class ClickHouseAdvice {
  kNone,        // no error of ClickHouse's own
  kNoTable,     // make the tables again
  kNoDatabase,  // somebody has to make it
  kPassword,    // user or password is wrong
  kNotAllowed,  // the user may not do this
  kBusy,        // again later
  kBadRows,     // this batch will never be taken; another may
};

// From an answer that begins with "Code: N".
ClickHouseAdvice clickhouse_advice(std::string_view answer);

}  // namespace ringlog::service
