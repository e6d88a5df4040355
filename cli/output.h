#pragma once
// Output: buffered text for standard output or a file, with errors that name it.
//
// A reader that went away (EPIPE) is no error: the rest is dropped quietly and is_open() tells a
// long command to stop.  A resource of one thread.

#include <ringlog/result.h>

#include <cstddef>
#include <string>
#include <string_view>

namespace ringlog::cli {

class Output {
 public:
  // Writes to `fd`, which stays the caller's; `name` is for messages.
  Output(int fd, std::string name);
  Output(const Output&) = delete;
  Output& operator=(const Output&) = delete;

  // Keeps the text and writes when enough is there.
  void write(std::string_view text);
  // The buffer itself, for callers that append many small pieces; call spill() now and then.
  std::string& buffer() { return buffer_; }
  void spill() {
    if (buffer_.size() >= kBufferSize) flush();
  }
  // Writes everything kept so far.
  void flush();
  // False once nothing more can be written.
  bool is_open() const { return is_open_; }
  // After flush(): what went wrong, if anything; kIo.
  Status status() const;

 private:
  static constexpr size_t kBufferSize = size_t{256} << 10;  // a few milliseconds of rows

  const int fd_;
  const std::string name_;
  std::string buffer_;
  bool is_open_ = true;
  int error_number_ = 0;
};

}  // namespace ringlog::cli
