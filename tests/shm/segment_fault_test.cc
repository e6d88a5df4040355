// Pages that must not be written, mapped or there: what happens when they are touched.
//
// Death tests run first and fork, so nothing here starts a thread.

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdlib>

#include "result_matchers.h"
#include "shm/segment.h"
#include "shm/sigbus.h"
#include "test_ring.h"

namespace ringlog::shm {
namespace {

using test::FailsWith;
using test::IsOk;

Fd new_segment() {
  SegmentSpec spec;
  spec.first_ring_bytes = kRingBytesMin;
  spec.later_ring_bytes = kRingBytesMin;
  // A plain file: anonymous segments are sealed and could not be cut.
  auto directory = std::string("/dev/shm");
  auto created = create_segment({directory}, spec);
  EXPECT_THAT(created, IsOk());
  ::unlink(created->path.c_str());
  return std::move(created->fd);
}

std::unique_ptr<ClientSegment> client_view(const Fd& fd) {
  return std::move(*ClientSegment::map(std::move(*duplicate(fd.get()))));
}
std::unique_ptr<ServiceSegment> service_view(const Fd& fd) {
  return std::move(*ServiceSegment::map(std::move(*duplicate(fd.get())), "segment"));
}
template <typename T>
T& writable(const T& words) {
  return const_cast<T&>(words);
}

TEST(ClientSegmentDeathTest, CannotWriteWhatTheServiceWrites) {
  const Fd fd = new_segment();
  const auto client = client_view(fd);
  // Not killed as a forked child without the mapping would be: the child maps it anew.
  EXPECT_DEATH(writable(client_view(fd)->service()).stop_requested.store(1), "");
  EXPECT_DEATH(writable(client_view(fd)->ring_consumer(0)).head.store(8), "");
  EXPECT_EXIT(
      {
        client_view(fd)->producer().exit_code.store(5);
        client_view(fd)->slots()[0].word.store(7);
        ::_exit(0);
      },
      ::testing::ExitedWithCode(0), "");
  EXPECT_EQ(client->producer().exit_code.load(), 5);
  EXPECT_EQ(client->service().stop_requested.load(), 0u);
}

TEST(ServiceSegmentDeathTest, CannotWriteWhatTheProcessWrites) {
  const Fd fd = new_segment();
  EXPECT_DEATH(writable(service_view(fd)->producer()).exit_code.store(1), "");
  EXPECT_DEATH(writable(service_view(fd)->ring_producer(0)).tail.store(8), "");
  EXPECT_EXIT(
      {
        service_view(fd)->ring_consumer(0).head.store(8);
        ::_exit(0);
      },
      ::testing::ExitedWithCode(0), "");
}

bool is_mapped_here(const ClientSegment& segment) {
  auto maps = read_file("/proc/self/maps", 1 << 20);
  return maps && maps->find(header_text(segment.header().uuid)) != std::string::npos;
}

TEST(ClientSegmentDeathTest, IsNotThereInAForkedChild) {
  const Fd fd = new_segment();
  const auto client = client_view(fd);
  ASSERT_TRUE(is_mapped_here(*client));
  EXPECT_EXIT(::_exit(is_mapped_here(*client) ? 1 : 0), ::testing::ExitedWithCode(0), "");
#ifndef __SANITIZE_THREAD__  // which may map memory of its own in the child, in the same place
  EXPECT_DEATH(client->ring_producer(0).in_use.store(2), "");
  EXPECT_DEATH(client->ring_data(0)[0] = std::byte{1}, "");
#endif
  EXPECT_EQ(client->ring_producer(0).in_use.load(), 0u);
}

// Maps a file, cuts it, and touches the page that is gone.
char touch_cut_page() {
  auto file = create_memfd("cut");
  if (::ftruncate(file->get(), kPageSize) != 0) ::_exit(90);
  void* const at = ::mmap(nullptr, kPageSize, PROT_READ, MAP_SHARED, file->get(), 0);
  if (at == MAP_FAILED || ::ftruncate(file->get(), 0) != 0) ::_exit(91);
  return *static_cast<volatile char*>(at);
}

void exit_23(int) { ::_exit(23); }
void exit_24(int, siginfo_t*, void*) { ::_exit(24); }

TEST(SigbusGuardDeathTest, LeavesFaultsElsewhereToTheDefault) {
  EXPECT_DEATH(
      {
        ::signal(SIGBUS, SIG_DFL);
        install_sigbus_guard();
        ::_exit(touch_cut_page());
      },
      "");
}

// Found by this test: only handlers of the newer form were called.
TEST(SigbusGuardDeathTest, LeavesFaultsElsewhereToTheHandlerThatWasThere) {
  EXPECT_EXIT(
      {
        ::signal(SIGBUS, exit_23);
        install_sigbus_guard();
        ::_exit(touch_cut_page());
      },
      ::testing::ExitedWithCode(23), "");
  EXPECT_EXIT(
      {
        struct sigaction action {};
        action.sa_sigaction = exit_24;
        action.sa_flags = SA_SIGINFO;
        ::sigaction(SIGBUS, &action, nullptr);
        install_sigbus_guard();
        ::_exit(touch_cut_page());
      },
      ::testing::ExitedWithCode(24), "");
}

TEST(ServiceSegment, ReadsZerosAndSaysItIsBrokenWhenTheFileWasCut) {
  const Fd fd = new_segment();
  const auto cut = service_view(fd);
  const Fd other_fd = new_segment();
  const auto whole = service_view(other_fd);
  const auto client = client_view(fd);
  client->ring_producer(0).tail.store(64);
  EXPECT_EQ(cut->ring_producer(0).tail.load(), 64u);
  EXPECT_FALSE(cut->is_broken());

  ASSERT_EQ(::ftruncate(fd.get(), kPageSize), 0);
  EXPECT_EQ(cut->ring_producer(0).tail.load(), 0u);
  EXPECT_TRUE(cut->is_broken());
  cut->ring_consumer(0).head.store(8);
  cut->service().stored_rows.store(1);
  EXPECT_EQ(cut->slots()[kSlotCount - 1].word.load(), 0u);
  EXPECT_FALSE(whole->is_broken());
}

TEST(ServiceSegment, RingOfACutFileIsAnErrorAndAHoleIsNoRecord) {
  const Fd fd = new_segment();
  const auto service = service_view(fd);
  const auto client = client_view(fd);
  const RingGeometry& geometry = service->header().rings[0];
  DoorbellPage doorbell{};
  RingWriter writer(client->ring_producer(0), client->ring_consumer(0), client->ring_data(0),
                    geometry.capacity, doorbell);
  ASSERT_TRUE(put(writer, 0, std::string(8192, 'x')));
  RingReader reader(fd.get(), geometry, service->ring_producer(0), service->ring_consumer(0), 0);

  constexpr int kPunch = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
  ASSERT_EQ(::fallocate(fd.get(), kPunch, static_cast<off_t>(geometry.data_offset), 4096), 0);
  EXPECT_THAT(poll(reader).status, FailsWith(Code::kCorrupt));
  ASSERT_EQ(::ftruncate(fd.get(), static_cast<off_t>(geometry.data_offset)), 0);
  EXPECT_THAT(poll(reader).status, FailsWith(Code::kCorrupt));
  EXPECT_FALSE(service->is_broken()) << "its control pages are all there";
}

TEST(SigbusGuard, ForgetsARangeThatIsGoneAndUsesItsPlaceAgain) {
  install_sigbus_guard();
  alignas(kPageSize) static std::array<std::byte, kPageSize> page;
  const int first = guard_range(page.data(), page.size());
  ASSERT_GE(first, 0);
  EXPECT_FALSE(is_range_broken(first));
  unguard_range(first);
  EXPECT_EQ(guard_range(page.data(), page.size()), first);
  unguard_range(first);
  unguard_range(-1);
  EXPECT_FALSE(is_range_broken(-1));
}

TEST(SigbusGuard, TellsWhenItsTableIsFull) {
  std::vector<int> taken;
  for (int index = 0; (index = guard_range(&taken, 1)) >= 0;) taken.push_back(index);
  EXPECT_LE(taken.size(), kGuardedRangesMax);
  EXPECT_GT(taken.size(), 4000u);
  for (const int index : taken) unguard_range(index);
}

}  // namespace
}  // namespace ringlog::shm
