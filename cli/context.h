#pragma once
// Context: what every command is handed: where runs are, how to print, and how to fail.
//
// Made once in main(); used by one thread.

#include <ringlog/reader.h>
#include <ringlog/result.h>

#include <cstddef>
#include <string>
#include <string_view>

#include "cli/json.h"
#include "cli/output.h"
#include "cli/style.h"

namespace ringlog::cli {

inline constexpr int kExitOk = 0;
inline constexpr int kExitFailed = 1;
inline constexpr int kExitUsage = 2;

struct Context {
  std::string root;  // absolute path of the folder that holds the runs
  Style style;       // of standard output
  bool is_json = false;
  Output& out;  // standard output
};

// What the terminal on `fd` can show: NO_COLOR, TERM and the locale decide.
Style detect_style(int fd);

// The root folder: `argument` (of --dir) if there is one, else the setting `dir` of all layers.
//   kInvalidArgument  a setting that cannot be used
Result<std::string> find_root(const std::string& argument);

// Messages for people, on standard error.
void say(std::string_view message);
// Says the error; the exit code for it.
int fail(const Error& error);

// Prints a document on standard output.
void print_json(Context& context, const Json& document);

// The run that the user named, opened for reading as any program would.  When the running service
// has it open, everything committed before this call is in the view; waits at most half a second
// for that.  Says on standard error what of the store is damaged, as far as opening it shows.
// Errors as ringlog::open.
Result<RunReader> open_run(const Context& context, const std::string& name);

// Says what of the store is damaged, but for the first `said_count` lines.  Chunks that cannot be
// used are known once rows were read.
void say_damage(const RunReader& run, size_t said_count);

}  // namespace ringlog::cli
