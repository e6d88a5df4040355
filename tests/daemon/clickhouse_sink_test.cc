// What the ClickHouse sink decides by itself; tests/e2e/clickhouse_test.py asks a real server.

#include "daemon/sinks/clickhouse_sink.h"

#include <gtest/gtest.h>

#include "daemon/sinks/http_transport.h"
#include "daemon_fixture.h"
#include "row_store.h"

namespace ringlog::service {
namespace {

// ClickHouse keeps the facts with the highest version.
TEST(ClickHouseSinkTest, NewerFactsHaveAHigherVersionBehindAClockThatWasSetBack) {
  const test::TempDir dir;
  RowStore run(dir.file("run"));
  run.add(1);
  auto reader = store::RunReader::open(dir.file("run"));
  ASSERT_THAT(reader, IsOk());
  HttpTransport http;
  auto sink = make_sink("clickhouse+http://127.0.0.1:1/db", {http, [] {}});
  ASSERT_THAT(sink, IsOk());
  const std::string later = "9000000000000000000";  // than any clock says
  ASSERT_THAT((*sink)->open(store::RunMeta{}, later), IsOk());
  EXPECT_EQ((*sink)->cursor(), later);
  ASSERT_THAT((*sink)->add_facts(**reader), IsOk());
  EXPECT_EQ((*sink)->cursor(), "9000000000000000001");
}

}  // namespace
}  // namespace ringlog::service
