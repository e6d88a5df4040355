#pragma once
// The C interface: what run.h offers, for other languages.
//
//   const char* settings[] = {"project", "demo", NULL};
//   ringlog_run* run = ringlog_init(settings);
//   const char* keys[] = {"loss", "acc"};
//   ringlog_row* row = ringlog_row_new(run, keys, 2);
//   ringlog_row_log(row, step, (double[]){loss, acc});
//   ringlog_finish(run, 0, NULL);
//
// Text is UTF-8 and borrowed for the call.  Functions may be called from any thread, and never
// throw or abort.  A NULL run, row or value is a disabled one: calls on it do nothing.

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define RINGLOG_C_API __attribute__((visibility("default")))
#else
#define RINGLOG_C_API
#endif

typedef struct ringlog_run ringlog_run;
typedef struct ringlog_row ringlog_row;

typedef enum {
  RINGLOG_FLOAT64 = 1,
  RINGLOG_INT64 = 2,
  RINGLOG_BOOL = 4,
  RINGLOG_TEXT = 5
} ringlog_type;

/* One key and its value; `type` says which member holds it. */
typedef struct {
  const char* key;
  ringlog_type type;
  union {
    double float64;
    int64_t int64; /* also for RINGLOG_BOOL: 0 or 1 */
    const char* text;
  } value;
} ringlog_item;

typedef struct {
  uint64_t attempted; /* rows: log calls, dropped ones included */
  uint64_t stored;
  uint64_t dropped;
  uint64_t sent;
} ringlog_report;

/* The release as text, e.g. "0.1.0". */
RINGLOG_C_API const char* ringlog_version(void);

/* `settings` holds name and value in turn and ends with NULL; names are those of settings.h, lists
 * are separated by commas.  NULL: none.  Always returns a run; see ringlog_ok().  Free it with
 * ringlog_free(). */
RINGLOG_C_API ringlog_run* ringlog_init(const char* const* settings);
/* 1 when logging works. */
RINGLOG_C_API int ringlog_ok(const ringlog_run* run);
/* Why it does not, or what was refused last; "" when all is well.  Copies at most `size` bytes with
 * the terminating zero and returns the whole length. */
RINGLOG_C_API size_t ringlog_error(const ringlog_run* run, char* buffer, size_t size);
RINGLOG_C_API const char* ringlog_id(const ringlog_run* run);
RINGLOG_C_API const char* ringlog_dir(const ringlog_run* run);

/* Logs one row.  `step` NULL: the row after this rank's last one. */
RINGLOG_C_API void ringlog_log(ringlog_run* run, const ringlog_item* items, size_t count,
                               const uint64_t* step);
/* The same, and more of this step follows: what is here is safe at once, as a row of its own, and
 * the next row without a step belongs to the same one. */
RINGLOG_C_API void ringlog_log_part(ringlog_run* run, const ringlog_item* items, size_t count,
                                    const uint64_t* step);
RINGLOG_C_API void ringlog_config(ringlog_run* run, const ringlog_item* items, size_t count);
RINGLOG_C_API void ringlog_summary(ringlog_run* run, const ringlog_item* items, size_t count);

/* A fixed set of float64 keys; free it with ringlog_row_free(). */
RINGLOG_C_API ringlog_row* ringlog_row_new(ringlog_run* run, const char* const* keys, size_t count);
/* `values` holds one double per key. */
RINGLOG_C_API void ringlog_row_log(ringlog_row* row, uint64_t step, const double* values);
RINGLOG_C_API void ringlog_row_free(ringlog_row* row);

/* When a file is copied into the run's folder: before the call returns; by the service some seconds
 * after each change and when the process ends; by the service when the process ends. */
typedef enum {
  RINGLOG_SAVE_NOW = 0,
  RINGLOG_SAVE_LIVE = 1,
  RINGLOG_SAVE_END = 2
} ringlog_save_policy;
/* Keeps the files that a pattern names; `base_path` (NULL: none) as in run.h.  0, or a Code of
 * result.h. */
RINGLOG_C_API int ringlog_save(ringlog_run* run, const char* pattern, ringlog_save_policy policy,
                               const char* base_path);

/* 1 once somebody asked the run to stop. */
RINGLOG_C_API int ringlog_should_stop(const ringlog_run* run);
/* The same for ranks that work in step: 1 from the step on that the service gave all of them.  Call
 * it once a step. */
RINGLOG_C_API int ringlog_should_stop_at(ringlog_run* run, uint64_t step);
/* 1 once for each `ringlog checkpoint`, at the step that the service gave all ranks. */
RINGLOG_C_API int ringlog_should_checkpoint(ringlog_run* run, uint64_t step);
/* Waits until everything logged so far is stored, at most `timeout_ms`.  0: stored; otherwise a
 * Code of result.h. */
RINGLOG_C_API int ringlog_flush(ringlog_run* run, int64_t timeout_ms);
/* Ends this process's part; `report` may be NULL. */
RINGLOG_C_API void ringlog_finish(ringlog_run* run, int exit_code, ringlog_report* report);
/* Finishes with exit code 0 if that was not done, and frees. */
RINGLOG_C_API void ringlog_free(ringlog_run* run);

#ifdef __cplusplus
}
#endif
