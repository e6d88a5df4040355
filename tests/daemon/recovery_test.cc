// What a service finds in its segment folder, and in its runtime directory.

#include "daemon/recovery.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "daemon/runtime_dir.h"
#include "daemon_fixture.h"

namespace ringlog::service {
namespace {

using ::testing::HasSubstr;

std::string make_segment(const std::string& dir, uint32_t producer) {
  shm::SegmentSpec spec;
  spec.run_id = "run";
  spec.project = "project";
  spec.root = "/root";
  spec.producer_id = producer;
  spec.rank = 3;
  spec.attempt = 2;
  spec.worker = 1;
  spec.pid = 42;
  spec.pid_start = 4242;
  auto created = shm::create_segment({dir}, spec);
  EXPECT_THAT(created, IsOk());
  return created->path;
}

void write_file(const std::string& path, const std::string& text) { std::ofstream(path) << text; }

TEST(FindSegments, FindsWholeOnesAndPutsTheOthersAside) {
  const test::TempDir dir;
  const std::string good = make_segment(dir.path(), 7);
  const std::string cut = make_segment(dir.path(), 8);
  ASSERT_EQ(::truncate(cut.c_str(), 8192), 0);
  write_file(dir.file("text.seg"), "not a segment");
  write_file(dir.file("half.seg.new"), "half made");
  write_file(dir.file("other"), "left alone");
  auto found = find_segments({dir.path()});
  ASSERT_THAT(found, IsOk());
  ASSERT_EQ(found->segments.size(), 1u);
  EXPECT_EQ(found->segments.at(0).path, good);
  EXPECT_TRUE(std::filesystem::exists(cut + ".bad"));
  EXPECT_TRUE(std::filesystem::exists(dir.file("text.seg.bad")));
  EXPECT_FALSE(std::filesystem::exists(dir.file("half.seg.new")));
  EXPECT_TRUE(std::filesystem::exists(dir.file("other")));
}

// No more than so many descriptors from its construction to its end.
class DescriptorLimit {
 public:
  explicit DescriptorLimit(rlim_t count) {
    ::getrlimit(RLIMIT_NOFILE, &before_);
    const rlimit limit{count, before_.rlim_max};
    ::setrlimit(RLIMIT_NOFILE, &limit);
  }
  ~DescriptorLimit() { ::setrlimit(RLIMIT_NOFILE, &before_); }
  DescriptorLimit(const DescriptorLimit&) = delete;
  DescriptorLimit& operator=(const DescriptorLimit&) = delete;

