#include "daemon/tidier.h"

#include <cstdint>
#include <limits>
#include <utility>

namespace ringlog::service {

void Tidier::close(std::unique_ptr<store::Store> store, std::function<void()> done) {
  // A std::function must be copyable, so the store travels in a shared box.
  auto box = std::make_shared<std::unique_ptr<store::Store>>(std::move(store));
  queue_.post([this, box, done = std::move(done)] {
    if (!is_stopping_.load(std::memory_order_relaxed)) (*box)->tidy();
    box->reset();
    done();
  });
}

void Tidier::run() {
  do {
    queue_.wait(0, std::numeric_limits<int64_t>::max());
  } while (queue_.run());
}

void Tidier::stop() {
  is_stopping_.store(true, std::memory_order_relaxed);
  queue_.stop();
}

}  // namespace ringlog::service
