#pragma once
// ReaderAccess: the store behind a public RunReader, for the exports of the command line: files of
// other tools are made from records, which the public reader does not show as they are.
//
// The store's reader belongs to the RunReader and lives as long.

#include "reader/impl.h"

namespace ringlog {

struct ReaderAccess {
  static store::RunReader& store(RunReader& reader) { return *reader.impl_->store; }
};

}  // namespace ringlog
