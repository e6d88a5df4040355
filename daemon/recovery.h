#pragma once
// Recovery: the segments that an earlier service left in the segment folder.
//
// Plain functions; main() and the control thread.

#include "shm/layout.h"
#include "shm/posix.h"
#include "shm/segment.h"
#include "store/model.h"

#include <ringlog/result.h>

#include <functional>
#include <set>
#include <string>
#include <vector>

namespace ringlog::service {

struct FoundSegment {
  shm::Fd fd;
  std::string path;  // empty: a memfd that a client handed back
  shm::SegmentHeader header;
};

struct FoundSegments {
  std::vector<FoundSegment> segments;
  std::set<std::string> unread;  // uuids of those that cannot be read now and are to be tried again
};

// True for the uuid of a segment that needs not be looked at.
using IsKnown = std::function<bool(const std::string& uuid)>;

// All segments in both places that are not known.  Half-made ones are removed; those of another
// layout version are left for a service that can read them; those that fail for want of descriptors
// or memory are left for the next look, because their processes may be alive; all others that
// cannot be read are renamed to *.bad.  All are logged.  An overflow folder that does not exist or
// is not ours alone holds none.
//   kIo, kNotFound, kPermission  a folder cannot be read
Result<FoundSegments> find_segments(const shm::SegmentPlaces& places, const IsKnown& is_known = {});
// Adds the segment in a file to what was found, if it can be read; else as above.
void find_segment(const std::string& path, FoundSegments& found);
// Gets a segment out of the way of later services; logged with `why`.
void move_aside(const std::string& path, const std::string& why);

// Opens a segment and checks its header, the names in it included.  kCorrupt, kVersion, kIo
Result<FoundSegment> read_segment(shm::Fd fd, const std::string& path);

// What the header says of its producer: for a segment that the store knows nothing of yet.
store::ProducerState state_of(const shm::SegmentHeader& header);

// Fails the requests that this service will never see, because they stand before the positions from
// which it reads on.
void fail_consumed_requests(const shm::ServiceSegment& segment,
                            const std::vector<store::RingState>& rings);

// Fails the requests behind the positions at which rings were given up: nobody will ever read them.
// Also those whose record is still being written.
void fail_poisoned_requests(const shm::ServiceSegment& segment,
                            const std::vector<store::RingState>& rings);

}  // namespace ringlog::service
