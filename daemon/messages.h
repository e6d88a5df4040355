#pragma once
// Between the messages of schema/control.capnp and plain values.
//
// Plain functions; those that read throw kj::Exception on malformed messages, which the server
// catches per connection.

#include "daemon/gauges.h"
#include "daemon/run_spec.h"

#include <ringlog/result.h>

#include <string>
#include <vector>

#include "schema/control.capnp.h"

namespace ringlog::service {

RunSpec read_run_spec(schema::RunSpec::Reader in);
RunSpec read_attach(schema::Attach::Reader in);  // the place and the producer
RunSpec read_sync(schema::Sync::Reader in);      // the place and the sinks
ProducerSpec read_producer_spec(schema::ProducerSpec::Reader in);

void write_error(const Error& error, schema::ControlReply::Builder out);
void write_attached(const Attached& attached, schema::Attached::Builder out);
void write_gauges(const Gauges& gauges, schema::Gauges::Builder out);
void write_runs(const std::vector<RunStatus>& runs, capnp::List<schema::RunStatus>::Builder out);

}  // namespace ringlog::service
