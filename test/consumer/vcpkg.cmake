# Copyright the cosock authors
# SPDX-License-Identifier: BSL-1.0
#
# cmake -DPORT_FOLDER=... -DWORK=... -DINSTALLED=... -P vcpkg.cmake: stands in for vcpkg, for what the
# port in PORT_FOLDER calls. Builds in WORK, installs into WORK/packages; INSTALLED has the headers of
# Boost. Debug and release have the same objects here, compiled once.
cmake_minimum_required(VERSION 3.20)

# The manifest: JSON, with the fields that are needed, and none that vcpkg does not know.
file(READ "${PORT_FOLDER}/vcpkg.json" manifest)
foreach(field name version description license supports)
  string(JSON ${field} GET "${manifest}" ${field})
endforeach()
if(NOT license STREQUAL "BSL-1.0" OR NOT supports STREQUAL "linux")
  message(FATAL_ERROR "vcpkg.json: license ${license}, supports ${supports}")
endif()

# members_of(TEXT KNOWN...)
function(members_of text)
  string(JSON count LENGTH "${text}")
  math(EXPR last "${count} - 1")
  foreach(index RANGE ${last})
    string(JSON member MEMBER "${text}" ${index})
    if(NOT member IN_LIST ARGN)
      message(FATAL_ERROR "vcpkg.json: \"${member}\" is no field")
    endif()
  endforeach()
endfunction()
members_of("${manifest}" name version description license supports dependencies)

string(JSON count LENGTH "${manifest}" dependencies)
math(EXPR last "${count} - 1")
foreach(index RANGE ${last})
  string(JSON dependency GET "${manifest}" dependencies ${index})
  members_of("${dependency}" name host version>=)
  string(JSON dependency GET "${dependency}" name)
  list(APPEND dependencies ${dependency})
endforeach()

set(PORT ${name})
set(VERSION ${version})
set(TARGET_TRIPLET x64-linux)
set(VCPKG_LIBRARY_LINKAGE static)
set(CURRENT_INSTALLED_DIR ${INSTALLED})
set(CURRENT_BUILDTREES_DIR ${WORK})
set(CURRENT_PACKAGES_DIR ${WORK}/packages)
set(builds dbg rel)

# arguments(FLAGS SINGLE LISTS ARGUMENT...): parses them into arg_..., and refuses others.
macro(arguments flags single lists)
  cmake_parse_arguments(arg "${flags}" "${single}" "${lists}" ${ARGN})
  if(arg_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "${CMAKE_CURRENT_FUNCTION} has no ${arg_UNPARSED_ARGUMENTS}")
  endif()
endmacro()

# depends(NAME): a function of another port is called.
function(depends name)
  if(NOT name IN_LIST dependencies)
    message(FATAL_ERROR "vcpkg.json does not depend on ${name}")
  endif()
endfunction()

function(command folder)
  execute_process(COMMAND ${ARGN} WORKING_DIRECTORY "${folder}" COMMAND_ERROR_IS_FATAL ANY)
endfunction()

function(vcpkg_download_distfile out)
  arguments("" "FILENAME;SHA512" "URLS" ${ARGN})
  set(to "${WORK}/downloads/${arg_FILENAME}")
  file(DOWNLOAD "${arg_URLS}" "${to}" EXPECTED_HASH SHA512=${arg_SHA512} STATUS status)
  if(NOT status MATCHES "^0;")
    message(FATAL_ERROR "${arg_URLS}: ${status}")
  endif()
  set(${out} "${to}" PARENT_SCOPE)
endfunction()

function(vcpkg_extract_source_archive out)
  arguments("" "ARCHIVE" "" ${ARGN})
  file(ARCHIVE_EXTRACT INPUT "${arg_ARCHIVE}" DESTINATION "${CURRENT_BUILDTREES_DIR}")
  file(RENAME "${CURRENT_BUILDTREES_DIR}/${PORT}-${VERSION}" "${CURRENT_BUILDTREES_DIR}/src")
  set(${out} "${CURRENT_BUILDTREES_DIR}/src" PARENT_SCOPE)
