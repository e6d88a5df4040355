#include "record/file_facts.h"

namespace ringlog::record {

FileFacts read_file(schema::File::Reader in) {
  const auto text = [](capnp::Text::Reader from) { return std::string(from.begin(), from.size()); };
  FileFacts out;
  out.name = text(in.getName());
  out.source = text(in.getSource());
  // A policy or a state of a later version is the most cautious one of this.
  const auto policy = static_cast<uint16_t>(in.getPolicy());
  out.policy = policy <= 2 ? static_cast<SavePolicy>(policy) : SavePolicy::kEnd;
  const auto state = static_cast<uint16_t>(in.getState());
  out.state = state <= 2 ? static_cast<FileState>(state) : FileState::kAsked;
  out.size = in.getSize();
  out.problem = text(in.getProblem());
  // Version 1 had only files that the process itself copied before it said so.
  out.is_final = in.getIsFinal() || out.policy == SavePolicy::kNow;
  return out;
}

}  // namespace ringlog::record
