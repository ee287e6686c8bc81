// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// What the name server of a simulated network answers.

#include "testing/machine.hpp"
#include "testing/simulation.hpp"

#include <algorithm>
#include <iterator>

namespace cosock::testing::detail {

cosock::detail::simulated_answer machine::look_up(const std::string& wanted, bool v4, bool v6) {
  using answer = cosock::detail::simulated_answer;
  answer found;
  std::string key = wanted;
  if (key.ends_with('.')) key.pop_back();
  for (char& c : key)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c | 0x20);
  record(traced::look_up);
  history.add(key);
  const auto entry = in.names.find(key);
  if (entry == in.names.end()) {
    found.outcome = answer::kind::not_found;
    return found;
  }
  bool fails = false;
  for (const name_options* how :
       {v4 ? &entry->second.v4 : nullptr, v6 ? &entry->second.v6 : nullptr}) {
    if (!how) continue;
    found.delay =
        std::max<std::int64_t>(found.delay, how->answers ? how->delay.count() : INT64_MAX);
    fails = fails || how->fails;
  }
  for (const address& a : entry->second.addresses) {
    if (a.is_v4() ? !v4 || entry->second.v4.fails : !v6 || entry->second.v6.fails) continue;
    answer::entry e;
    const ip_bytes bytes = bytes_of(a);
    std::copy(bytes.begin(), bytes.end(), e.bytes);
    found.addresses.push_back(e);
  }
  if (found.addresses.empty())
    found.outcome = fails ? answer::kind::failed : answer::kind::not_found;
  return found;
}

cosock::detail::simulated_answer machine::look_up(const unsigned char (&wanted)[16]) {
  using answer = cosock::detail::simulated_answer;
  answer found;
  ip_bytes bytes;
  std::copy(std::begin(wanted), std::end(wanted), bytes.begin());
  const machine* const m = in.find(bytes);
  if (m) found.name = m->host_name;
  if (found.name.empty()) found.outcome = answer::kind::not_found;
  return found;
}

}  // namespace cosock::testing::detail
