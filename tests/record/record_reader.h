#pragma once
// Reads every field of a foreign record: what the service may do with one, all of it at once.

#include <cstdint>

#include "schema/record.capnp.h"

namespace ringlog::record {

// A number that depends on everything read, so that nothing is optimised away.
class RecordReader {
 public:
  uint64_t sum() const { return sum_; }

  void read(schema::Record::Reader record) {
    add(static_cast<uint64_t>(record.getTimeNs()));
    switch (record.which()) {
      case schema::Record::KEY_SET:
        add(record.getKeySet().getKind());
        for (auto column : record.getKeySet().getColumns()) {
          add(column.getPath());
          add(static_cast<uint64_t>(column.getType()));
        }
        return;
      case schema::Record::ROW:
        add(record.getRow().getStep());
        return read(record.getRow().getFields());
      case schema::Record::CONFIG:
        return read(record.getConfig());
      case schema::Record::SUMMARY:
        return read(record.getSummary());
      case schema::Record::METRIC:
        add(record.getMetric().getName());
        add(record.getMetric().getStepMetric());
        for (auto word : record.getMetric().getSummary()) add(word);
        return;
      case schema::Record::ALERT:
        add(record.getAlert().getTitle());
        return add(record.getAlert().getText());
      case schema::Record::CONSOLE:
        for (const auto byte : record.getConsole().getData()) add(byte);
        return;
      case schema::Record::FILE:
        add(record.getFile().getName());
        return add(record.getFile().getSource());
      case schema::Record::PROCESS:
        return read(record.getProcess());
      case schema::Record::FINISH:
        return add(static_cast<uint64_t>(record.getFinish().getExitCode()));
      case schema::Record::REQUEST:
        return add(record.getRequest().getSlot() + record.getRequest().getWord());
      case schema::Record::BLOB:
        return add(record.getBlob().getId() + record.getBlob().getSize());
    }
  }

 private:
  void add(uint64_t value) { sum_ = sum_ * 31 + value; }
  void add(capnp::Text::Reader text) {
    for (const char c : text) add(static_cast<uint64_t>(c));
  }
  void read(schema::Process::Reader process) {
    for (auto text :
         {process.getExecutable(), process.getBuildId(), process.getDirectory(), process.getUser(),
          process.getSystem(), process.getGit().getRoot(), process.getGit().getCommit(),
          process.getGit().getBranch(), process.getGit().getRemote()}) {
      add(text);
    }
    for (auto word : process.getCommand()) add(word);
    for (auto list : {process.getEnvironment(), process.getContainer()}) {
      for (auto named : list) {
        add(named.getName());
        add(named.getValue());
      }
    }
    for (auto setting : process.getSettings()) {
      add(setting.getName());
      add(setting.getValue());
      add(setting.getOrigin());
    }
  }
  void read(capnp::List<schema::Field>::Reader fields) {
    for (auto field : fields) {
      add(field.getKey());
      read(field.getValue());
    }
  }
  void read(schema::Value::Reader value) {
    switch (value.which()) {
      case schema::Value::NULL_:
        return add(0);
      case schema::Value::FLOAT64:
        return add(value.getFloat64() > 0 ? 1 : 0);
      case schema::Value::INT64:
        return add(static_cast<uint64_t>(value.getInt64()));
      case schema::Value::UINT64:
        return add(value.getUint64());
      case schema::Value::BOOL:
        return add(value.getBool() ? 1 : 0);
      case schema::Value::TEXT:
        return add(value.getText());
      case schema::Value::LIST:
        for (auto element : value.getList()) read(element);
        return;
      case schema::Value::OBJECT:
        return read(value.getObject());
      case schema::Value::FLOAT64_LIST:
        for (const double number : value.getFloat64List()) add(number > 0 ? 1 : 0);
        return;
      case schema::Value::INT64_LIST:
        for (const int64_t number : value.getInt64List()) add(static_cast<uint64_t>(number));
        return;
    }
  }

  uint64_t sum_ = 0;
};

}  // namespace ringlog::record
