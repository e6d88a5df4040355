#pragma once
// The text to learn, read once into symbols: printable ASCII and the newline. The end of each file
// is held out for evaluation; the rest is cut into one shard per rank. Immutable once read.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include "model.h"

namespace train {

// Decides what a rank draws at a step from what is asked alone, so that a restarted rank draws the
// same batch again. (SplitMix64.)
inline std::uint64_t mix(std::uint64_t value) {
  value += 0x9e3779b97f4a7c15u;
  value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9u;
  value = (value ^ (value >> 27)) * 0x94d049bb133111ebu;
  return value ^ (value >> 31);
}

inline Symbol to_symbol(char character) {
  if (character >= ' ' && character <= '~') return static_cast<Symbol>(character - ' ');
  if (character == '\n') return kVocabulary - 1;
  return character == '\t' || character == '\r' || character == '\f' ? to_symbol(' ')
                                                                     : to_symbol('?');
}

inline char to_character(Symbol symbol) {
  return symbol == kVocabulary - 1 ? '\n' : static_cast<char>(' ' + symbol);
}

class Corpus {
 public:
  // Reads every regular file of `directory`, in the order of their names. Symbolic links are left
  // out: in /usr/share/common-licenses they repeat a file under a second name. Throws
  // std::runtime_error when there is too little to learn from.
  explicit Corpus(const std::string& directory) {
    namespace fs = std::filesystem;
    std::error_code error;
    std::vector<fs::path> paths;
    for (const auto& entry : fs::directory_iterator(directory, error)) {
      if (entry.is_regular_file() && !entry.is_symlink()) paths.push_back(entry.path());
    }
    if (error) throw std::runtime_error("cannot read " + directory + ": " + error.message());
    std::sort(paths.begin(), paths.end());
    for (const fs::path& path : paths) read(path);
    if (size() < kSizeMin) {
      throw std::runtime_error(directory + " holds " + std::to_string(size()) +
                               " characters of text; training needs " + std::to_string(kSizeMin));
    }
  }

  // The part that only this rank learns from.
  std::span<const Symbol> shard(std::size_t rank, std::size_t rank_count) const {
    const std::size_t size = training_.size() / rank_count;
    return std::span(training_).subspan(rank * size, size);
  }

  // The part that no rank learns from: the end of each file.
  std::span<const Symbol> held_out() const { return held_out_; }

  std::size_t size() const { return training_.size() + held_out_.size(); }

 private:
  static constexpr std::size_t kSizeMin = 20'000;

  void read(const std::filesystem::path& path) {
    std::ifstream file(path, std::ios::binary);
    const std::string text(std::istreambuf_iterator<char>(file), {});
    const auto cut = text.begin() + static_cast<std::ptrdiff_t>(text.size() / 20 * 19);
    std::transform(text.begin(), cut, std::back_inserter(training_), to_symbol);
    std::transform(cut, text.end(), std::back_inserter(held_out_), to_symbol);
  }

  std::vector<Symbol> training_;
  std::vector<Symbol> held_out_;
};

}  // namespace train
