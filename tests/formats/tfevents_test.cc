// The bytes of event files.  Whole exports are read back by tests/e2e/export_test.py.

#include "formats/tfevents.h"

#include <gtest/gtest.h>

#include <string>

namespace ringlog::formats {
namespace {

TEST(TfRecord, HasTheBytesThatTensorFlowWrites) {
  // The first record of every file that TensorFlow's writer makes, with wall_time 0.
  std::string out;
  append_tf_record(out, std::string_view("\x1a\x0d"
                                         "brain.Event:2",
                                         15));
  EXPECT_EQ(out.size(), 8 + 4 + 15 + 4U);
  EXPECT_EQ(out.substr(0, 8), std::string("\x0f\0\0\0\0\0\0\0", 8));
  EXPECT_EQ(out.substr(12, 2), "\x1a\x0d");
}

TEST(TfRecord, MasksTheChecksumOfRfc3720) {
  // RFC 3720, B.4: 32 bytes of zeros have the CRC-32C aa 36 91 8a.
  std::string out;
  append_tf_record(out, std::string(32, '\0'));
  const uint32_t crc = 0x8a9136aa;
  const uint32_t masked = ((crc >> 15) | (crc << 17)) + 0xa282ead8;
  std::string bytes;
  for (int i = 0; i < 4; ++i) bytes += static_cast<char>((masked >> (8 * i)) & 0xff);
  EXPECT_EQ(out.substr(out.size() - 4), bytes);
}

TEST(TfTag, JoinsNestedKeysWithASlashAndKeepsDots) {
  EXPECT_EQ(tf_tag("loss"), "loss");
  EXPECT_EQ(tf_tag("train\x1floss"), "train/loss");
  EXPECT_EQ(tf_tag("a.b"), "a.b");
}

TEST(TfEvents, BeginsAFileWithItsVersion) {
  TfEvents events({});
  std::string out;
  events.append_version(0, out);
  std::string expected;
  append_tf_record(expected, std::string_view("\x1a\x0d"
                                              "brain.Event:2",
                                              15));
  EXPECT_EQ(out, expected);
}

}  // namespace
}  // namespace ringlog::formats
