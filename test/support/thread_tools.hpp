// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// What a test sees of the threads of its process.

#include <dirent.h>
#include <pthread.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

namespace test {

/// The names of this process's threads.
inline std::vector<std::string> threads() {
  std::vector<std::string> names;
  DIR* all = ::opendir("/proc/self/task");
  while (const dirent* each = ::readdir(all)) {
    if (each->d_name[0] == '.') continue;
    std::ifstream file(std::string("/proc/self/task/") + each->d_name + "/comm");
    std::getline(file, names.emplace_back());
  }
  ::closedir(all);
  return names;
}

/// How many threads have this name.
inline std::size_t threads_named(std::string_view name) {
  const auto all = threads();
  return static_cast<std::size_t>(std::count(all.begin(), all.end(), name));
}

/// The name of the calling thread.
inline std::string thread_name() {
  char name[16] = {};
  ::pthread_getname_np(::pthread_self(), name, sizeof name);
  return name;
}

/// The thread that made it, as others see it.
class blocked_thread {
 public:
  blocked_thread() : stat_("/proc/self/task/" + std::to_string(::gettid()) + "/stat") {}

  /// Whether it waits for something, as the system sees it.
  bool is_blocked() const {
    std::string text;
    std::getline(std::ifstream(stat_) >> std::ws, text);
    const std::size_t name_end = text.rfind(')');
    return name_end != text.npos && text.substr(name_end + 2, 1) == "S";
  }

 private:
  std::string stat_;
};

}  // namespace test
