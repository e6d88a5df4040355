#include "daemon/opener.h"

#include "daemon/log.h"
#include "shm/posix.h"
#include "store/reader.h"

#include <limits>

namespace ringlog::service {

namespace {

// What an earlier service has not copied to the end.
std::vector<store::RunFile> read_open_files(const std::string& dir) {
  auto reader = store::RunReader::open(dir);
  auto files = reader ? (*reader)->files() : Result<std::vector<store::RunFile>>(reader.error());
  if (!files) {
    log().warn("files of {} are not kept on: {}", dir, files.error().message);
    return {};
  }
  std::erase_if(*files, [](const store::RunFile& file) { return file.facts.is_final; });
  return std::move(*files);
}

// What the live summary goes on from, where the lanes end, and which ids are taken.
void read_rows(const std::string& dir, OpenedRun& opened) {
  auto reader = store::RunReader::open(dir);
  auto facts = reader ? (*reader)->summary_facts() : Result<store::SummaryFacts>(reader.error());
  if (facts) {
    opened.facts = std::move(*facts);
  } else {
    log().warn("the live summary begins anew: {}", facts.error().message);
  }
  auto ends = reader ? (*reader)->ends() : Result<store::Cursors>(reader.error());
  if (ends) {
    opened.ends = std::move(*ends);
  } else {
    log().warn("rows that were lost are waited for by flush(kSent): {}", ends.error().message);
  }
  auto last_ids = reader ? (*reader)->last_ids() : Result<store::LastIds>(reader.error());
  if (last_ids) {
    opened.last_ids = *last_ids;
  } else {
    log().warn("ids of rows that cannot be read may be given away again: {}",
               last_ids.error().message);
  }
}

Opener::Opened open_run(const std::string& dir) {
  auto opened = std::make_shared<OpenedRun>();
  auto store = store::Store::open(dir);
  if (!store) return store.take_error();
  opened->store = std::move(*store);
  if (Status s = shm::make_directories(dir + "/files", 0700); !s) return s.take_error();
  auto meta = opened->store->meta();
  if (!meta) return meta.take_error();
  opened->meta = std::move(*meta);
  auto producers = opened->store->producers();
  if (!producers) return producers.take_error();
  opened->producers = std::move(*producers);
  auto key_sets = opened->store->key_sets();
  if (!key_sets) return key_sets.take_error();
  opened->key_sets = std::move(*key_sets);
  // Also where nobody is known: a repair may have lost the processes and kept their rows.
  read_rows(dir, *opened);
  if (!opened->producers.empty()) opened->files = read_open_files(dir);
  return opened;
}

}  // namespace

void Opener::open(std::string dir, Done done) {
  queue_.post([this, dir = std::move(dir), done = std::move(done)] {
    if (!is_stopping_.load(std::memory_order_relaxed)) done(open_run(dir));
  });
}

void Opener::run() {
  do {
    queue_.wait(0, std::numeric_limits<int64_t>::max());
  } while (queue_.run());
}

void Opener::stop() {
  is_stopping_.store(true, std::memory_order_relaxed);
  queue_.stop();
}

}  // namespace ringlog::service
