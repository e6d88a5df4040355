// Segments: made whole, mapped by both sides, refused when they are not what they should be.

#include "shm/segment.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "result_matchers.h"
#include "temp_dir.h"
#include "test_ring.h"

namespace ringlog::shm {
namespace {

using test::FailsWith;
using test::IsOk;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

SegmentSpec spec() {
  SegmentSpec s;
  s.run_id = "quiet-river-7";
  s.project = "demo";
  s.root = "/home/somebody/ringlog";
  s.producer_id = 3;
  s.rank = 2;
  s.attempt = 1;
  s.worker = 4;
  s.pid = 4711;
  s.pid_start = 99;
  s.first_ring_bytes = kRingBytesMin;
  s.later_ring_bytes = kRingBytesMin;
  return s;
}

std::vector<std::string> names_in(const std::string& directory) {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(directory)) {
    names.push_back(entry.path().filename());
  }
  return names;
}

// Both views of a new segment.
struct BothSides {
  explicit BothSides(const std::string& directory) {
    auto created = create_segment({directory}, spec());
    EXPECT_THAT(created, IsOk());
    path = created->path;
    auto as_service = ServiceSegment::map(std::move(*duplicate(created->fd.get())), "segment");
    EXPECT_THAT(as_service, IsOk());
    service = std::move(*as_service);
    auto as_client = ClientSegment::map(std::move(created->fd));
    EXPECT_THAT(as_client, IsOk());
    client = std::move(*as_client);
  }
  std::string path;
  std::unique_ptr<ServiceSegment> service;
  std::unique_ptr<ClientSegment> client;
};

TEST(Segment, IsOneWholePrivateFileNamedByItsUuid) {
  const test::TempDir dir("/dev/shm");
  auto created = create_segment({dir.path()}, spec());
  ASSERT_THAT(created, IsOk());
  EXPECT_EQ(created->notice, "");
  auto header = read_segment_header(created->fd.get(), "segment");
  ASSERT_THAT(header, IsOk());
  const std::string name = std::string(header_text(header->uuid)) + ".seg";
  EXPECT_EQ(created->path, dir.file(name));
  EXPECT_THAT(names_in(dir.path()), ElementsAre(name)) << "no temporary name is left";
  struct stat info {};
  ASSERT_EQ(::stat(created->path.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
  EXPECT_EQ(static_cast<uint64_t>(info.st_size), segment_size(spec()));
  EXPECT_GE(info.st_blocks * 512, info.st_size) << "every page is there, none is a hole";
}

TEST(Segment, HeaderSaysWhoseItIs) {
  const test::TempDir dir;
  const BothSides sides(dir.path());
  for (const SegmentHeader* header : {&sides.service->header(), &sides.client->header()}) {
    EXPECT_EQ(header->magic, kSegmentMagic);
    EXPECT_EQ(header_text(header->run_id), "quiet-river-7");
    EXPECT_EQ(header_text(header->project), "demo");
    EXPECT_EQ(header_text(header->root), "/home/somebody/ringlog");
    EXPECT_EQ(header_text(header->boot_id), boot_id());
    EXPECT_EQ(header_text(header->uuid).size(), 32u);
    EXPECT_EQ(header->producer_id, 3u);
    EXPECT_EQ(header->rank, 2);
    EXPECT_EQ(header->attempt, 1);
    EXPECT_EQ(header->worker, 4u);
    EXPECT_EQ(header->pid, 4711);
    EXPECT_EQ(header->pid_start, 99u);
    EXPECT_GT(header->created_ns, 0);
    EXPECT_EQ(header->ring_count, kRingCount);
    EXPECT_EQ(header->slot_count, kSlotCount);
  }
}

TEST(Segment, TwoOfOneSpecHaveDifferentUuids) {
  const test::TempDir dir;
  auto one = create_segment({dir.path()}, spec());
  auto two = create_segment({dir.path()}, spec());
  ASSERT_THAT(one, IsOk());
  ASSERT_THAT(two, IsOk());
  EXPECT_NE(one->path, two->path);
}

TEST(Segment, EachSideSeesWhatTheOtherWrites) {
  const test::TempDir dir;
  const BothSides sides(dir.path());
  sides.service->service().stop_requested.store(1);
  EXPECT_EQ(sides.client->service().stop_requested.load(), 1u);
  sides.client->producer().exit_code.store(-7);
  EXPECT_EQ(sides.service->producer().exit_code.load(), -7);
  for (uint32_t ring = 0; ring < kRingCount; ++ring) {
    sides.client->ring_producer(ring).dropped_rows.store(ring + 1);
    EXPECT_EQ(sides.service->ring_producer(ring).dropped_rows.load(), ring + 1);
    sides.service->ring_consumer(ring).room.store(ring + 2);
    EXPECT_EQ(sides.client->ring_consumer(ring).room.load(), ring + 2);
  }
  for (uint32_t slot = 0; slot < kSlotCount; ++slot) {
    sides.client->slots()[slot].word.store(slot + 3);
    EXPECT_EQ(sides.service->slots()[slot].word.load(), slot + 3);
  }
}

TEST(Segment, RecordsGoThroughEveryRing) {
  const test::TempDir dir;
  const BothSides sides(dir.path());
  DoorbellPage doorbell{};
  for (uint32_t ring = 0; ring < kRingCount; ++ring) {
    SCOPED_TRACE("ring " + std::to_string(ring));
    const RingGeometry& geometry = sides.service->header().rings[ring];
    RingWriter writer(sides.client->ring_producer(ring), sides.client->ring_consumer(ring),
                      sides.client->ring_data(ring), geometry.capacity, doorbell);
    RingReader reader(sides.service->fd(), geometry, sides.service->ring_producer(ring),
                      sides.service->ring_consumer(ring), 0);
    // Twice around, so that the slack of each ring is used and no ring reaches into the next.
    for (uint64_t seq = 0; seq < 12; ++seq) {
      const std::string payload = test_payload(seq + ring, 40'000 - 16);
      ASSERT_TRUE(put(writer, seq, payload));
      const Polled polled = poll(reader);
      ASSERT_THAT(polled.status, IsOk());
      ASSERT_EQ(polled.records.size(), 1u);
      ASSERT_EQ(polled.records[0].payload, payload);
      reader.give_back(reader.position());
    }
  }
}

TEST(Segment, RefusesARingSizeAndSaysWhatIsAllowed) {
  const test::TempDir dir;
  for (const uint64_t bytes :
       {uint64_t{0}, kRingBytesMin / 2, kRingBytesMin + 8, 2 * kRingBytesMax}) {
    SegmentSpec bad = spec();
    bad.first_ring_bytes = bytes;
    EXPECT_THAT(create_segment({dir.path()}, bad),
                FailsWith(Code::kInvalidArgument,
                          HasSubstr("ring_bytes is " + std::to_string(bytes) +
                                    "; allowed are powers of two from 131072 to 1073741824")));
  }
  SegmentSpec bad = spec();
  bad.later_ring_bytes = 5;
  EXPECT_THAT(create_segment({dir.path()}, bad),
              FailsWith(Code::kInvalidArgument, HasSubstr(" 5;")));
  EXPECT_THAT(names_in(dir.path()), IsEmpty());
}

TEST(Segment, RefusesNamesThatDoNotFitTheHeader) {
  const test::TempDir dir;
  SegmentSpec bad = spec();
  bad.run_id = std::string(136, 'r');
  EXPECT_THAT(create_segment({dir.path()}, bad),
              FailsWith(Code::kInvalidArgument, HasSubstr("run_id is longer than 135 bytes")));
  bad = spec();
  bad.root = std::string("/a\0b", 4);
  EXPECT_THAT(create_segment({dir.path()}, bad),
              FailsWith(Code::kInvalidArgument, HasSubstr("dir is longer")));
  bad = spec();
  bad.run_id = std::string(135, 'r');
  auto longest = create_segment({dir.path()}, bad);
  ASSERT_THAT(longest, IsOk());
  auto header = read_segment_header(longest->fd.get(), "segment");
  ASSERT_THAT(header, IsOk());
  EXPECT_EQ(header_text(header->run_id), bad.run_id);
}

TEST(Segment, IsAnonymousWhereItsDirectoryCannotBeUsed) {
  auto created = create_segment({"/nowhere/at/all"}, spec());
  ASSERT_THAT(created, IsOk());
  EXPECT_EQ(created->path, "");
  EXPECT_THAT(created->notice, HasSubstr("/nowhere/at/all"));
  EXPECT_THAT(created->notice, HasSubstr("anonymous memory"));
  EXPECT_THAT(ClientSegment::map(std::move(created->fd)), IsOk());
}

TEST(Segment, AnonymousOneIsSealedAgainstTruncation) {
  auto created = create_segment({"/nowhere/at/all"}, spec());
  ASSERT_THAT(created, IsOk());
  const int seals = ::fcntl(created->fd.get(), F_GET_SEALS);
  EXPECT_EQ(seals, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
  EXPECT_EQ(::ftruncate(created->fd.get(), 4096), -1);
  EXPECT_EQ(errno, EPERM);
}

// A tmpfs of our own, of so many bytes.
class SmallTmpfs {
 public:
  explicit SmallTmpfs(uint64_t bytes) {
    const std::string options = "size=" + std::to_string(bytes);
    error_ = ::mount("none", dir_.path().c_str(), "tmpfs", 0, options.c_str()) == 0 ? 0 : errno;
  }
  ~SmallTmpfs() {
    if (error_ == 0) ::umount2(dir_.path().c_str(), MNT_DETACH);
  }
  int error() const { return error_; }
  const std::string& path() const { return dir_.path(); }

 private:
  test::TempDir dir_;
  int error_ = 0;
};

#define SKIP_WITHOUT_MOUNT(tmpfs) \
  if ((tmpfs).error() != 0)       \
  GTEST_SKIP() << "a small tmpfs cannot be mounted here: " << std::strerror((tmpfs).error())

TEST(SegmentOnASmallTmpfs, IsAnonymousAndSaysWhy) {
  const SmallTmpfs tmpfs(1 << 20);
  SKIP_WITHOUT_MOUNT(tmpfs);
  auto created = create_segment({tmpfs.path()}, spec());
  ASSERT_THAT(created, IsOk());
  EXPECT_EQ(created->path, "");
  EXPECT_THAT(created->notice,
              HasSubstr(tmpfs.path() + " has 1048576 bytes free, a segment takes " +
                        std::to_string(segment_size(spec()))));
  EXPECT_THAT(names_in(tmpfs.path()), IsEmpty());
}

TEST(SegmentOnASmallTmpfs, GoesToTheOverflowFolderWhichIsMadeForIt) {
  const SmallTmpfs tmpfs(1 << 20);
  SKIP_WITHOUT_MOUNT(tmpfs);
  const test::TempDir disk;
  const std::string overflow = disk.file("overflow");
  auto created = create_segment({tmpfs.path(), overflow}, spec());
  ASSERT_THAT(created, IsOk());
  EXPECT_TRUE(created->path.starts_with(overflow + "/"));
  EXPECT_THAT(created->notice, HasSubstr(tmpfs.path() + " has 1048576 bytes free"));
  EXPECT_THAT(created->notice, HasSubstr(overflow));
  struct stat info {};
  ASSERT_EQ(::stat(overflow.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0700u);
  EXPECT_THAT(ClientSegment::map(std::move(created->fd)), IsOk());
}

TEST(SegmentOnASmallTmpfs, IsAnonymousWhereOthersMayEnterTheOverflowFolder) {
  const SmallTmpfs tmpfs(1 << 20);
  SKIP_WITHOUT_MOUNT(tmpfs);
  const test::TempDir disk;
  ASSERT_EQ(::chmod(disk.path().c_str(), 0755), 0);
  auto created = create_segment({tmpfs.path(), disk.path()}, spec());
  ASSERT_THAT(created, IsOk());
  EXPECT_EQ(created->path, "");
  EXPECT_THAT(created->notice, HasSubstr("chmod 0700 " + disk.path()));
  EXPECT_THAT(names_in(disk.path()), IsEmpty());
}

TEST(SegmentOnASmallTmpfs, LeavesAQuarterOfItsSizeToOthers) {
  const uint64_t size = segment_size(spec());
  const SmallTmpfs tmpfs(size + size / 4 - 2 * kPageSize);
  SKIP_WITHOUT_MOUNT(tmpfs);
  auto created = create_segment({tmpfs.path()}, spec());
  ASSERT_THAT(created, IsOk());
  EXPECT_EQ(created->path, "");

  const SmallTmpfs larger(size + size / 4 + 4 * kPageSize);
  SKIP_WITHOUT_MOUNT(larger);
  auto named = create_segment({larger.path()}, spec());
  ASSERT_THAT(named, IsOk());
  EXPECT_NE(named->path, "");
}

TEST(AllocateFile, ReportsAFullTmpfsInsteadOfAFaultLater) {
  const SmallTmpfs tmpfs(1 << 20);
  SKIP_WITHOUT_MOUNT(tmpfs);
  auto file = open_file(tmpfs.path() + "/file", O_RDWR | O_CREAT);
  ASSERT_THAT(file, IsOk());
  EXPECT_THAT(allocate_file(file->get(), 2 << 20, "a file"),
              FailsWith(Code::kIo, HasSubstr("a file: No space left")));
}

}  // namespace
}  // namespace ringlog::shm
