#pragma once
// ProcessFacts: what surrounds a process that logs, as its record holds it.
//
// Plain values and a plain function.

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "schema/record.capnp.h"

namespace ringlog::record {

using NamedTexts = std::vector<std::pair<std::string, std::string>>;

struct GitFacts {
  std::string root{};    // of the work tree; empty: there is none
  std::string commit{};  // hexadecimal; empty: there is none yet
  std::string branch{};  // empty: none is checked out
  std::string remote{};  // a URL without credentials
  bool operator==(const GitFacts&) const = default;
};

struct SettingFact {
  std::string name;
  std::string value;
  std::string origin;
  bool operator==(const SettingFact&) const = default;
};

struct ProcessFacts {
  std::string executable{};
  std::string build_id{};  // hexadecimal
  std::vector<std::string> command{};
  std::string directory{};
  std::string user{};
  std::string system{};
  uint32_t cpus = 0;
  NamedTexts environment{};
  NamedTexts container{};
  GitFacts git{};
  std::vector<SettingFact> settings{};
  bool operator==(const ProcessFacts&) const = default;
};

// Throws kj::Exception when the message is malformed.
ProcessFacts read_process(schema::Process::Reader in);

}  // namespace ringlog::record
