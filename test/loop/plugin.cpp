// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// A plugin that uses the library, for unload.cpp.

#include <cosock/error.hpp>
#include <cosock/loop.hpp>
#include <cosock/resolve.hpp>

#include <boost/system/system_error.hpp>

extern "C" {

/// Whether a thread of the library looks up a service that no system has.
[[gnu::visibility("default")]] bool plugin_looks_up() {
  cosock::loop l;
  try {
    (void)l.run(cosock::resolve("127.0.0.1", "nosuch"));
  } catch (const boost::system::system_error& e) {
    return e.code() == cosock::error::service_not_found;
  }
  return false;
}

/// Runs a loop, and no thread.
[[gnu::visibility("default")]] bool plugin_runs() {
  cosock::loop l;
  return l.run(cosock::resolve("127.0.0.1", "7")).at(0).port() == 7;
}

/// An address in the code that threads of the library run.
[[gnu::visibility("default")]] const void* plugin_code() {
  return reinterpret_cast<const void*>(&cosock::reverse_resolve);
}
}
