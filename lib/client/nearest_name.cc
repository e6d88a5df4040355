#include "client/nearest_name.h"

#include <algorithm>
#include <numeric>
#include <vector>

namespace ringlog::client {

namespace {

// Letters to add, leave out or replace (Levenshtein).
size_t distance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 0; i < a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i + 1;
    for (size_t k = 0; k < b.size(); ++k) {
      const size_t replaced = diagonal + (a[i] == b[k] ? 0 : 1);
      diagonal = row[k + 1];
      row[k + 1] = std::min({replaced, row[k] + 1, diagonal + 1});
    }
  }
  return row.back();
}

// The beginning that all variables share says nothing.
std::string_view without_prefix(std::string_view name) {
  constexpr std::string_view kPrefix = "RINGLOG_";
  return name.starts_with(kPrefix) ? name.substr(kPrefix.size()) : name;
}

}  // namespace

std::string did_you_mean(std::string_view name, std::span<const std::string> names) {
  const std::string_view written = without_prefix(name.substr(0, 64));
  std::string_view nearest;
  size_t least = written.size();
  for (const std::string& candidate : names) {
    const size_t found = distance(written, without_prefix(candidate));
    if (found < least) {
      least = found;
      nearest = candidate;
    }
  }
  if (nearest.empty() || least * 3 > without_prefix(nearest).size()) return "";
  return "; did you mean " + std::string(nearest) + "?";
}

}  // namespace ringlog::client
