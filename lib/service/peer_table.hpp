// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// The peers of a server: how many connections each has, and when one was last reported. Used by
// serve(), which owns it; knows no socket.

#include <cosock/address.hpp>

#include <cstddef>
#include <cstdint>
#include <map>

namespace cosock::detail {

/// Peers by address; IPv6 peers by the first 64 bits, because a network has so many addresses to
/// itself. A map that is ordered: peers cannot choose addresses that make it slow.
class peer_table {
 public:
  static std::uint64_t key_of(const address& peer) noexcept {
    const address real = peer.unmapped();
    std::uint64_t key = 0;
    const int n = real.is_v4() ? 4 : 8;
    for (int i = 0; i != n; ++i) key = key << 8 | real.bytes()[static_cast<std::size_t>(i)];
    // Multicast addresses of IPv6, which no peer has.
    return real.is_v4() ? key | 0xffff'ffff'0000'0000 : key;
  }

  /// Counts a connection, unless the peer has `most` already. May throw std::bad_alloc.
  bool enter(std::uint64_t key, std::size_t most) {
    entry& peer = peers_[key];
    if (peer.connections >= most) return false;
    ++peer.connections;
    return true;
  }
  void leave(std::uint64_t key) noexcept {
    const auto at = peers_.find(key);
    if (at == peers_.end() || --at->second.connections != 0) return;
    if (at->second.reported == never) peers_.erase(at);
  }
  /// Whether the peer was not reported in the last `period`; it is now.
  bool may_report(std::uint64_t key, std::int64_t now, std::int64_t period) {
    if (now - swept_ >= period) {
      swept_ = now;
      std::erase_if(peers_, [&](const auto& peer) {
        return peer.second.connections == 0 && now - peer.second.reported >= period;
      });
    }
    entry& peer = peers_[key];
    if (peer.reported != never && now - peer.reported < period) return false;
    peer.reported = now;
    return true;
  }

 private:
  static constexpr std::int64_t never = -1;
  struct entry {
    std::size_t connections = 0;
    std::int64_t reported = never;
  };
  std::map<std::uint64_t, entry> peers_;
  std::int64_t swept_ = 0;
};

}  // namespace cosock::detail
