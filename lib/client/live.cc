#include <ringlog/live.h>

#include "client/runtime_dir.h"
#include "shm/live_page.h"

namespace ringlog {

struct LiveSummary::Impl {
  std::string path;
  std::unique_ptr<shm::LivePageReader> page;
  int64_t time_ns = 0;
};

LiveSummary::LiveSummary(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
LiveSummary::LiveSummary(LiveSummary&&) noexcept = default;
LiveSummary& LiveSummary::operator=(LiveSummary&&) noexcept = default;
LiveSummary::~LiveSummary() = default;

Result<LiveSummary> LiveSummary::open(const std::string& run_dir) {
  std::string dir = run_dir;
  while (dir.size() > 1 && dir.back() == '/') dir.pop_back();
  const std::string run_id = dir.substr(dir.rfind('/') + 1);
  auto impl = std::make_unique<Impl>();
  Error why;
  for (const std::string& runtime_dir : client::runtime_dirs()) {
    impl->path = shm::live_page_path(runtime_dir, run_id, dir);
    auto page = shm::LivePageReader::open(impl->path);
    if (page) {
      impl->page = std::move(*page);
      return LiveSummary(std::move(impl));
    }
    if (why.code == Code::kOk) why = page.take_error();
  }
  return std::move(why).in("the live summary of run " + run_id);
}

Result<std::string> LiveSummary::json() {
  auto text = impl_->page->read();
  if (text && text->is_last) {
    // Maybe a later service has the run open again.
    if (auto page = shm::LivePageReader::open(impl_->path)) {
      impl_->page = std::move(*page);
      text = impl_->page->read();
    }
  }
  if (!text) return text.take_error();
  impl_->time_ns = text->time_ns;
  return std::move(text->text);
}

int64_t LiveSummary::time_ns() const { return impl_->time_ns; }

}  // namespace ringlog
