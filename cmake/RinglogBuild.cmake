# How every target of ringlog is compiled, and the functions that define targets.

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_CXX_VISIBILITY_PRESET hidden)
set(CMAKE_VISIBILITY_INLINES_HIDDEN ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)

if(PROJECT_IS_TOP_LEVEL)
  if(NOT CMAKE_BUILD_TYPE)
    set(CMAKE_BUILD_TYPE RelWithDebInfo CACHE STRING "Debug, RelWithDebInfo or Release" FORCE)
  endif()
  set(CMAKE_RUNTIME_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}/bin")
  set(CMAKE_LIBRARY_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}/lib")
  set(CMAKE_ARCHIVE_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}/lib")

  find_program(CCACHE_PROGRAM ccache)
  mark_as_advanced(CCACHE_PROGRAM)
  if(CCACHE_PROGRAM AND NOT DEFINED CMAKE_CXX_COMPILER_LAUNCHER)
    set(CMAKE_CXX_COMPILER_LAUNCHER "${CCACHE_PROGRAM}")
  endif()
endif()

# Both trees can be moved: libraries are found relative to the program that wants them.
set(CMAKE_BUILD_RPATH_USE_ORIGIN ON)
file(RELATIVE_PATH ringlog_bin_to_lib
  "/p/${CMAKE_INSTALL_BINDIR}" "/p/${CMAKE_INSTALL_LIBDIR}")
set(CMAKE_INSTALL_RPATH "$ORIGIN/${ringlog_bin_to_lib}")

add_library(ringlog_warnings INTERFACE)
target_compile_options(ringlog_warnings INTERFACE
  -Wall -Wextra -Wpedantic -Wconversion -Wshadow)
# g++ 12 sees these in the standard library's own variant and string where nothing is wrong; clang
# and the sanitizer builds look for the real ones.
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  target_compile_options(ringlog_warnings INTERFACE -Wno-maybe-uninitialized -Wno-restrict)
endif()
# Errors only with the compilers this code is tested with: a newer one may warn about more.
if(RINGLOG_DEVELOPER
    AND ((CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
      OR (CMAKE_CXX_COMPILER_ID STREQUAL "Clang" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 15)))
  target_compile_options(ringlog_warnings INTERFACE -Werror)
endif()

# The sanitizer presets compile the files of a library ten at a time, which costs them a third.  What
# g++ would say about an anonymous namespace in a header does not hold for these.
if(CMAKE_UNITY_BUILD AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  target_compile_options(ringlog_warnings INTERFACE -Wno-subobject-linkage)
endif()

# ringlog_internal_library(NAME SOURCES... LINK...): a static library inside this repository.
# Includes are written from lib/ ("shm/ring.h") or from the top ("daemon/stream.h").
function(ringlog_internal_library name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "SOURCES;LINK")
  if(NOT arg_SOURCES)  # a folder without sources
    set(arg_SOURCES "${PROJECT_BINARY_DIR}/empty.cc")
    if(NOT EXISTS "${arg_SOURCES}")
      file(WRITE "${arg_SOURCES}" "")
    endif()
  endif()
  add_library(${name} STATIC ${arg_SOURCES})
  target_include_directories(${name} PUBLIC
    "${PROJECT_SOURCE_DIR}" "${PROJECT_SOURCE_DIR}/lib" "${PROJECT_SOURCE_DIR}/lib/include")
  target_link_libraries(${name} PUBLIC ${arg_LINK} PRIVATE ringlog_warnings)
  # A call inside the library never goes through the linker's tables.
  target_compile_options(${name} PRIVATE -fno-semantic-interposition)
  if(RINGLOG_DEVELOPER)
    target_compile_definitions(${name} PUBLIC RINGLOG_FAILPOINTS=1)
  endif()
endfunction()
