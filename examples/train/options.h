#pragma once
// The command line of the training example: what a person may choose, and clear refusals of the
// rest. The launcher hands its arguments on unchanged, so launcher and ranks read the same options.

#include <charconv>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>

namespace train {

// The shared state has room for this many ranks.
inline constexpr std::size_t kRankCountMax = 16;

struct Options {
  std::size_t rank_count = 4;
  std::size_t step_count = 12'000;
  std::optional<std::size_t> kill_rank = 2;  // Who is killed half-way; nobody when empty.
  std::uint64_t seed = 1;
  std::string project = "quickstart";
  std::string text_directory = "/usr/share/common-licenses";
  bool help = false;
};

inline constexpr const char* kUsage =
    "usage: train [options]\n"
    "\n"
    "Trains a character model on the texts of a directory, with several processes that log to one\n"
    "run. One of them is killed half-way and started again. The run's id goes to stdout.\n"
    "\n"
    "  --ranks N          processes that train together, 1 to 16 (4)\n"
    "  --steps N          steps to train (12000)\n"
    "  --kill-rank R      the rank that gets SIGKILL half-way, or `none` (2)\n"
    "  --seed N           of the first weights and of the batches (1)\n"
    "  --project NAME     of the run (quickstart)\n"
    "  --text DIRECTORY   what to learn (/usr/share/common-licenses)\n"
    "  --help             this text\n";

// Thrown for arguments that make no sense; its text is for the person who typed them.
struct UsageError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

inline std::uint64_t parse_number(std::string_view option, std::string_view text, std::uint64_t low,
                                  std::uint64_t high) {
  std::uint64_t value = 0;
  const char* end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc{} || rest != end || value < low || value > high) {
    throw UsageError(std::string(option) + " takes a number from " + std::to_string(low) + " to " +
                     std::to_string(high) + ", not '" + std::string(text) + "'");
  }
  return value;
}

inline void set_option(Options& options, std::string_view name, std::string_view value) {
  if (name == "--ranks") {
    options.rank_count = parse_number(name, value, 1, kRankCountMax);
  } else if (name == "--steps") {
    options.step_count = parse_number(name, value, 1, 1'000'000'000);
  } else if (name == "--kill-rank") {
    options.kill_rank.reset();
    if (value != "none") options.kill_rank = parse_number(name, value, 0, kRankCountMax - 1);
  } else if (name == "--seed") {
    options.seed = parse_number(name, value, 0, UINT64_MAX);
  } else if (name == "--project") {
    options.project = value;
  } else if (name == "--text") {
    options.text_directory = value;
  } else {
    throw UsageError("unknown option '" + std::string(name) + "'");
  }
}

inline Options parse_options(int argc, char** argv) {
  Options options;
  bool kill_rank_given = false;
  for (int i = 1; i < argc; ++i) {
    const std::string_view name = argv[i];
    if (name == "--help" || name == "-h") {
      options.help = true;
      return options;
    }
    if (i + 1 < argc) {
      set_option(options, name, argv[++i]);
    } else {
      set_option(options, name, "");  // Says what the option would have taken.
      throw UsageError(std::string(name) + " needs a value");
    }
    kill_rank_given |= name == "--kill-rank";
  }
  if (options.kill_rank.value_or(0) >= options.rank_count) {
    if (kill_rank_given) throw UsageError("--kill-rank names a rank that --ranks does not start");
    options.kill_rank.reset();  // A small team that nobody asked to hurt is left alone.
  }
  return options;
}

}  // namespace train
