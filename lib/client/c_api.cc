#include <ringlog/c.h>

#include <ringlog/run.h>
#include <ringlog/version.h>

#include "client/run_core.h"

#include <algorithm>
#include <cstring>
#include <exception>
#include <new>
#include <string>
#include <string_view>
#include <vector>

struct ringlog_run {
  ringlog::Run run;
};

struct ringlog_row {
  ringlog::Row row;
  size_t key_count;
};

namespace {

using ringlog::Item;
using ringlog::Value;
using ringlog::detail::RunCore;

Value value_of(const ringlog_item& item) {
  switch (item.type) {
    case RINGLOG_FLOAT64:
      return item.value.float64;
    case RINGLOG_INT64:
      return item.value.int64;
    case RINGLOG_BOOL:
      return item.value.int64 != 0;
    case RINGLOG_TEXT:
      return std::string_view(item.value.text == nullptr ? "" : item.value.text);
  }
  return nullptr;
}

std::vector<Item> items_of(const ringlog_item* items, size_t count) {
  std::vector<Item> out;
  out.reserve(count);
  for (size_t i = 0; i < count; ++i) {
    out.push_back({items[i].key == nullptr ? "" : items[i].key, value_of(items[i])});
  }
  return out;
}

// Exceptions are C++; what they would say has nowhere to go but the counters behind the call.
template <typename Body>
void guarded(Body body) noexcept {
  try {
    body();
  } catch (const std::exception&) {
  }
}

void log_items(ringlog_run* run, const ringlog_item* items, size_t count, const uint64_t* step,
               bool is_whole) {
  if (run == nullptr) return;
  guarded([&] {
    ringlog::LogOptions options;
    if (step != nullptr) options.step = *step;
    options.commit = is_whole;
    run->run.log(items_of(items, count), options);
  });
}

// Lists are separated by commas here and by lines inside.
std::string as_field(std::string_view name, std::string value) {
  if (name == "tags" || name == "sinks") std::replace(value.begin(), value.end(), ',', '\n');
  return value;
}

}  // namespace

const char* ringlog_version(void) { return RINGLOG_VERSION; }

ringlog_run* ringlog_init(const char* const* settings) {
  auto* handle = new (std::nothrow) ringlog_run;
  if (handle == nullptr) return nullptr;
  guarded([&] {
    ringlog::client::SettingFields fields;
    for (; settings != nullptr && settings[0] != nullptr && settings[1] != nullptr; settings += 2) {
      fields[settings[0]] = as_field(settings[0], settings[1]);
    }
    // A C caller cannot catch what a strict init() throws; ringlog_ok() is its answer.
    fields["strict"] = "false";
    handle->run = RunCore::make_run(RunCore::open_always(fields));
  });
  return handle;
}

int ringlog_ok(const ringlog_run* run) { return run != nullptr && run->run.ok() ? 1 : 0; }

size_t ringlog_error(const ringlog_run* run, char* buffer, size_t size) {
  const std::string text = run == nullptr ? "there is no run" : run->run.error().message;
  if (buffer != nullptr && size > 0) {
    const size_t n = std::min(text.size(), size - 1);
    std::memcpy(buffer, text.data(), n);
    buffer[n] = '\0';
  }
  return text.size();
}

const char* ringlog_id(const ringlog_run* run) { return run ? run->run.id().c_str() : ""; }
const char* ringlog_dir(const ringlog_run* run) { return run ? run->run.dir().c_str() : ""; }

void ringlog_log(ringlog_run* run, const ringlog_item* items, size_t count, const uint64_t* step) {
  log_items(run, items, count, step, true);
}

void ringlog_log_part(ringlog_run* run, const ringlog_item* items, size_t count,
                      const uint64_t* step) {
  log_items(run, items, count, step, false);
}

void ringlog_config(ringlog_run* run, const ringlog_item* items, size_t count) {
  if (run != nullptr) guarded([&] { run->run.config(items_of(items, count)); });
}

void ringlog_summary(ringlog_run* run, const ringlog_item* items, size_t count) {
  if (run != nullptr) guarded([&] { run->run.summary(items_of(items, count)); });
}

ringlog_row* ringlog_row_new(ringlog_run* run, const char* const* keys, size_t count) {
  ringlog_row* row = nullptr;
  if (run == nullptr) return row;
  guarded([&] {
    const std::vector<std::string_view> names(keys, keys + count);
    row = new ringlog_row{run->run.row(names), count};
  });
  return row;
}

void ringlog_row_log(ringlog_row* row, uint64_t step, const double* values) {
  if (row != nullptr) row->row.log_cells(step, {values, row->key_count});
}

void ringlog_row_free(ringlog_row* row) { delete row; }

int ringlog_save(ringlog_run* run, const char* pattern, ringlog_save_policy policy,
                 const char* base_path) {
  if (run == nullptr || pattern == nullptr) return static_cast<int>(ringlog::Code::kDisabled);
  int code = static_cast<int>(ringlog::Code::kIo);
  guarded([&] {
    ringlog::SaveOptions options;
    options.policy = static_cast<ringlog::SavePolicy>(policy);
    if (base_path != nullptr) options.base_path = base_path;
    const auto saved = run->run.save(pattern, options);
    code = saved ? 0 : static_cast<int>(saved.error().code);
  });
  return code;
}

int ringlog_should_stop(const ringlog_run* run) {
  return run != nullptr && run->run.should_stop() ? 1 : 0;
}

int ringlog_should_stop_at(ringlog_run* run, uint64_t step) {
  return run != nullptr && run->run.should_stop(step) ? 1 : 0;
}

int ringlog_should_checkpoint(ringlog_run* run, uint64_t step) {
  return run != nullptr && run->run.should_checkpoint(step) ? 1 : 0;
}

int ringlog_flush(ringlog_run* run, int64_t timeout_ms) {
  if (run == nullptr) return static_cast<int>(ringlog::Code::kDisabled);
  auto stored = run->run.flush(ringlog::Durability::kStored);
  // The longest wait that nanoseconds can say: 292 years.
  constexpr int64_t kWaitMaxMs = INT64_MAX / 1'000'000;
  auto positions = stored.wait(std::chrono::milliseconds(std::min(timeout_ms, kWaitMaxMs)));
  return positions ? 0 : static_cast<int>(positions.error().code);
}

void ringlog_finish(ringlog_run* run, int exit_code, ringlog_report* report) {
  if (run == nullptr) return;
  const ringlog::FinishReport result = run->run.finish(exit_code);
  if (report != nullptr) *report = {result.attempted, result.stored, result.dropped, result.sent};
}

void ringlog_free(ringlog_run* run) { delete run; }