endfunction()

function(vcpkg_configure_meson)
  depends(vcpkg-tool-meson)
  arguments("" "SOURCE_PATH" "OPTIONS;ADDITIONAL_PROPERTIES" ${ARGN})
  list(JOIN arg_ADDITIONAL_PROPERTIES "\n" properties)
  file(WRITE "${CURRENT_BUILDTREES_DIR}/native.ini" "[properties]\n${properties}\n"
    "[built-in options]\ndefault_library = '${VCPKG_LIBRARY_LINKAGE}'\n")
  set(prefix_rel --prefix "${CURRENT_PACKAGES_DIR}")
  set(prefix_dbg --prefix "${CURRENT_PACKAGES_DIR}/debug" --includedir ../include)
  foreach(build IN LISTS builds)
    set(at "${CURRENT_BUILDTREES_DIR}/${TARGET_TRIPLET}-${build}")
    file(MAKE_DIRECTORY "${at}")
    command("${at}" meson setup ${arg_OPTIONS} --buildtype=plain --wrap-mode=nodownload --libdir lib
      --pkgconfig.relocatable --native "${CURRENT_BUILDTREES_DIR}/native.ini" ${prefix_${build}}
      "${arg_SOURCE_PATH}")
  endforeach()
endfunction()

function(vcpkg_install_meson)
  arguments("" "" "" ${ARGN})
  set(at "${CURRENT_BUILDTREES_DIR}/${TARGET_TRIPLET}")
  command("${at}-rel" ninja install)
  file(COPY "${at}-rel/lib" "${at}-rel/.ninja_log" "${at}-rel/.ninja_deps" DESTINATION "${at}-dbg"
    PATTERN *.cmake EXCLUDE)
  command("${at}-dbg" ninja install)
endfunction()

# The package is moved into the folder that has its dependencies.
function(vcpkg_fixup_pkgconfig)
  arguments("" "" "" ${ARGN})
  foreach(folder lib debug/lib)
    set(file "${CURRENT_PACKAGES_DIR}/${folder}/pkgconfig/${PORT}.pc")
    file(READ "${file}" text)
    string(REPLACE "${CURRENT_INSTALLED_DIR}" "\${prefix}" text "${text}")
    file(WRITE "${file}" "${text}")
  endforeach()
endfunction()

function(vcpkg_cmake_config_fixup)
  depends(vcpkg-cmake-config)
  arguments("" "CONFIG_PATH" "" ${ARGN})
  set(share "${CURRENT_PACKAGES_DIR}/share/${PORT}")
  file(MAKE_DIRECTORY "${CURRENT_PACKAGES_DIR}/share")
  file(RENAME "${CURRENT_PACKAGES_DIR}/${arg_CONFIG_PATH}" "${share}")
  cmake_path(GET arg_CONFIG_PATH PARENT_PATH parent)
  file(REMOVE_RECURSE "${CURRENT_PACKAGES_DIR}/${parent}" "${CURRENT_PACKAGES_DIR}/debug/${parent}")
  file(GLOB files "${share}/*.cmake")
  set(prefix "(PACKAGE_PREFIX_DIR \"\\\${CMAKE_CURRENT_LIST_DIR}/)(\\.\\./)*\\.\\.(\" ABSOLUTE)")
  foreach(file IN LISTS files)
    file(READ "${file}" text)
    string(REGEX REPLACE "${prefix}" "\\1../..\\3" text "${text}")
    string(REPLACE "${CURRENT_PACKAGES_DIR}" "\${_IMPORT_PREFIX}" text "${text}")
    file(WRITE "${file}" "${text}")
  endforeach()
endfunction()

function(vcpkg_install_copyright)
  arguments("" "" "FILE_LIST" ${ARGN})
  file(INSTALL ${arg_FILE_LIST} DESTINATION "${CURRENT_PACKAGES_DIR}/share/${PORT}" RENAME copyright)
endfunction()

include("${PORT_FOLDER}/portfile.cmake")
