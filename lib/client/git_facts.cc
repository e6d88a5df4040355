#include "client/git_facts.h"

#include <sys/stat.h>

#include <filesystem>
#include <map>
#include <optional>
#include <string_view>

#include "client/redact.h"
#include "shm/posix.h"

namespace ringlog::client {

namespace {

namespace fs = std::filesystem;

// Of HEAD, a ref, the config; packed-refs of a large repository are large too.
constexpr size_t kSmallFileMax = size_t{16} << 10;
constexpr size_t kPackedRefsMax = size_t{1} << 20;
constexpr size_t kTextMax = 1024;

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kSpace = " \t\r\n";
  const size_t begin = text.find_first_not_of(kSpace);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(kSpace) - begin + 1);
}

std::optional<std::string> read_line(const fs::path& path) {
  auto text = shm::read_file(path.string(), kSmallFileMax);
  if (!text) return std::nullopt;
  return std::string(trimmed(*text));
}

// The folder that `.git` is or points to; nothing: `.git` is neither.
std::optional<fs::path> git_dir(const fs::path& root) {
  const fs::path place = root / ".git";
  struct stat info {};
  if (::stat(place.c_str(), &info) != 0) return std::nullopt;
  if (S_ISDIR(info.st_mode)) return place;
  const auto line = read_line(place);
  constexpr std::string_view kPointer = "gitdir: ";
  if (!line || !line->starts_with(kPointer)) return std::nullopt;
  return root / line->substr(kPointer.size());
}

bool is_hash(std::string_view text) {
  return text.size() >= 40 && text.size() <= 64 &&
         text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

std::string packed_ref(const fs::path& common, std::string_view ref) {
  auto text = shm::read_file((common / "packed-refs").string(), kPackedRefsMax);
  if (!text) return {};
  const std::string wanted = " " + std::string(ref) + "\n";
  const size_t at = text->find(wanted);
  if (at == std::string::npos) return {};
  const size_t begin = text->rfind('\n', at) + 1;  // npos + 1 is the file's beginning
  return text->substr(begin, at - begin);
}

// A ref may name another one; four times is more than git itself makes.
std::string resolve(const fs::path& dir, const fs::path& common, std::string ref) {
  constexpr std::string_view kSymbolic = "ref: ";
  for (int depth = 0; depth < 4; ++depth) {
    auto line = read_line(dir / ref);
    if (!line) line = read_line(common / ref);
    if (!line) return packed_ref(common, ref);
    if (is_hash(*line)) return *line;
    if (!line->starts_with(kSymbolic)) return {};
    ref = line->substr(kSymbolic.size());
  }
  return {};
}

// "section.name" → value, of the plain lines that git itself writes.
std::map<std::string, std::string> read_config(const fs::path& common) {
  std::map<std::string, std::string> values;
  auto text = shm::read_file((common / "config").string(), kSmallFileMax);
  if (!text) return values;
  std::string section;
  for (std::string_view rest = *text; !rest.empty();) {
    const size_t end = std::min(rest.find('\n'), rest.size());
    const std::string_view line = trimmed(rest.substr(0, end));
    rest.remove_prefix(std::min(end + 1, rest.size()));
    const size_t equals = line.find('=');
    if (line.starts_with('[')) {
      section = line.substr(1, line.find(']') - 1);
    } else if (equals != std::string_view::npos) {
      values[section + "." + std::string(trimmed(line.substr(0, equals)))] =
          trimmed(line.substr(equals + 1));
    }
  }
  return values;
}

std::string remote_of(const fs::path& common, const std::string& branch) {
  const auto config = read_config(common);
  const auto named = config.find("branch \"" + branch + "\".remote");
  const std::string remote = named == config.end() ? "origin" : named->second;
  const auto url = config.find("remote \"" + remote + "\".url");
  return url == config.end() ? "" : without_credentials(url->second);
}

}  // namespace

record::GitFacts read_git(const std::string& directory) {
  record::GitFacts facts;
  std::error_code error;
  fs::path root = fs::absolute(directory, error);
  std::optional<fs::path> dir;
  while (!(dir = git_dir(root))) {
    if (!root.has_relative_path()) return facts;
    root = root.parent_path();
  }
  const auto head = read_line(*dir / "HEAD");
  if (!head) return facts;
  const auto pointer = read_line(*dir / "commondir");
  const fs::path common = pointer ? *dir / *pointer : *dir;
  facts.root = as_utf8(root.string(), kTextMax);
  constexpr std::string_view kBranch = "ref: refs/heads/";
  if (head->starts_with(kBranch)) facts.branch = as_utf8(head->substr(kBranch.size()), kTextMax);
  facts.commit = as_utf8(resolve(*dir, common, "HEAD"), kTextMax);
  facts.remote = as_utf8(remote_of(common, facts.branch), kTextMax);
  return facts;
}

}  // namespace ringlog::client
