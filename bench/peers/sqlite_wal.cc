// SQLite in WAL mode: one process inserts, the other reads what is new.
//
// The only peer besides the service itself that keeps the data.  A transaction of 1,000 rows each,
// a prepared statement, no fsync within the run (synchronous=NORMAL syncs at checkpoints).

#include "bench/peers/peer.h"

#include <sqlite3.h>
#include <unistd.h>

#include <filesystem>

namespace ringlog::bench {

namespace {

constexpr uint64_t kRowsPerTransaction = 1000;

class Database {
 public:
  explicit Database(const std::string& path) {
    if (::sqlite3_open(path.c_str(), &handle_) != SQLITE_OK) fail("sqlite3_open " + path);
    ::sqlite3_busy_timeout(handle_, 10'000);
    run("PRAGMA journal_mode=WAL");
    run("PRAGMA synchronous=NORMAL");
    run("PRAGMA mmap_size=268435456");
  }
  ~Database() { ::sqlite3_close(handle_); }
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;

  void run(const char* sql) {
    if (::sqlite3_exec(handle_, sql, nullptr, nullptr, nullptr) != SQLITE_OK) {
      fail(std::string("sqlite: ") + sql + ": " + ::sqlite3_errmsg(handle_));
    }
  }
  sqlite3_stmt* prepare(const char* sql) {
    sqlite3_stmt* statement = nullptr;
    if (::sqlite3_prepare_v2(handle_, sql, -1, &statement, nullptr) != SQLITE_OK) {
      fail(std::string("sqlite: ") + ::sqlite3_errmsg(handle_));
    }
    return statement;
  }

 private:
  sqlite3* handle_ = nullptr;
};

class SqliteWalPeer final : public Peer {
 public:
  std::string name() const override { return "sqlite_wal"; }
  std::string settings() const override {
    return "1,000 rows a transaction, prepared, synchronous=NORMAL";
  }
  std::string lacks() const override {
    return "keep what the open transaction holds at a kill, count losses";
  }
  double expected_ns(size_t size) const override { return 2000 + 2500 * kib(size); }

  void open(const Job& job) override {
    folder_ = std::make_unique<TempFolder>(job.folder);
    path_ = folder_->path() + "/bench.sqlite";
    Database database(path_);
    database.run("CREATE TABLE records (id INTEGER PRIMARY KEY, record BLOB NOT NULL)");
  }

  void produce(const Job& job, Source& source) override {
    Database database(path_);
    sqlite3_stmt* insert = database.prepare("INSERT INTO records (id, record) VALUES (?, ?)");
    for (uint64_t i = 0; i < job.count; ++i) {
      if (i % kRowsPerTransaction == 0) database.run(i == 0 ? "BEGIN" : "COMMIT; BEGIN");
      ::sqlite3_bind_int64(insert, 1, static_cast<int64_t>(i + 1));
      ::sqlite3_bind_blob(insert, 2, source.next(), static_cast<int>(job.record_size),
                          SQLITE_STATIC);
      if (::sqlite3_step(insert) != SQLITE_DONE) fail("sqlite: insert");
      ::sqlite3_reset(insert);
    }
    database.run("COMMIT");
    ::sqlite3_finalize(insert);
  }

  void consume(const Job& job, Sink& sink) override {
    Database database(path_);
    sqlite3_stmt* select =
        database.prepare("SELECT record FROM records WHERE id > ? ORDER BY id LIMIT 10000");
    while (sink.count() < job.count) {
      const uint64_t before = sink.count();
      ::sqlite3_bind_int64(select, 1, static_cast<int64_t>(before));
      while (::sqlite3_step(select) == SQLITE_ROW) {
        if (::sqlite3_column_bytes(select, 0) != static_cast<int>(job.record_size)) {
          fail("sqlite: a short record");
        }
        sink.take(static_cast<const std::byte*>(::sqlite3_column_blob(select, 0)));
      }
      ::sqlite3_reset(select);
      if (sink.count() == before) pause_for(0.001);
    }
    ::sqlite3_finalize(select);
  }

  void close() override { folder_.reset(); }

 private:
  std::unique_ptr<TempFolder> folder_;
  std::string path_;
};

}  // namespace

std::unique_ptr<Peer> make_sqlite_wal() { return std::make_unique<SqliteWalPeer>(); }

}  // namespace ringlog::bench
