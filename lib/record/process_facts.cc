#include "record/process_facts.h"

namespace ringlog::record {

namespace {

std::string to_string(capnp::Text::Reader text) { return {text.begin(), text.size()}; }

NamedTexts read_named(capnp::List<schema::Named>::Reader list) {
  NamedTexts out;
  for (const auto named : list) {
    out.emplace_back(to_string(named.getName()), to_string(named.getValue()));
  }
  return out;
}

}  // namespace

ProcessFacts read_process(schema::Process::Reader in) {
  ProcessFacts out;
  out.executable = to_string(in.getExecutable());
  out.build_id = to_string(in.getBuildId());
  for (const auto word : in.getCommand()) out.command.push_back(to_string(word));
  out.directory = to_string(in.getDirectory());
  out.user = to_string(in.getUser());
  out.system = to_string(in.getSystem());
  out.cpus = in.getCpus();
  out.environment = read_named(in.getEnvironment());
  out.container = read_named(in.getContainer());
  const auto git = in.getGit();
  out.git = {to_string(git.getRoot()), to_string(git.getCommit()), to_string(git.getBranch()),
             to_string(git.getRemote())};
  for (const auto setting : in.getSettings()) {
    out.settings.push_back({to_string(setting.getName()), to_string(setting.getValue()),
                            to_string(setting.getOrigin())});
  }
  return out;
}

}  // namespace ringlog::record
