// The smallest program that logs: one run, one metric, a thousand rows. `ringlog ls` shows the run,
// `ringlog plot latest loss` its curve.

#include <ringlog/ringlog.h>

int main() {
  auto run = ringlog::init({.project = "demo"});
  for (int step = 0; step < 1000; ++step) run.log({{"loss", 1.0 / (step + 1)}});
}  // run.finish(), or not
