#include "daemon/recovery.h"

#include "daemon/log.h"
#include "daemon/names.h"
#include "shm/failpoint.h"
#include "shm/mailbox.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include <algorithm>
#include <memory>

namespace ringlog::service {

namespace {

struct CloseDir {
  void operator()(DIR* dir) const { ::closedir(dir); }
};

Result<std::vector<std::string>> list(const std::string& directory) {
  const std::unique_ptr<DIR, CloseDir> dir(::opendir(directory.c_str()));
  if (!dir) return shm::errno_error("list " + directory);
  std::vector<std::string> names;
  while (const dirent* entry = ::readdir(dir.get())) names.emplace_back(entry->d_name);
  std::sort(names.begin(), names.end());
  return names;
}

Status check_names(const shm::SegmentHeader& header) {
  if (Status s = check_run_id(shm::header_text(header.run_id)); !s) return s;
  if (Status s = check_project(shm::header_text(header.project)); !s) return s;
  return check_root(shm::header_text(header.root));
}

}  // namespace

Result<FoundSegment> read_segment(shm::Fd fd, const std::string& path) {
  auto header = shm::read_segment_header(fd.get(), path.empty() ? "memfd segment" : path);
  if (!header) return header.take_error();
  const auto has_end = [](const auto& text) {
    return std::find(text.begin(), text.end(), '\0') != text.end();
  };
  if (!has_end(header->uuid) || !has_end(header->run_id) || !has_end(header->project) ||
      !has_end(header->root)) {
    return Error{Code::kCorrupt, path + " has a name without an end"};
  }
  // Its process could write over the header, and the names become the folder of the run.
  if (Status s = check_names(*header); !s) {
    return Error{Code::kCorrupt,
                 (path.empty() ? "memfd segment" : path) + ": " + s.error().message};
  }
  return FoundSegment{std::move(fd), path, *header};
}

void move_aside(const std::string& path, const std::string& why) {
  log().error("segment {} is put aside as .bad: {}", path, why);
  if (path.empty()) return;
  if (::rename(path.c_str(), (path + ".bad").c_str()) != 0) {
    log().error("{}", shm::errno_error("rename " + path).message);
  }
}

namespace {

// A segment's file is named by its uuid.
std::string uuid_of(const std::string& path) {
  const size_t begin = path.rfind('/') + 1;
  return path.substr(begin, path.find('.', begin) - begin);
}

Status find_in(const std::string& directory, const IsKnown& is_known, FoundSegments& found) {
  auto names = list(directory);
  if (!names) return names.take_error();
  const std::string inside = directory + "/";
  for (const std::string& name : *names) {
    const std::string path = inside + name;
    // Its maker died before the client heard of it.
    if (name.ends_with(".seg.new")) ::unlink(path.c_str());
    if (!name.ends_with(".seg") || (is_known && is_known(uuid_of(path)))) continue;
    find_segment(path, found);
  }
  return Done{};
}

}  // namespace

void find_segment(const std::string& path, FoundSegments& found) {
  auto fd = shm::open_file(path, O_RDWR | O_NOFOLLOW);
  auto segment = fd ? read_segment(std::move(*fd), path) : Result<FoundSegment>(fd.take_error());
  if (segment) {
    RINGLOG_FAILPOINT("recovery");
    found.segments.push_back(std::move(*segment));
    return;
  }
  const Error why = segment.take_error();
  if (why.code == Code::kVersion) {
    log().error("segment left for a service that can read it: {}", why.message);
  } else if (why.code == Code::kIo) {
    log().error("segment {} is tried again: {}", path, why.message);
    found.unread.insert(uuid_of(path));
  } else {
    move_aside(path, why.message);
  }
}

Result<FoundSegments> find_segments(const shm::SegmentPlaces& places, const IsKnown& is_known) {
  FoundSegments found;
  if (Status s = find_in(places.directory, is_known, found); !s) return s.take_error();
  const std::string& overflow = places.overflow;
  if (overflow.empty() || ::access(overflow.c_str(), F_OK) != 0) return found;
  if (Status s = shm::private_directory(overflow); !s) {
    log().warn("no segment is looked for in {}: {}", overflow, s.error().message);
    return found;
  }
  if (Status s = find_in(overflow, is_known, found); !s) return s.take_error();
  return found;
}

store::ProducerState state_of(const shm::SegmentHeader& header) {
  store::ProducerState state;
  state.producer = header.producer_id;
  state.rank = header.rank;
  state.attempt = header.attempt;
  state.worker = header.worker;
  state.pid = header.pid;
  state.pid_start = header.pid_start;
  state.state = "running";
  state.started_ns = header.created_ns;
  state.segment = shm::header_text(header.uuid);
  state.local_rank = -1;
  state.world_size = -1;
  return state;
}

namespace {

// Fails the requests of which `is_lost` says so, given their ring and the position behind them.
template <typename IsLost>
void fail_requests(const shm::ServiceSegment& segment, const std::vector<store::RingState>& rings,
                   IsLost is_lost) {
  for (shm::Slot& slot : segment.slots()) {
    // ORDER slot: a request is there before its position is.
    const uint32_t word = slot.word.load(std::memory_order_acquire);
    const shm::SlotState state = shm::slot_state(word);
    if (state != shm::SlotState::kRequested && state != shm::SlotState::kCancelled) continue;
    // ORDER slot_position: makes `ring` visible; pairs with the release in Mailbox::announce().
    const uint64_t position = slot.position.load(std::memory_order_acquire);
    if (position == shm::kNotCommitted) continue;
    const uint32_t ring_untrusted = slot.ring;
    if (ring_untrusted >= rings.size()) continue;
    if (is_lost(rings[ring_untrusted], position)) shm::fail_slot(slot, word);
  }
}

}  // namespace

void fail_consumed_requests(const shm::ServiceSegment& segment,
                            const std::vector<store::RingState>& rings) {
  fail_requests(segment, rings, [](const store::RingState& ring, uint64_t position) {
    return position <= ring.position;
  });
}

void fail_poisoned_requests(const shm::ServiceSegment& segment,
                            const std::vector<store::RingState>& rings) {
  fail_requests(segment, rings, [](const store::RingState& ring, uint64_t position) {
    return !ring.poisoned.empty() && position > ring.position;
  });
}

}  // namespace ringlog::service
