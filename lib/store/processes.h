#pragma once
// The processes of a run with what surrounds them, as their records tell it.
//
// Plain functions of their arguments; safe from any thread that may use the reader.

#include <ringlog/result.h>

#include <vector>

#include "record/process_facts.h"
#include "store/reader.h"

namespace ringlog::store {

struct ProcessEntry {
  ProducerState producer;
  record::ProcessFacts facts;
};

// Of every process that said it, ordered as producers are.  Errors as the reader.
Result<std::vector<ProcessEntry>> read_processes(RunReader& reader);

// The process that stands for the run: the newest attempt of the lowest rank, a program before
// `ringlog exec` around it.  nullptr: there is none.
const ProcessEntry* main_process(const std::vector<ProcessEntry>& processes);

}  // namespace ringlog::store
