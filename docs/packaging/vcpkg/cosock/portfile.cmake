# Copyright the cosock authors
# SPDX-License-Identifier: BSL-1.0

vcpkg_download_distfile(ARCHIVE
  URLS "WHERE-YOU-GET-COSOCK-FROM/cosock-${VERSION}.tar.xz"
  FILENAME "cosock-${VERSION}.tar.xz"
  SHA512 THE-SHA512-OF-THE-ARCHIVE
)
vcpkg_extract_source_archive(SOURCE_PATH ARCHIVE "${ARCHIVE}")

vcpkg_configure_meson(
  SOURCE_PATH "${SOURCE_PATH}"
  OPTIONS
    -Dtesting=disabled
    -Dtls=disabled
    -Dtests=disabled
    -Dsamples=disabled
  ADDITIONAL_PROPERTIES
    "boost_root = '${CURRENT_INSTALLED_DIR}'"
)
vcpkg_install_meson()
vcpkg_fixup_pkgconfig()
vcpkg_cmake_config_fixup(CONFIG_PATH lib/cmake/cosock)

# A debug build of a program links the debug library.
if(NOT DEFINED VCPKG_BUILD_TYPE)
  file(APPEND "${CURRENT_PACKAGES_DIR}/share/${PORT}/cosockConfig.cmake" [[
if(TARGET cosock::cosock)
  get_target_property(_cosock_library cosock::cosock IMPORTED_LOCATION)
  cmake_path(GET _cosock_library FILENAME _cosock_library)
  set_target_properties(cosock::cosock PROPERTIES
    IMPORTED_LOCATION_DEBUG "${PACKAGE_PREFIX_DIR}/debug/lib/${_cosock_library}")
  unset(_cosock_library)
endif()
]])
endif()

file(REMOVE_RECURSE
  "${CURRENT_PACKAGES_DIR}/debug/include"
  "${CURRENT_PACKAGES_DIR}/debug/share"
)
vcpkg_install_copyright(FILE_LIST "${SOURCE_PATH}/LICENSE")
