// A run in a static of a function, or in a global with an initialiser: it is destroyed after
// main(). Logs a row and leaves by exit() with the code of its argument.

#include <ringlog/ringlog.h>

#include <cstdlib>
#include <string>

namespace {

ringlog::Run& static_run() {
  static ringlog::Run run = ringlog::init({.run_id = "static"});
  return run;
}

ringlog::Run g_run = ringlog::init({.run_id = "global"});

}  // namespace

int main(int argc, char** argv) {
  g_run.log({{"loss", 1.0}});
  static_run().log({{"loss", 1.0}});
  std::exit(argc > 1 ? std::stoi(argv[1]) : 0);
}
