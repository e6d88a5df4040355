# Everything ringlog needs from the system.  scripts/lib.sh lists the Debian packages.

set(THREADS_PREFER_PTHREAD_FLAG ON)
find_package(Threads REQUIRED)
find_package(Boost 1.74 CONFIG REQUIRED)   # headers only
find_package(CURL 7.68 REQUIRED)           # curl_multi_wakeup
find_package(CLI11 CONFIG REQUIRED)
find_package(fmt CONFIG REQUIRED)
find_package(nlohmann_json CONFIG REQUIRED)
find_package(Protobuf 3.21 REQUIRED)       # messages of the export formats
find_package(spdlog CONFIG REQUIRED)
find_package(tomlplusplus CONFIG REQUIRED)
find_package(ZLIB REQUIRED)                # the checksum of the .wandb format

# Cap'n Proto's package looks for libatomic with a C compiler, which this project does not enable.
set(FOUND_LIBATOMIC TRUE CACHE INTERNAL "Answers CapnProtoConfig.cmake")
find_package(CapnProto 0.9.2 CONFIG REQUIRED)

# The shared LevelDB brings its own Snappy; its package asks for Snappy's development files too.
find_package(leveldb 1.22 CONFIG REQUIRED)
get_target_property(leveldb_type leveldb::leveldb TYPE)
if(leveldb_type STREQUAL "SHARED_LIBRARY")
  set_target_properties(leveldb::leveldb PROPERTIES INTERFACE_LINK_LIBRARIES Threads::Threads)
endif()

# ringlog_find_library(NAME HEADER LIBRARY): ringlog::NAME for a library without a CMake package
# that is the same everywhere.
function(ringlog_find_library name header library)
  find_path(RINGLOG_${name}_INCLUDE_DIR ${header} REQUIRED)
  find_library(RINGLOG_${name}_LIBRARY ${library} REQUIRED)
  mark_as_advanced(RINGLOG_${name}_INCLUDE_DIR RINGLOG_${name}_LIBRARY)
  add_library(ringlog::${name} UNKNOWN IMPORTED GLOBAL)
  set_target_properties(ringlog::${name} PROPERTIES
    IMPORTED_LOCATION "${RINGLOG_${name}_LIBRARY}"
    INTERFACE_INCLUDE_DIRECTORIES "${RINGLOG_${name}_INCLUDE_DIR}")
endfunction()
ringlog_find_library(blosc blosc.h blosc)
ringlog_find_library(isal isa-l/crc.h isal)
ringlog_find_library(zstd zstd.h zstd)

if(RINGLOG_DEVELOPER)
  find_package(GTest 1.12 CONFIG REQUIRED)
  set(Python3_FIND_STRATEGY LOCATION)
  find_package(Python3 3.9 REQUIRED COMPONENTS Interpreter)
endif()
