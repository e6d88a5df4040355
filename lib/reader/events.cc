// Records that are no rows: RunReader::events().

#include <ringlog/reader.h>

#include <map>
#include <optional>
#include <utility>

#include "reader/impl.h"
#include "record/process_facts.h"
#include "store/row_json.h"
#include "store/tree_read.h"

namespace ringlog {

namespace {

std::string text_of(capnp::Text::Reader text) { return {text.begin(), text.size()}; }

std::string json_of(capnp::List<schema::Field>::Reader fields) {
  store::Tree tree;
  store::read_tree(fields, tree);
  return store::to_json(tree);
}

std::string json_of(schema::Metric::Reader metric) {
  store::Tree::List summary;
  for (const auto name : metric.getSummary()) summary.emplace_back(text_of(name));
  store::Tree::Object object;
  object["hidden"] = store::Tree(metric.getHidden());
  object["step_metric"] = store::Tree(text_of(metric.getStepMetric()));
  object["summary"] = store::Tree(std::move(summary));
  return store::to_json(store::Tree(std::move(object)));
}

store::Tree tree_of(const record::NamedTexts& texts) {
  store::Tree::Object object;
  for (const auto& [name, value] : texts) object[name] = store::Tree(value);
  return store::Tree(std::move(object));
}

std::string json_of(const record::ProcessFacts& facts) {
  store::Tree::List command;
  for (const std::string& word : facts.command) command.emplace_back(word);
  store::Tree::Object settings;
  for (const record::SettingFact& setting : facts.settings) {
    settings[setting.name] = tree_of({{"value", setting.value}, {"origin", setting.origin}});
  }
  store::Tree::Object object;
  object["executable"] = store::Tree(facts.executable);
  object["build_id"] = store::Tree(facts.build_id);
  object["command"] = store::Tree(std::move(command));
  object["directory"] = store::Tree(facts.directory);
  object["user"] = store::Tree(facts.user);
  object["system"] = store::Tree(facts.system);
  object["cpus"] = store::Tree(int64_t{facts.cpus});
  object["environment"] = tree_of(facts.environment);
  object["container"] = tree_of(facts.container);
  object["git"] = tree_of({{"root", facts.git.root},
                           {"commit", facts.git.commit},
                           {"branch", facts.git.branch},
                           {"remote", facts.git.remote}});
  object["settings"] = store::Tree(std::move(settings));
  return store::to_json(store::Tree(std::move(object)));
}

// Nothing: a kind that people need not see.
std::optional<Event> event_of(schema::Record::Reader from) {
  Event to;
  to.time_ns = from.getTimeNs();
  if (from.isConfig()) {
    to.kind = EventKind::kConfig;
    to.text = json_of(from.getConfig());
  } else if (from.isSummary()) {
    to.kind = EventKind::kSummary;
    to.text = json_of(from.getSummary());
  } else if (from.isMetric()) {
    to.kind = EventKind::kMetric;
    to.name = text_of(from.getMetric().getName());
    to.text = json_of(from.getMetric());
  } else if (from.isAlert()) {
    to.kind = EventKind::kAlert;
    to.name = text_of(from.getAlert().getTitle());
    to.text = text_of(from.getAlert().getText());
  } else if (from.isConsole()) {
    const auto console = from.getConsole();
    const auto bytes = console.getData().asChars();
    to.kind = EventKind::kConsole;
    to.name = console.getStream() == schema::Console::Stream::STDERR ? "stderr" : "stdout";
    to.text.assign(bytes.begin(), bytes.size());
  } else if (from.isFile()) {
    to.kind = EventKind::kFile;
    to.name = text_of(from.getFile().getName());
    to.text = text_of(from.getFile().getSource());
  } else if (from.isFinish()) {
    to.kind = EventKind::kFinish;
    to.text = std::to_string(from.getFinish().getExitCode());
  } else if (from.isProcess()) {
    const record::ProcessFacts facts = record::read_process(from.getProcess());
    to.kind = EventKind::kProcess;
    to.name = facts.executable;
    to.text = json_of(facts);
  } else {
    return {};
  }
  return to;
}

}  // namespace

Result<std::vector<Event>> RunReader::events(uint64_t after_id, size_t max_count) {
  auto producers = impl_->store->producers();
  if (!producers) return producers.take_error();
  std::map<uint32_t, const store::ProducerState*> by_id;
  for (const store::ProducerState& producer : *producers) by_id[producer.producer] = &producer;
  std::vector<Event> events;
  if (after_id == UINT64_MAX) return events;
  Status read = impl_->store->for_each_record({}, after_id + 1, [&](const store::RecordView& view) {
    if (events.size() >= max_count) return false;
    std::optional<Event> event = event_of(view.record);
    if (!event) return true;
    event->id = view.lsn;
    const auto producer = by_id.find(view.producer);
    if (producer != by_id.end()) {
      event->rank = producer->second->rank;
      event->attempt = producer->second->attempt;
    }
    events.push_back(*std::move(event));
    return true;
  });
  if (!read) return read.take_error();
  return events;
}

}  // namespace ringlog
