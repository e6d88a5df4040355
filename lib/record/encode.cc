#include "record/encode.h"

#include "record/path.h"

#include <algorithm>
#include <cstdio>

namespace ringlog::record {

namespace {

kj::StringPtr as_text(const std::string& text) { return {text.c_str(), text.size()}; }

// Cap'n Proto text setters want a terminated string; this copies without one.
template <typename Init>
void set_text(std::string_view text, Init init) {
  auto builder = init(static_cast<capnp::uint>(text.size()));
  std::copy(text.begin(), text.end(), builder.begin());
}

void build_value(const Value& value, schema::Value::Builder out);

void build_fields(std::span<const Item> items, capnp::List<schema::Field>::Builder out) {
  for (size_t i = 0; i < items.size(); ++i) {
    auto field = out[static_cast<capnp::uint>(i)];
    set_text(items[i].key, [&](capnp::uint n) { return field.initKey(n); });
    build_value(items[i].value, field.initValue());
  }
}

template <typename T, typename List>
void copy_numbers(std::span<const T> numbers, List out) {
  for (size_t i = 0; i < numbers.size(); ++i) out.set(static_cast<capnp::uint>(i), numbers[i]);
}

void build_value(const Value& value, schema::Value::Builder out) {
  switch (value.type()) {
    case Value::Type::kNull:
      return out.setNull();
    case Value::Type::kFloat64:
      return out.setFloat64(value.float64());
    case Value::Type::kInt64:
      return out.setInt64(value.int64());
    case Value::Type::kUint64:
      return out.setUint64(value.uint64());
    case Value::Type::kBool:
      return out.setBool(value.boolean());
    case Value::Type::kText:
      return set_text(value.text(), [&](capnp::uint n) { return out.initText(n); });
    case Value::Type::kList: {
      auto list = out.initList(static_cast<capnp::uint>(value.list().size()));
      capnp::uint i = 0;
      for (const Value& element : value.list()) build_value(element, list[i++]);
      return;
    }
    case Value::Type::kObject:
      return build_fields(value.object(),
                          out.initObject(static_cast<capnp::uint>(value.object().size())));
    case Value::Type::kFloat64List: {
      const auto numbers = value.float64_list();
      return copy_numbers(numbers, out.initFloat64List(static_cast<capnp::uint>(numbers.size())));
    }
    case Value::Type::kInt64List: {
      const auto numbers = value.int64_list();
      return copy_numbers(numbers, out.initInt64List(static_cast<capnp::uint>(numbers.size())));
    }
  }
}

template <typename Fill>
Words encode(int64_t time_ns, Fill fill) {
  capnp::MallocMessageBuilder message;
  auto record = message.initRoot<schema::Record>();
  record.setTimeNs(time_ns);
  fill(record);
  return to_words(message);
}

std::string shown(std::string_view key) {
  constexpr size_t kShownMax = 64;
  std::string text;
  for (const char c : key.substr(0, kShownMax)) {
    if (c >= ' ' && c < 0x7f) {
      text += c;
    } else {
      std::array<char, 5> hex{};
      std::snprintf(hex.data(), hex.size(), "\\x%02x", static_cast<unsigned char>(c));
      text += hex.data();
    }
  }
  return key.size() > kShownMax ? text + "…" : text;
}

// Counts keys in `count` and checks everything below `value`.
Status check_value(std::string_view key, const Value& value, int depth, size_t& count);

Status check_level(std::span<const Item> items, int depth, size_t& count) {
  count += items.size();
  if (count > kRowKeysMax) {
    return Error{Code::kTooLarge, "more than " + std::to_string(kRowKeysMax) + " keys in one row"};
  }
  for (const Item& item : items) {
    if (Status s = check_key(item.key); !s) return s;
    if (Status s = check_value(item.key, item.value, depth, count); !s) return s;
  }
  return Done{};
}

Status check_value(std::string_view key, const Value& value, int depth, size_t& count) {
  if (depth > kValueDepthMax) {
    return Error{Code::kInvalidArgument, "key \"" + shown(key) + "\" is nested deeper than " +
                                             std::to_string(kValueDepthMax) + " levels"};
  }
  if (value.type() == Value::Type::kText && !is_utf8(value.text())) {
    return Error{Code::kInvalidArgument, "the text under key \"" + shown(key) + "\" is not UTF-8"};
  }
  if (value.type() == Value::Type::kObject) return check_level(value.object(), depth + 1, count);
  if (value.type() != Value::Type::kList) return Done{};
  for (const Value& element : value.list()) {
    if (Status s = check_value(key, element, depth + 1, count); !s) return s;
  }
  return Done{};
}

}  // namespace

Status check_key(std::string_view key) {
  if (key.empty()) return Error{Code::kInvalidArgument, "a key is empty"};
  if (key.size() > kKeySizeMax) {
    return Error{Code::kTooLarge, "key \"" + shown(key) + "\" has " + std::to_string(key.size()) +
                                      " bytes; " + std::to_string(kKeySizeMax) + " are allowed"};
  }
  if (!is_utf8(key)) {
    return Error{Code::kInvalidArgument, "key \"" + shown(key) + "\" is not UTF-8"};
  }
  return Done{};
}

Status check_items(std::span<const Item> items) {
  size_t count = 0;
  return check_level(items, 1, count);
}

Words encode_key_set(uint16_t kind, std::span<const ColumnSpec> columns, int64_t time_ns) {
  return encode(time_ns, [&](schema::Record::Builder record) {
    auto key_set = record.initKeySet();
    key_set.setKind(kind);
    auto out = key_set.initColumns(static_cast<capnp::uint>(columns.size()));
    for (size_t i = 0; i < columns.size(); ++i) {
      auto column = out[static_cast<capnp::uint>(i)];
      column.setPath(as_text(columns[i].path));
      column.setType(columns[i].type);
    }
  });
}

Words encode_free_row(uint64_t step, int64_t time_ns, std::span<const Item> items) {
  return encode(time_ns, [&](schema::Record::Builder record) {
    auto row = record.initRow();
    row.setStep(step);
    row.setTimeNs(time_ns);
    build_fields(items, row.initFields(static_cast<capnp::uint>(items.size())));
  });
}

Words encode_config(std::span<const Item> items, int64_t time_ns) {
  return encode(time_ns, [&](schema::Record::Builder record) {
    build_fields(items, record.initConfig(static_cast<capnp::uint>(items.size())));
  });
}

Words encode_summary(std::span<const Item> items, int64_t time_ns) {
  return encode(time_ns, [&](schema::Record::Builder record) {
    build_fields(items, record.initSummary(static_cast<capnp::uint>(items.size())));
  });
}

Words encode_metric(std::string_view name, const MetricOptions& options, int64_t time_ns) {
  return encode(time_ns, [&](schema::Record::Builder record) {
    auto metric = record.initMetric();
    set_text(name, [&](capnp::uint n) { return metric.initName(n); });
    metric.setStepMetric(as_text(options.step_metric));
    auto summary = metric.initSummary(static_cast<capnp::uint>(options.summary.size()));
    for (size_t i = 0; i < options.summary.size(); ++i) {
      summary.set(static_cast<capnp::uint>(i), as_text(options.summary[i]));
    }
    metric.setHidden(options.hidden);
  });
}

Words encode_alert(std::string_view title, std::string_view text, AlertLevel level,
                   int64_t time_ns) {
  return encode(time_ns, [&](schema::Record::Builder record) {
    auto alert = record.initAlert();
    set_text(title, [&](capnp::uint n) { return alert.initTitle(n); });
    set_text(text, [&](capnp::uint n) { return alert.initText(n); });
    alert.setLevel(static_cast<schema::Alert::Level>(level));
  });
}

Words encode_console(std::string_view bytes, bool is_stderr, int64_t time_ns) {
  return encode(time_ns, [&](schema::Record::Builder record) {
    auto console = record.initConsole();
    console.setStream(is_stderr ? schema::Console::Stream::STDERR
                                : schema::Console::Stream::STDOUT);
    console.setData(kj::arrayPtr(reinterpret_cast<const kj::byte*>(bytes.data()), bytes.size()));
  });
}

Words encode_file(const FileFacts& facts, int64_t time_ns) {
  return encode(time_ns, [&](schema::Record::Builder record) {
    auto file = record.initFile();
    set_text(facts.name, [&](capnp::uint n) { return file.initName(n); });
    set_text(facts.source, [&](capnp::uint n) { return file.initSource(n); });
    file.setPolicy(static_cast<schema::File::Policy>(facts.policy));
    file.setState(static_cast<schema::File::State>(facts.state));
    file.setSize(facts.size);
    set_text(facts.problem, [&](capnp::uint n) { return file.initProblem(n); });
    file.setIsFinal(facts.is_final);
  });
}

Words encode_process(const ProcessFacts& facts, int64_t time_ns) {
  const auto size = [](const auto& list) { return static_cast<capnp::uint>(list.size()); };
  const auto set_named = [&](const NamedTexts& from, auto to) {
    capnp::uint i = 0;
    for (const auto& [name, value] : from) {
      to[i].setName(as_text(name));
      to[i++].setValue(as_text(value));
    }
  };
  return encode(time_ns, [&](schema::Record::Builder record) {
    auto out = record.initProcess();
    out.setExecutable(as_text(facts.executable));
    out.setBuildId(as_text(facts.build_id));
    auto command = out.initCommand(size(facts.command));
    for (capnp::uint i = 0; i < command.size(); ++i) command.set(i, as_text(facts.command[i]));
    out.setDirectory(as_text(facts.directory));
    out.setUser(as_text(facts.user));
    out.setSystem(as_text(facts.system));
    out.setCpus(facts.cpus);
    set_named(facts.environment, out.initEnvironment(size(facts.environment)));
    set_named(facts.container, out.initContainer(size(facts.container)));
    auto git = out.initGit();
    git.setRoot(as_text(facts.git.root));
    git.setCommit(as_text(facts.git.commit));
    git.setBranch(as_text(facts.git.branch));
    git.setRemote(as_text(facts.git.remote));
    auto settings = out.initSettings(size(facts.settings));
    for (capnp::uint i = 0; i < settings.size(); ++i) {
      settings[i].setName(as_text(facts.settings[i].name));
      settings[i].setValue(as_text(facts.settings[i].value));
      settings[i].setOrigin(as_text(facts.settings[i].origin));
    }
  });
}

Words encode_finish(int32_t exit_code, bool is_implied, int64_t time_ns, uint8_t signal) {
  return encode(time_ns, [&](schema::Record::Builder record) {
    auto finish = record.initFinish();
    finish.setExitCode(exit_code);
    finish.setIsImplied(is_implied);
    finish.setSignal(signal);
  });
}

Words encode_blob(uint64_t id, uint64_t size, int64_t time_ns) {
  return encode(time_ns, [&](schema::Record::Builder record) {
    auto blob = record.initBlob();
    blob.setId(id);
    blob.setSize(size);
  });
}

Words encode_request(const RequestSpec& spec, int64_t time_ns) {
  return encode(time_ns, [&](schema::Record::Builder record) {
    auto request = record.initRequest();
    request.setSlot(spec.slot);
    request.setWord(spec.word);
    switch (spec.kind) {
      case RequestKind::kFlush:
        return request.setFlush(static_cast<schema::Durability>(spec.durability));
      case RequestKind::kFinish:
        return request.setFinish();
      case RequestKind::kSummary:
        return request.setSummary();
      case RequestKind::kRunInfo:
        return request.setRunInfo();
      case RequestKind::kFooter:
        return request.setFooter();
    }
  });
}

}  // namespace ringlog::record
