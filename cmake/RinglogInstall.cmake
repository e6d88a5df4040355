# Installs the library, the two programs, and what find_package() and pkg-config read.
include(CMakePackageConfigHelpers)

set(ringlog_cmake_dir "${CMAKE_INSTALL_LIBDIR}/cmake/ringlog")
install(TARGETS ringlog ringlog_reader EXPORT ringlog-targets
  LIBRARY DESTINATION "${CMAKE_INSTALL_LIBDIR}"
  FILE_SET HEADERS DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}")
install(TARGETS ringlog_in_process LIBRARY DESTINATION "${CMAKE_INSTALL_LIBDIR}")
foreach(program ringlogd ringlog_cli)
  if(TARGET ${program})
    install(TARGETS ${program} RUNTIME DESTINATION "${CMAKE_INSTALL_BINDIR}")
  endif()
endforeach()

install(EXPORT ringlog-targets NAMESPACE ringlog:: DESTINATION "${ringlog_cmake_dir}")
# The shared library keeps its dependencies to itself, so the package needs to find none.
configure_package_config_file(
  "${CMAKE_CURRENT_LIST_DIR}/ringlog-config.cmake.in" "${PROJECT_BINARY_DIR}/ringlog-config.cmake"
  INSTALL_DESTINATION "${ringlog_cmake_dir}")
write_basic_package_version_file("${PROJECT_BINARY_DIR}/ringlog-config-version.cmake"
  COMPATIBILITY SameMinorVersion)
install(FILES
  "${PROJECT_BINARY_DIR}/ringlog-config.cmake" "${PROJECT_BINARY_DIR}/ringlog-config-version.cmake"
  DESTINATION "${ringlog_cmake_dir}")

# pkg-config: the prefix is where the file lies, so an installed tree may be moved.
file(RELATIVE_PATH ringlog_pc_to_prefix "/p/${CMAKE_INSTALL_LIBDIR}/pkgconfig" "/p")
string(REGEX REPLACE "/$" "" ringlog_pc_to_prefix "${ringlog_pc_to_prefix}")
foreach(ringlog_pc_name ringlog ringlog_reader)
  string(REPLACE "_" "-" ringlog_pc_file "${ringlog_pc_name}.pc")
  configure_file(
    "${CMAKE_CURRENT_LIST_DIR}/ringlog.pc.in" "${PROJECT_BINARY_DIR}/${ringlog_pc_file}" @ONLY)
  install(FILES "${PROJECT_BINARY_DIR}/${ringlog_pc_file}"
    DESTINATION "${CMAKE_INSTALL_LIBDIR}/pkgconfig")
endforeach()
