// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#include "testing/group_memberships.hpp"

#include <algorithm>
#include <cerrno>

namespace cosock::testing::detail {

namespace {

auto find(auto& all, const ip_bytes& group) noexcept {
  return std::find_if(all.begin(), all.end(), [&](const auto& m) { return m.group == group; });
}

}  // namespace

int group_memberships::join(const ip_bytes& group) {
  if (contains(group)) return -EADDRINUSE;
  all_.push_back({group, false, {}});
  return 0;
}

int group_memberships::leave(const ip_bytes& group) noexcept {
  const auto found = find(all_, group);
  if (found == all_.end()) return -EADDRNOTAVAIL;
  all_.erase(found);
  return 0;
}

int group_memberships::join(const ip_bytes& group, const ip_bytes& sender) {
  auto found = find(all_, group);
  if (found == all_.end()) found = all_.insert(all_.end(), {group, true, {}});
  // The group that was joined for all becomes one for the listed senders.
  found->only_listed = true;
  if (std::ranges::find(found->senders, sender) != found->senders.end()) return -EADDRNOTAVAIL;
  found->senders.push_back(sender);
  return 0;
}

int group_memberships::leave(const ip_bytes& group, const ip_bytes& sender) {
  const auto found = find(all_, group);
  if (found == all_.end()) return -EINVAL;
  found->only_listed = true;  // as the system does, even if this fails
  const auto listed = std::ranges::find(found->senders, sender);
  if (listed == found->senders.end()) return -EADDRNOTAVAIL;
  found->senders.erase(listed);
  if (found->senders.empty()) all_.erase(found);
  return 0;
}

bool group_memberships::contains(const ip_bytes& group) const noexcept {
  return find(all_, group) != all_.end();
}

bool group_memberships::wants(const ip_bytes& group, const ip_bytes& sender,
                              bool others) const noexcept {
  const auto found = find(all_, group);
  if (found == all_.end()) return others;
  return !found->only_listed || std::ranges::find(found->senders, sender) != found->senders.end();
}

}  // namespace cosock::testing::detail
