#pragma once
// GoogleMock matchers for Result and Status.
//
//   ASSERT_THAT(create_segment(dir, spec), IsOk());
//   EXPECT_THAT(client->call(…), FailsWith(Code::kTimeout, HasSubstr("does not answer")));

#include <gmock/gmock.h>
#include <ringlog/result.h>

#include <string>

namespace ringlog {

// How GoogleTest prints them.
template <typename T>
void PrintTo(const Result<T>& result, std::ostream* out) {
  if (result) {
    *out << "ok";
  } else {
    *out << "error " << static_cast<int>(result.error().code) << ": " << result.error().message;
  }
}
inline void PrintTo(Code code, std::ostream* out) { *out << "code " << static_cast<int>(code); }

}  // namespace ringlog

namespace ringlog::test {

MATCHER(IsOk, "is a value") { return static_cast<bool>(arg); }

MATCHER_P(FailsWith, code, "is an error of that code") { return !arg && arg.error().code == code; }

MATCHER_P2(FailsWith, code, message, "is an error of that code and message") {
  return !arg && arg.error().code == code &&
         ::testing::ExplainMatchResult(message, arg.error().message, result_listener);
}

}  // namespace ringlog::test
