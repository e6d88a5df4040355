// The live page: whole texts whoever writes and dies meanwhile.

#include "shm/live_page.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <string>
#include <thread>

#include "result_matchers.h"
#include "temp_dir.h"
#include "watchdog.h"

namespace ringlog::shm {
namespace {

using test::FailsWith;
using test::IsOk;

class LivePageTest : public testing::Test {
 protected:
  std::string path() const { return live_page_path(dir_.path(), "run", "/runs/p/run"); }
  std::unique_ptr<LivePageWriter> writer() const {
    auto writer = LivePageWriter::open(path());
    EXPECT_THAT(writer, IsOk());
    return std::move(*writer);
  }
  std::unique_ptr<LivePageReader> reader() const {
    auto reader = LivePageReader::open(path());
    EXPECT_THAT(reader, IsOk());
    return std::move(*reader);
  }

  const test::TempDir dir_;
};

TEST_F(LivePageTest, ReadsWhatWasPublishedLast) {
  const auto page = writer();
  const auto mine = reader();
  EXPECT_THAT(mine->read(), FailsWith(Code::kNotFound));
  for (const std::string text : {"one", "a longer one", "", "four"}) {
    ASSERT_THAT(page->publish(text, 17), IsOk());
    auto found = mine->read();
    ASSERT_THAT(found, IsOk());
    EXPECT_EQ(found->text, text);
    EXPECT_EQ(found->time_ns, 17);
    EXPECT_FALSE(found->is_last);
  }
}

TEST_F(LivePageTest, TheNextServiceGoesOnWithThePageOfOneThatDied) {
  ASSERT_THAT(writer()->publish("of the first", 1), IsOk());
  const auto mine = reader();
  const auto next = writer();
  EXPECT_EQ(mine->read()->text, "of the first");
  ASSERT_THAT(next->publish("of the second", 2), IsOk());
  EXPECT_EQ(mine->read()->text, "of the second");
}

TEST_F(LivePageTest, APageThatIsTakenAwayKeepsItsLastText) {
  const auto page = writer();
  ASSERT_THAT(page->publish("the last", 1), IsOk());
  const auto mine = reader();
  page->remove();
  EXPECT_EQ(mine->read()->text, "the last");
  EXPECT_TRUE(mine->read()->is_last);
  EXPECT_THAT(LivePageReader::open(path()), FailsWith(Code::kNotFound));
}

TEST_F(LivePageTest, RefusesWhatIsTooLongAndKeepsWhatThereWas) {
  const auto page = writer();
  ASSERT_THAT(page->publish("short", 1), IsOk());
  EXPECT_THAT(page->publish(std::string(kLiveTextMax + 1, 'x'), 2), FailsWith(Code::kTooLarge));
  EXPECT_EQ(reader()->read()->text, "short");
  ASSERT_THAT(page->publish(std::string(kLiveTextMax, 'x'), 2), IsOk());
  EXPECT_EQ(reader()->read()->text.size(), kLiveTextMax);
}

TEST_F(LivePageTest, FilesThatAreNoPagesAreRefused) {
  const auto page = writer();
  ASSERT_EQ(::truncate(path().c_str(), 4096), 0);
  EXPECT_THAT(LivePageReader::open(path()), FailsWith(Code::kCorrupt));
  ASSERT_EQ(::truncate(path().c_str(), 10), 0);
  EXPECT_THAT(LivePageReader::open(path()), FailsWith(Code::kCorrupt));
}

TEST_F(LivePageTest, RunsOfOneIdInTwoFoldersHavePagesOfTheirOwn) {
  EXPECT_NE(live_page_path("/r", "run", "/a/p/run"), live_page_path("/r", "run", "/b/p/run"));
}

TEST_F(LivePageTest, AReaderSeesWholeTextsWhileTheyChange) {
  const test::Watchdog watchdog;
  const auto page = writer();
  ASSERT_THAT(page->publish("x", 0), IsOk());
  std::atomic<bool> is_done{false};
  std::jthread writing([&] {
    for (int i = 0; i < 3000; ++i) {
      const auto size = static_cast<size_t>(1 + i * 7919 % 60'000);
      EXPECT_THAT(page->publish(std::string(size, static_cast<char>('a' + i % 26)), i), IsOk());
    }
    is_done = true;
  });
  const auto mine = reader();
  while (!is_done) {
    auto found = mine->read();
    if (!found) {
      ASSERT_THAT(found, FailsWith(Code::kTimeout));
      continue;
    }
    const char letter = found->text.front();
    ASSERT_TRUE(
        std::all_of(found->text.begin(), found->text.end(), [&](char c) { return c == letter; }));
  }
}

}  // namespace
}  // namespace ringlog::shm
