#include "memory.h"

#include <algorithm>
#include <bit>
#include <stdexcept>

namespace ringlog::model {

uint64_t mix(uint64_t hash, uint64_t value) {
  // The additive constant keeps sequences of zeros of different lengths apart.
  hash = (hash ^ value) + 0x9e3779b97f4a7c15ULL;
  hash = (hash ^ (hash >> 30)) * 0xbf58476d1ce4e5b9ULL;
  return hash ^ (hash >> 27);
}

void View::join_times(const View& other) {
  for (size_t i = 0; i < time.size(); ++i) time[i] = std::max(time[i], other.time[i]);
}

void View::join(const View& other) {
  join_times(other);
  for (size_t i = 0; i < clock.size(); ++i) clock[i] = std::max(clock[i], other.clock[i]);
}

void Memory::add_location(size_t location, uint64_t initial) {
  if (location >= kLocationsMax) throw std::logic_error("model: too many atomics");
  while (locations_.size() <= location) locations_.emplace_back();
  if (locations_[location].empty()) locations_[location].push_back({initial, false, {}});
}

std::vector<Choice> Memory::readable(size_t thread, size_t location) const {
  std::vector<Choice> choices;
  const size_t oldest = threads_[thread].current.time[location];
  for (size_t i = oldest; i < locations_[location].size(); ++i) choices.push_back({i, 0});
  return choices;
}

std::vector<Choice> Memory::writable(size_t thread, size_t location) const {
  std::vector<Choice> choices;
  const std::vector<Message>& messages = locations_[location];
  for (size_t i = threads_[thread].current.time[location] + size_t{1}; i <= messages.size(); ++i) {
    if (i == messages.size() || !messages[i].is_exchange) choices.push_back({0, i});
  }
  return choices;
}

bool Memory::is_exchangeable(size_t location, const Choice& choice) const {
  const std::vector<Message>& messages = locations_[location];
  return choice.read + 1 == messages.size() || !messages[choice.read + 1].is_exchange;
}

uint64_t Memory::value(size_t location, const Choice& choice) const {
  return locations_[location][choice.read].value;
}

uint64_t Memory::load(size_t thread, size_t location, const Choice& choice, bool is_acquire) {
  const Message& message = locations_[location][choice.read];
  Views& views = threads_[thread];
  View own;
  own.time[location] = static_cast<uint8_t>(choice.read);
  views.current.join(own);
  views.acquired.join(own);
  views.acquired.join(message.view);
  if (is_acquire) views.current.join(message.view);
  return message.value;
}

void Memory::store(size_t thread, size_t location, const Choice& choice, uint64_t value,
                   bool is_release) {
  const Views& views = threads_[thread];
  insert(thread, location, choice.place, value, false, is_release ? views.current : views.released);
}

void Memory::exchange(size_t thread, size_t location, const Choice& choice, uint64_t value,
                      bool is_acquire, bool is_release) {
  View carried = locations_[location][choice.read].view;
  load(thread, location, choice, is_acquire);
  const Views& views = threads_[thread];
  carried.join(is_release ? views.current : views.released);
  insert(thread, location, choice.read + 1, value, true, carried);
}

void Memory::insert(size_t thread, size_t location, size_t place, uint64_t value, bool is_exchange,
                    const View& carried) {
  std::vector<Message>& messages = locations_[location];
  if (messages.size() >= 250) throw std::logic_error("model: too many stores");
  messages.insert(messages.begin() + static_cast<std::ptrdiff_t>(place),
                  {value, is_exchange, carried});
  // Later messages moved on by one, and with them what the views say of them.
  const auto shift = [&](View& view) {
    if (view.time[location] >= place) ++view.time[location];
  };
  for (auto& all : locations_) {
    for (Message& message : all) shift(message.view);
  }
  for (Views& views : threads_) {
    shift(views.current);
    shift(views.acquired);
    shift(views.released);
  }
  shift(fences_);
  View own;
  own.time[location] = static_cast<uint8_t>(place);
  messages[place].view.join(own);
  threads_[thread].current.join(own);
  threads_[thread].acquired.join(own);
}

void Memory::fence(size_t thread) {
  Views& views = threads_[thread];
  views.current = views.acquired;
  views.current.join_times(fences_);
  fences_.join_times(views.current);
  views.acquired = views.current;
  views.released = views.current;
}

Memory::PlainWord& Memory::plain(size_t word) {
  if (plain_.size() <= word) plain_.resize(word + 1);
  return plain_[word];
}

bool Memory::happened_before(size_t thread, const std::array<uint8_t, kThreadsMax>& clocks) const {
  for (size_t other = 0; other < kThreadsMax; ++other) {
    if (other != thread && clocks[other] > threads_[thread].current.clock[other]) return false;
  }
  return true;
}

bool Memory::read_plain(size_t thread, size_t word) {
  Views& views = threads_[thread];
  PlainWord& w = plain(word);
  w.read_clock[thread] = ++views.current.clock[thread];
  views.acquired.clock[thread] = views.current.clock[thread];
  return happened_before(thread, w.write_clock);
}

bool Memory::write_plain(size_t thread, size_t word) {
  Views& views = threads_[thread];
  PlainWord& w = plain(word);
  w.write_clock[thread] = ++views.current.clock[thread];
  views.acquired.clock[thread] = views.current.clock[thread];
  return happened_before(thread, w.write_clock) && happened_before(thread, w.read_clock);
}

uint64_t Memory::hash(uint64_t seed) const {
  uint64_t h = seed;
  const auto add = [&](const View& view) {
    for (const uint64_t word : std::bit_cast<std::array<uint64_t, 4>>(view)) h = mix(h, word);
  };
  for (const auto& messages : locations_) {
    h = mix(h, messages.size());
    for (const Message& message : messages) {
      h = mix(h, message.value * 2 + (message.is_exchange ? 1 : 0));
      add(message.view);
    }
  }
  for (const Views& views : threads_) {
    add(views.current);
    add(views.acquired);
    add(views.released);
  }
  add(fences_);
  for (const PlainWord& word : plain_) {
    h = mix(h, std::bit_cast<uint64_t>(word.read_clock));
    h = mix(h, std::bit_cast<uint64_t>(word.write_clock));
  }
  return h;
}

}  // namespace ringlog::model
