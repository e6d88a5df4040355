// doctor: what is wrong with this machine, or with a run.

#include <fmt/format.h>

#include <algorithm>

#include "cli/commands.h"
#include "cli/doctor.h"
#include "cli/format.h"

namespace ringlog::cli {

namespace {

std::string_view word_of(Health health) {
  switch (health) {
    case Health::kOk:
      return "ok";
    case Health::kWarn:
      return "warn";
    case Health::kFail:
      return "FAIL";
  }
  return "";
}

Ink ink_of(Health health) {
  switch (health) {
    case Health::kOk:
      return Ink::kGreen;
    case Health::kWarn:
      return Ink::kYellow;
    case Health::kFail:
      return Ink::kRed;
  }
  return Ink::kPlain;
}

Json document_of(const Findings& findings, bool is_ok) {
  Json checks = Json::array();
  for (const Finding& finding : findings) {
    std::string status(word_of(finding.health));
    if (finding.health == Health::kFail) status = "fail";
    checks.push_back({{"check", finding.check},
                      {"status", std::move(status)},
                      {"found", finding.text},
                      {"remedy", finding.remedy}});
  }
  return {{"ok", is_ok}, {"checks", std::move(checks)}};
}

std::string page_of(const Findings& findings, const Style& style) {
  size_t width = 0;
  for (const Finding& finding : findings) width = std::max(width, finding.check.size());
  std::string page;
  for (const Finding& finding : findings) {
    const std::string word = fmt::format("{:<4}", word_of(finding.health));
    page += fmt::format("{}  {:<{}}  {}\n", paint(style, ink_of(finding.health), word),
                        finding.check, width, printable(finding.text));
    if (finding.remedy.empty()) continue;
    page += fmt::format("{:<{}}  {} {}\n", "", width + 6, style.is_ascii ? "->" : "→",
                        printable(finding.remedy));
  }
  return page;
}

}  // namespace

int run_doctor(Context& context, const DoctorOptions& options) {
  Findings findings;
  if (options.run.empty()) {
    check_runtime_dir(findings);
    check_system(findings);
    check_service(findings);
    check_root(context.root, findings);
  } else {
    check_run(context, options.run, findings);
  }
  const auto count = [&](Health health) {
    return static_cast<uint64_t>(
        std::count_if(findings.begin(), findings.end(),
                      [health](const Finding& finding) { return finding.health == health; }));
  };
  const uint64_t failed = count(Health::kFail);
  if (context.is_json) {
    print_json(context, document_of(findings, failed == 0));
  } else {
    context.out.write(page_of(findings, context.style));
    context.out.write(fmt::format("{}, {}\n", format_plural(failed, "failure"),
                                  format_plural(count(Health::kWarn), "warning")));
  }
  return failed == 0 ? kExitOk : kExitFailed;
}

}  // namespace ringlog::cli
