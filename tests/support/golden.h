#pragma once
// Golden files: bytes that were right once and are compared with for ever.
//
// They lie beside the tests, in the sources.  A change on purpose: run the test with
// UPDATE_GOLDEN=1 and look at the difference before it is committed.

#include <cstdlib>
#include <filesystem>

namespace ringlog::test {

// The root of the sources.  ctest says where it is; a test that is started by hand knows where it
// was compiled.
inline std::filesystem::path source_dir() {
  if (const char* const root = std::getenv("RINGLOG_SOURCE_DIR"); root != nullptr) return root;
  return std::filesystem::path(__FILE__).parent_path().parent_path().parent_path();
}

inline bool updates_golden() { return std::getenv("UPDATE_GOLDEN") != nullptr; }

}  // namespace ringlog::test
