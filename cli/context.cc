#include "cli/context.h"

#include <langinfo.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <utility>
#include <vector>

#include "client/settings_layers.h"

namespace ringlog::cli {

namespace {

bool is_set(const char* variable) {
  const char* value = std::getenv(variable);
  return value != nullptr && *value != '\0';
}

}  // namespace

Style detect_style(int fd) {
  Style style;
  const char* term = std::getenv("TERM");
  const bool is_dumb = term == nullptr || std::strcmp(term, "dumb") == 0;
  style.is_terminal = ::isatty(fd) == 1;
  style.has_cursor = style.is_terminal && !is_dumb;
  style.has_colour = style.has_cursor && !is_set("NO_COLOR");
  // A file or a pipe has no TERM of its own; only the locale counts there.
  const bool is_utf8 = std::strcmp(::nl_langinfo(CODESET), "UTF-8") == 0;
  style.is_ascii = !is_utf8 || (is_dumb && term != nullptr);
  winsize size{};
  if (style.is_terminal && ::ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) {
    style.width = size.ws_col;
    style.height = size.ws_row > 0 ? size.ws_row : style.height;
  }
  return style;
}

Result<std::string> find_root(const std::string& argument) {
  if (!argument.empty()) {
    std::error_code error;
    const auto path = std::filesystem::absolute(argument, error);
    return error ? argument : path.lexically_normal().string();
  }
  auto settings = client::resolve_settings(client::SettingFields{});
  if (!settings) return settings.take_error();
  return settings->dir;
}

void say(std::string_view message) {
  std::fprintf(stderr, "ringlog: %.*s\n", static_cast<int>(message.size()), message.data());
}

int fail(const Error& error) {
  say(error.message);
  return kExitFailed;
}

void print_json(Context& context, const Json& document) { context.out.write(json_text(document)); }

Result<RunReader> open_run(const Context& context, const std::string& name) {
  auto run = open(name, {.root = context.root});
  if (run) say_damage(*run, 0);
  return run;
}

void say_damage(const RunReader& run, size_t said_count) {
  const std::vector<std::string>& damage = run.damage();
  for (size_t i = said_count; i < damage.size(); ++i) say("warning: " + damage[i]);
}

}  // namespace ringlog::cli