 private:
  rlimit before_{};
};

TEST(FindSegments, WhatCannotBeOpenedNowIsLeftForTheNextLook) {
  const test::TempDir dir;
  make_segment(dir.path(), 7);
  make_segment(dir.path(), 8);
  // Room for the folder and one more: it is the one segment that is found.
  const auto next = shm::open_file("/dev/null", O_RDONLY);
  ASSERT_THAT(next, IsOk());
  auto found = [&] {
    const DescriptorLimit limit(static_cast<rlim_t>(next->get()) + 2);
    return find_segments({dir.path()});
  }();
  ASSERT_THAT(found, IsOk());
  ASSERT_EQ(found->segments.size(), 1u);
  ASSERT_EQ(found->unread.size(), 1u);
  const std::string uuid(shm::header_text(found->segments.at(0).header.uuid));
  auto again = find_segments({dir.path()}, [&](const std::string& known) { return known == uuid; });
  ASSERT_THAT(again, IsOk());
  ASSERT_EQ(again->segments.size(), 1u);
  EXPECT_EQ(shm::header_text(again->segments.at(0).header.uuid), *found->unread.begin());
  EXPECT_TRUE(again->unread.empty());
}

TEST(FindSegments, NeedsTheFolder) {
  EXPECT_THAT(find_segments({"/nonexistent/folder"}), FailsWith(Code::kNotFound));
}

// Overwrites a part of a segment's header.
template <typename T>
void patch_header(const std::string& path, size_t offset, const T& value) {
  auto fd = shm::open_file(path, O_RDWR);
  ASSERT_THAT(fd, IsOk());
  const auto at = static_cast<off_t>(offset);
  ASSERT_EQ(::pwrite(fd->get(), &value, sizeof value, at), ssize_t{sizeof value});
}

Result<FoundSegment> read_found(const std::string& path) {
  auto fd = shm::open_file(path, O_RDWR);
  if (!fd) return fd.take_error();
  return read_segment(std::move(*fd), path);
}

TEST(FindSegments, OtherLayoutsAreNotTouched) {
  for (const int change : {-1, 1}) {
    const test::TempDir dir;
    const std::string path = make_segment(dir.path(), 7);
    const auto major = static_cast<uint16_t>(shm::kLayoutMajor + change);
    patch_header(path, offsetof(shm::SegmentHeader, layout_major), major);
    EXPECT_THAT(read_found(path), FailsWith(Code::kVersion, HasSubstr("this program reads")));
    auto found = find_segments({dir.path()});
    ASSERT_THAT(found, IsOk());
    EXPECT_TRUE(found->segments.empty());
    EXPECT_TRUE(std::filesystem::exists(path)) << "for a service that can read it";
  }
}

TEST(FindSegments, AnUnknownFeatureIsAnotherLayoutAndANewerMinorIsNone) {
  const test::TempDir dir;
  const std::string path = make_segment(dir.path(), 7);
  patch_header(path, offsetof(shm::SegmentHeader, layout_minor), uint16_t{9});
  patch_header(path, offsetof(shm::SegmentHeader, compat_flags), uint32_t{1});
  EXPECT_THAT(read_found(path), IsOk());
  patch_header(path, offsetof(shm::SegmentHeader, incompat_flags), uint32_t{1});
  EXPECT_THAT(read_found(path), FailsWith(Code::kVersion));
}

// Found by reading: a process can write over its header, and the service would have made the run's
// folder wherever the names led.
TEST(FindSegments, NamesThatLeadOutOfTheRootAreCorrupt) {
  const test::TempDir dir;
  const std::string path = make_segment(dir.path(), 7);
  patch_header(path, offsetof(shm::SegmentHeader, run_id), std::array<char, 8>{"../../x"});
  EXPECT_THAT(read_found(path), FailsWith(Code::kCorrupt, HasSubstr("run_id")));
  patch_header(path, offsetof(shm::SegmentHeader, run_id), std::array<char, 8>{"run"});
  EXPECT_THAT(read_found(path), IsOk());
  patch_header(path, offsetof(shm::SegmentHeader, project), std::array<char, 3>{".."});
  EXPECT_THAT(read_found(path), FailsWith(Code::kCorrupt, HasSubstr("project")));
  patch_header(path, offsetof(shm::SegmentHeader, project), std::array<char, 2>{"p"});
  patch_header(path, offsetof(shm::SegmentHeader, root), std::array<char, 5>{"root"});
  EXPECT_THAT(read_found(path), FailsWith(Code::kCorrupt, HasSubstr("absolute")));
}

TEST(StateOf, TakesEverythingFromTheHeader) {
  const test::TempDir dir;
  make_segment(dir.path(), 7);
  auto found = find_segments({dir.path()});
  ASSERT_THAT(found, IsOk());
  const store::ProducerState state = state_of(found->segments.at(0).header);
  EXPECT_EQ(state.producer, 7u);
  EXPECT_EQ(state.rank, 3);
  EXPECT_EQ(state.attempt, 2);
  EXPECT_EQ(state.worker, 1u);
  EXPECT_EQ(state.pid, 42);
  EXPECT_EQ(state.pid_start, 4242u);
  EXPECT_EQ(state.state, "running");
  EXPECT_EQ(state.segment, shm::header_text(found->segments.at(0).header.uuid));
}

TEST(RuntimeDirTest, OneServiceAtATime) {
  const test::TempDir dir;
  const std::string path = dir.file("a/b/runtime");
  auto first = claim_runtime_dir(path);
  ASSERT_THAT(first, IsOk());
  ASSERT_TRUE(*first);
  // Somebody listens, so the second does not wait for the first to leave.
  write_file(path + "/service.sock", "");
  auto second = claim_runtime_dir(path);
  ASSERT_THAT(second, IsOk());
  EXPECT_FALSE(*second);
  first->reset();
  auto third = claim_runtime_dir(path);
  ASSERT_THAT(third, IsOk());
  EXPECT_TRUE(*third);
}

TEST(RuntimeDirTest, SegmentsAreOnTmpfsOrTheReasonIsSaid) {
  const test::TempDir dir;
  auto place = claim_runtime_dir(dir.file("runtime"));
  ASSERT_THAT(place, IsOk());
  ASSERT_TRUE(*place);
  EXPECT_NE(shm::is_tmpfs((*place)->segments.directory), !(*place)->notice.empty());
  struct stat info {};
  ASSERT_EQ(::stat((*place)->segments.directory.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0700u);
  if ((*place)->segments.directory.find(dir.path()) != 0) {
    std::filesystem::remove_all((*place)->segments.directory);
  }
}

TEST(RuntimeDirTest, AnOpenFolderIsRefusedWithTheWayToMendIt) {
  const test::TempDir dir;
  ASSERT_EQ(::chmod(dir.path().c_str(), 0755), 0);
  EXPECT_THAT(claim_runtime_dir(dir.path()),
              FailsWith(Code::kPermission, HasSubstr("chmod 0700 " + dir.path())));
}

}  // namespace
}  // namespace ringlog::service
