#pragma once
// Cap'n Proto values as trees.  Apart from tree.h so that its users need no Cap'n Proto.
//
// Both throw kj::Exception on malformed messages: call them inside unpack() or record::try_read().

#include "schema/record.capnp.h"
#include "store/tree.h"

namespace ringlog::store {

// Replace what `into` was.
void read_tree(schema::Value::Reader from, Tree& into);
void read_tree(capnp::List<schema::Field>::Reader fields, Tree& into);

}  // namespace ringlog::store
