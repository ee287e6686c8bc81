// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// A plugin that contains the library is unloaded while threads of the library are idle.

#define BOOST_TEST_MODULE unload
#include <boost/test/unit_test.hpp>

#include <dirent.h>
#include <dlfcn.h>

#include <cinttypes>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <string>
#include <thread>

namespace {

/// The plugin, loaded for as long as the object exists.
class plugin {
 public:
  plugin() : handle_(::dlopen(PLUGIN, RTLD_NOW | RTLD_LOCAL)) {
    BOOST_REQUIRE_MESSAGE(handle_, ::dlerror());
  }
  ~plugin() { ::dlclose(handle_); }
  plugin(const plugin&) = delete;

  /// Calls a function of the plugin on a thread of its own: the system does not unload what a
  /// thread has to call when it ends.
  template <class Result>
  Result call(const char* name) const {
    Result result = {};
    std::thread([&] { result = reinterpret_cast<Result (*)()>(::dlsym(handle_, name))(); }).join();
    return result;
  }

 private:
  void* handle_;
};

/// How many threads of the library this process has.
int threads() {
  int number = 0;
  DIR* const all = ::opendir("/proc/self/task");
  while (const dirent* each = ::readdir(all)) {
    std::ifstream file(std::string("/proc/self/task/") + each->d_name + "/comm");
    std::string name;
    if (std::getline(file, name) && name.starts_with("cosock")) ++number;
  }
  ::closedir(all);
  return number;
}

bool is_mapped(const void* code) {
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) {
    std::uintptr_t begin = 0;
    std::uintptr_t end = 0;
    if (std::sscanf(line.c_str(), "%" SCNxPTR "-%" SCNxPTR, &begin, &end) != 2) continue;
    const auto at = reinterpret_cast<std::uintptr_t>(code);
    if (at >= begin && at < end) return true;
  }
  return false;
}

}  // namespace

BOOST_AUTO_TEST_CASE(code_that_an_idle_thread_runs_stays_in_memory) {
  {
    const plugin unused;
    BOOST_TEST(unused.call<bool>("plugin_runs"));
  }
  BOOST_TEST(threads() == 0);
  const void* code = nullptr;
  {
    const plugin used;
    BOOST_TEST(used.call<bool>("plugin_looks_up"));
    code = used.call<const void*>("plugin_code");
  }
  BOOST_TEST(threads() == 1);
  BOOST_TEST(is_mapped(code));
  {
    const plugin again;
    BOOST_TEST(again.call<bool>("plugin_looks_up"));
    BOOST_TEST(again.call<const void*>("plugin_code") == code);
  }
  BOOST_TEST(threads() == 1);
}
