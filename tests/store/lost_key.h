#pragma once
// What a repair leaves of a store: one that lacks a value.

#include <gtest/gtest.h>
#include <leveldb/db.h>

#include <memory>
#include <string>

namespace ringlog::store {

// Takes a key of keys.h out of the run in `dir`, which nobody has open.
inline void lose_key(const std::string& dir, const std::string& key) {
  leveldb::DB* opened = nullptr;
  ASSERT_TRUE(leveldb::DB::Open({}, dir + "/store", &opened).ok());
  const std::unique_ptr<leveldb::DB> db(opened);
  std::string value;
  ASSERT_TRUE(db->Get({}, key, &value).ok()) << "there is no such key";
  ASSERT_TRUE(db->Delete({}, key).ok());
}

}  // namespace ringlog::store
