#pragma once
// Notices: sentences of the service for whoever runs the program, without a thread that waits for
// them.
//
// The service writes the newest one into the segment; the process looks at the serial on its slow
// paths, a few times a second while it logs, and says what is new.  One writer at a time; any
// number of readers.

#include "shm/layout.h"

#include <array>
#include <optional>
#include <string>
#include <string_view>

namespace ringlog::shm {

// Cuts what is longer than the words hold, at a whole UTF-8 character.
void write_notice(NoticeWords& words, std::string_view text);

// The newest notice, unless it is the one with the serial `seen` or is being written; sets `seen`.
std::optional<std::string> read_notice(const NoticeWords& words, uint32_t& seen);
// The same into the caller's memory, allocating nothing; how much of it is text.
using NoticeText = std::array<char, sizeof NoticeWords::text>;
std::optional<size_t> read_notice(const NoticeWords& words, uint32_t& seen, NoticeText& text);

}  // namespace ringlog::shm
