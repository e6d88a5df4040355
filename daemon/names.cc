#include "daemon/names.h"

#include "daemon/limits.h"
#include "record/path.h"
#include "shm/posix.h"

namespace ringlog::service {

namespace {

std::string shown(std::string_view text) {
  std::string out = "\"";
  for (const char c : text.substr(0, kNameSizeMax)) {
    const auto byte = static_cast<unsigned char>(c);
    out += byte < 0x20 || byte == 0x7f ? '?' : c;
  }
  return out + "\"";
}

Status check_name(const char* field, std::string_view name, std::string_view forbidden) {
  const auto refuse = [&](const std::string& why) -> Status {
    return Error{Code::kInvalidArgument, std::string(field) + " " + shown(name) + " " + why};
  };
  if (name.empty() || name.size() > kNameSizeMax) {
    return refuse("has " + std::to_string(name.size()) + " bytes; 1 to " +
                  std::to_string(kNameSizeMax) + " are allowed");
  }
  if (name == "." || name == "..") return refuse("is the name of a folder of the system");
  for (const char c : name) {
    if (forbidden.find(c) != std::string_view::npos) {
      return refuse("holds '" + std::string(1, c) + "'; none of " + std::string(forbidden) +
                    " is allowed");
    }
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7f) return refuse("holds a control character");
  }
  if (!record::is_utf8(name)) return refuse("is not UTF-8");
  return Done{};
}

}  // namespace

Status check_run_id(std::string_view run_id) { return check_name("run_id", run_id, ":;,#?/\\'"); }

Status check_project(std::string_view project) { return check_name("project", project, "/\\#?%:"); }

Status check_root(std::string_view root) {
  if (root.empty() || root.front() != '/' || root.find('\0') != std::string_view::npos) {
    return Error{Code::kInvalidArgument, "dir " + shown(root) + " is not an absolute path"};
  }
  return Done{};
}

std::string new_run_id() {
  constexpr std::string_view kLetters = "abcdefghijklmnopqrstuvwxyz0123456789";
  constexpr size_t kSize = 8;
  std::string id;
  // 32 hexadecimal digits are 128 random bits; eight letters need 42 of them.
  uint64_t bits = stable_hash(shm::random_uuid());
  for (size_t i = 0; i < kSize; ++i) {
    id += kLetters[bits % kLetters.size()];
    bits /= kLetters.size();
  }
  return id;
}

uint64_t stable_hash(std::string_view text) {
  uint64_t hash = 0xcbf29ce484222325;
  for (const char c : text) {
    hash ^= static_cast<unsigned char>(c);
    hash *= 0x100000001b3;
  }
  return hash;
}

}  // namespace ringlog::service
