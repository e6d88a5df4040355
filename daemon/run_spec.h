#pragma once
// What clients ask for, as plain values: schema/control.capnp describes the fields.
//
// Values only.  Everything in them was written by a client and is checked by whoever uses it.

#include "shm/posix.h"

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace ringlog::service {

struct ProducerSpec {
  int32_t rank = -1;
  int32_t attempt = -1;
  uint32_t worker = 0;
  uint32_t parent_producer = 0;
  int32_t local_rank = -1;
  int32_t world_size = -1;
  uint64_t ring_bytes = 0;
};

struct RunSpec {
  std::string run_id;
  std::string project;
  std::string root;
  std::string name;
  std::string group;
  std::vector<std::string> tags;
  std::string notes;
  ProducerSpec producer;
  bool is_synced = false;  // every commit with fsync
  std::vector<std::string> sinks;
  std::string host;
  std::vector<std::string> command;
  std::string mode;
  int32_t monitor_ms = 0;  // between samples of the machine; 0: default, -1: none
  std::string work_tree;   // of git, whose diff is kept; empty: none
};

// A connection for who may outlive it.
struct PeerSocket {
  int fd = -1;  // -1: it is closed
  // Also when the other end is.  For the thread that serves it.
  bool is_closed() const;
};

// Who is at the other end of a connection: from the kernel, never from a message.
struct Peer {
  int32_t pid = 0;
  uint32_t uid = 0;
  uint64_t pid_start = 0;
  std::shared_ptr<shm::Fd> pidfd;
  std::shared_ptr<const PeerSocket> socket;

  // True once nobody can be given an answer: the process is dead or has closed its end.  For the
  // thread that serves the connection.
  bool has_left() const;
};

struct Attached {
  std::string run_id;
  std::string dir;
  std::string name;
  uint32_t producer = 0;
  int32_t rank = 0;
  int32_t attempt = 0;
  uint32_t worker = 0;
  std::string segment;  // file name; empty: a memfd
  std::string uuid;     // of the segment
  uint64_t next_step = 0;
  std::string notice;
  shm::Fd segment_fd;
};

struct ProducerStatus {
  uint32_t producer = 0;
  int32_t rank = 0;
  int32_t attempt = 0;
  uint32_t worker = 0;
  int32_t pid = 0;
  std::string state;
  uint64_t stored = 0;
  uint64_t dropped = 0;
  uint64_t backlog_bytes = 0;
  uint64_t ring_bytes = 0;
  std::string poisoned;
};

struct SinkStatus {
  std::string url{};  // without credentials
  std::string state{};
  uint64_t sent_rows = 0;
  uint64_t lag_rows = 0;
  uint64_t left_out_rows = 0;  // that it would not take
  uint64_t looks_wanted = 0;   // the look at the store that was asked for last…
  uint64_t looks_sent = 0;     // …and the last one of which everything is sent
  uint64_t lag_ms = 0;         // since everything that was stored was sent; 0: it is
  std::string last_error{};
};

struct RunStatus {
  std::string run_id;
  std::string project;
  std::string dir;
  std::string state;
  std::vector<ProducerStatus> producers;
  std::vector<SinkStatus> sinks;
};

}  // namespace ringlog::service
