#pragma once
// Loop: what the control thread's event loop offers to the objects that live on it, so that they
// need not know which event loop it is.
//
// post() from any thread; everything else, and all callbacks, on the control thread.

#include <cstdint>
#include <functional>
#include <memory>

namespace ringlog::service {

class Loop {
 public:
  virtual ~Loop() = default;
  // Runs `task` soon.
  virtual void post(std::function<void()> task) = 0;
  // Runs `task` once, in `delay_ms`.
  virtual void after(int64_t delay_ms, std::function<void()> task) = 0;
  // Calls `ready` once when `fd` becomes readable, unless the watch was destroyed before.  `fd` has
  // no other watch.  nullptr: the kernel has no room for another one; the caller looks by itself.
  class Watch {
   public:
    virtual ~Watch() = default;
  };
  virtual std::unique_ptr<Watch> when_readable(int fd, std::function<void()> ready) = 0;
};

}  // namespace ringlog::service
