// A training job of several processes that log to one run: a character model, data-parallel, one
// rank of which is killed half-way and comes back. Started by hand it is the launcher; started with
// RANK in its environment, as a launcher does, it is one rank. train/worker.h shows the logging.

#include <fcntl.h>

#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <stdexcept>
#include <string>

#include "train/corpus.h"
#include "train/launcher.h"
#include "train/options.h"
#include "train/worker.h"

namespace {

std::size_t read_variable(const char* name, std::size_t high) {
  const char* text = std::getenv(name);
  if (text == nullptr) {
    throw train::UsageError(std::string("RANK is set but ") + name +
                            " is not: unset RANK to let this program start its own ranks");
  }
  return train::parse_number(name, text, 0, high);
}

// The service that the first rank starts must not inherit these.
int inherited_fd(const char* name) {
  const int fd = static_cast<int>(read_variable(name, 1'000'000));
  train::check(fcntl(fd, F_SETFD, FD_CLOEXEC), name);
  return fd;
}

int run_rank(const train::Options& options) {
  const train::Place place{.rank = read_variable("RANK", options.rank_count - 1),
                           .rank_count = options.rank_count,
                           .attempt = read_variable("TORCHELASTIC_RESTART_COUNT", 1000),
                           .state_fd = inherited_fd(train::kStateFdVariable),
                           .halfway_fd = inherited_fd(train::kHalfwayFdVariable)};
  train::Worker worker(options, place);
  return worker.run();
}

}  // namespace

int main(int argc, char** argv) {
  try {
    const train::Options options = train::parse_options(argc, argv);
    if (options.help) {
      std::fputs(train::kUsage, stdout);
      return 0;
    }
    if (std::getenv("RANK") != nullptr) return run_rank(options);
    const train::Corpus readable(options.text_directory);  // Else every rank would say it is not.
    return train::Launcher(options, argv).run();
  } catch (const train::UsageError& error) {
    std::fprintf(stderr, "train: %s\n\n%s", error.what(), train::kUsage);
    return 2;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "train: %s\n", error.what());
    return 1;
  }
}
