// libringlog_in_process.so: a service for the program that loads it; client/in_process_module.h.

#include "client/in_process_module.h"
#include "daemon/guest.h"

#include <ringlog/export.h>
#include <ringlog/version.h>

#include <algorithm>
#include <cstring>
#include <exception>
#include <string>

namespace {

using ringlog::service::Guest;

void say(const std::string& text, char* error, size_t error_size) {
  if (error_size == 0) return;
  const size_t size = std::min(text.size(), error_size - 1);
  std::memcpy(error, text.data(), size);
  error[size] = '\0';
}

void* start(const char* runtime_dir, char* error, size_t error_size) {
  try {
    auto guest = Guest::start(runtime_dir);
    if (guest) return guest->release();
    say(guest.error().message, error, error_size);
  } catch (const std::exception& e) {
    say(e.what(), error, error_size);
  }
  return nullptr;
}

void stop(void* service) { delete static_cast<Guest*>(service); }

}  // namespace

extern "C" RINGLOG_API const RinglogInProcess ringlog_in_process;
const RinglogInProcess ringlog_in_process = {RINGLOG_VERSION, start, stop};
