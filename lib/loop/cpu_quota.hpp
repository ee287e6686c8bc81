// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// The CPU quota of the cgroups of this process, for usable_cores() in loops.cpp. In a header, so
// that the test can pass files of its own.

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <limits>
#include <sstream>
#include <string>

namespace cosock::detail {

/// The processors that `quota` in each `period` corresponds to, rounded up. No limit if one of them
/// is not positive.
inline unsigned cores_of(double quota, double period) noexcept {
  if (!(quota > 0) || !(period > 0)) return std::numeric_limits<unsigned>::max();
  const double cores = quota / period;
  const auto whole = static_cast<unsigned>(std::min(cores, 1e6));
  return whole + (cores > whole ? 1 : 0);
}

/// The limit of one cgroup: cpu.max in version 2, two files in version 1 (cgroups(7)).
inline unsigned quota_of(const std::string& folder) {
  double time = 0;
  double period = 0;
  if (std::ifstream(folder + "/cpu.max") >> time >> period)  // or "max", which is no number
    return cores_of(time, period);
  if (std::ifstream(folder + "/cpu.cfs_quota_us") >> time &&
      std::ifstream(folder + "/cpu.cfs_period_us") >> period)
    return cores_of(time, period);
  return cores_of(0, 0);
}

/// The smallest limit of the cgroups in the file `groups` (/proc/self/cgroup) and of those above
/// them: the limit of a parent holds for its children. They are mounted at `root`.
inline unsigned least_quota(const std::string& groups, const std::string& root) {
  unsigned least = cores_of(0, 0);
  std::ifstream lines(groups);
  for (std::string line; std::getline(lines, line);) {
    const auto first = line.find(':');
    const auto second = line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    std::string mounted = root;
    if (!controllers.empty()) {  // version 1 has a tree for each set of controllers
      if ((',' + controllers + ',').find(",cpu,") == std::string::npos) continue;
      mounted += '/' + controllers;
    }
    for (std::string path = line.substr(second + 1); !path.empty();
         path.resize(path.find_last_of('/')))
      least = std::min(least, quota_of(mounted + path));
    least = std::min(least, quota_of(mounted));
  }
  return least;
}

}  // namespace cosock::detail
