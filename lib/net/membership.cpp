// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// The filter of a socket that has joined IPv6 groups: a classic BPF program, which is built again
// at each change. Called by udp_socket.

#include "net/membership.hpp"

#include <linux/filter.h>
#include <linux/if_ether.h>
#include <net/if.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <string_view>

namespace cosock::detail {

namespace {

using program = std::vector<sock_filter>;

constexpr std::uint32_t accepted = 0xffffffff;  // all bytes
constexpr std::uint32_t discarded = 0;
constexpr std::uint32_t destination = static_cast<std::uint32_t>(SKF_NET_OFF) + 24;

// The words of the destination, and the interface, are loaded into the filter's memory first: what
// is loaded from there takes the system a tenth of the room.
constexpr std::uint32_t interface_slot = 4;

void load(program& p, std::uint16_t size, std::uint32_t at) {
  p.push_back(BPF_STMT(static_cast<std::uint16_t>(BPF_LD | BPF_ABS | size), at));
}
void store(program& p, std::uint32_t slot) { p.push_back(BPF_STMT(BPF_ST, slot)); }
void load_slot(program& p, std::uint32_t slot) { p.push_back(BPF_STMT(BPF_LD | BPF_MEM, slot)); }
void finish(program& p, std::uint32_t verdict) { p.push_back(BPF_STMT(BPF_RET | BPF_K, verdict)); }
/// Goes on `equal` or `other` instructions after the next one.
void compare(program& p, std::uint32_t value, std::size_t equal, std::size_t other) {
  p.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, static_cast<std::uint8_t>(equal),
                       static_cast<std::uint8_t>(other)));
}

/// Discards what is for this group and does not come from these interfaces.
void add_group(program& p, const address::v6_bytes& group,
               const std::vector<unsigned>& interfaces) {
  const std::size_t next = p.size() + 8 + 1 + interfaces.size() + 2;
  for (unsigned i = 0; i != 16; i += 4) {
    load_slot(p, i / 4);
    const std::uint32_t word = std::uint32_t{group[i]} << 24 | std::uint32_t{group[i + 1]} << 16 |
                               std::uint32_t{group[i + 2]} << 8 | group[i + 3];
    compare(p, word, 0, next - p.size() - 1);
  }
  load_slot(p, interface_slot);
  for (std::size_t i = 0; i != interfaces.size(); ++i)
    compare(p, interfaces[i], interfaces.size() - i, 0);
  finish(p, discarded);
  finish(p, accepted);
}

constexpr std::size_t max_interfaces = 200;  // a jump is a byte

/// The device that an interface belongs to; 0: none.
unsigned master_of(unsigned interface) noexcept {
  char name[IF_NAMESIZE];
  char path[64];
  char target[256];
  if (interface == 0 || !::if_indextoname(interface, name)) return 0;
  std::snprintf(path, sizeof path, "/sys/class/net/%s/master", name);
  const ssize_t n = ::readlink(path, target, sizeof target - 1);
  if (n < 0) return 0;
  target[n] = '\0';
  const std::string_view whole(target, static_cast<std::size_t>(n));
  return ::if_nametoindex(target + whole.rfind('/') + 1);
}

bool has_filter(int fd) noexcept {
  socklen_t size = 0;  // asks for the number of instructions
  return ::getsockopt(fd, SOL_SOCKET, SO_GET_FILTER, nullptr, &size) != 0 || size != 0;
}

void detach(int fd) noexcept {
  const int unused = 0;
  ::setsockopt(fd, SOL_SOCKET, SO_DETACH_FILTER, &unused, sizeof unused);
}

}  // namespace

void memberships::add(int fd, const address& group, unsigned interface) {
  if (all_.empty() && has_filter(fd)) return;
  all_.push_back({group.bytes(), interface, master_of(interface)});
  attach(fd);
}

void memberships::undo(int fd) noexcept {
  if (all_.empty()) return;
  all_.pop_back();
  attach(fd);
}

void memberships::remove(int fd, const address& group, unsigned interface, bool all) noexcept {
  if (all_.empty()) return;
  // Without an interface the system leaves the last membership of the group, and so does this. A
  // group that was joined without an interface may be left by naming one.
  const auto same = [&](unsigned index) {
    return [&group, index](const membership& m) {
      return m.group == group.bytes() && m.interface == index;
    };
  };
  const auto last = std::find_if(all_.rbegin(), all_.rend(), [&](const membership& m) {
    return m.group == group.bytes() && (interface == 0 || m.interface == interface);
  });
  const unsigned index = last != all_.rend() ? last->interface : 0;
  if (all)
    std::erase_if(all_, same(index));
  else if (const auto one = std::find_if(all_.begin(), all_.end(), same(index)); one != all_.end())
    all_.erase(one);
  else
    return;
  attach(fd);
}

void memberships::clear(int fd) noexcept {
  if (!all_.empty()) detach(fd);
  all_.clear();
}

/// Where the filter cannot be had, because it is too long say, groups are heard on more interfaces.
void memberships::attach(int fd) noexcept {
  try {
    program p;
    load(p, BPF_W, static_cast<std::uint32_t>(SKF_AD_OFF + SKF_AD_PROTOCOL));
    compare(p, ETH_P_IPV6, 0, 2);
    load(p, BPF_B, destination);
    compare(p, 0xff, 1, 0);
    finish(p, accepted);
    for (std::uint32_t i = 0; i != 4; ++i) {
      load(p, BPF_W, destination + 4 * i);
      store(p, i);
    }
    load(p, BPF_W, static_cast<std::uint32_t>(SKF_AD_OFF + SKF_AD_IFINDEX));
    store(p, interface_slot);
    const std::size_t without_groups = p.size();
    std::vector<membership> by_group = all_;
    std::sort(by_group.begin(), by_group.end(),
              [](const membership& a, const membership& b) { return a.group < b.group; });
    std::vector<unsigned> interfaces;
    for (auto entry = by_group.begin(); entry != by_group.end();) {
      const address::v6_bytes& group = entry->group;
      interfaces.clear();
      for (; entry != by_group.end() && entry->group == group; ++entry) {
        const unsigned shown = entry->master ? entry->master : entry->interface;
        for (const unsigned index : {entry->interface, shown})
          if (std::find(interfaces.begin(), interfaces.end(), index) == interfaces.end())
            interfaces.push_back(index);
      }
      const bool any = std::find(interfaces.begin(), interfaces.end(), 0u) != interfaces.end();
      if (!any && interfaces.size() <= max_interfaces) add_group(p, group, interfaces);
    }
    finish(p, accepted);
    if (p.size() > without_groups + 1 && p.size() <= BPF_MAXINSNS) {
      const sock_fprog whole = {static_cast<unsigned short>(p.size()), p.data()};
      if (::setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &whole, sizeof whole) == 0) return;
    }
  } catch (...) {
  }
  detach(fd);
}

}  // namespace cosock::detail
