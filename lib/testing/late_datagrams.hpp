// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// The datagrams of one direction that a faulty socket has taken, and that arrive later. Owned by the
// state of the socket. Times are those of the loop's clock.

#include <cosock/datagram.hpp>

#include <cosock/detail/timer.hpp>

#include <algorithm>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace cosock::testing::detail {

template <class Endpoint>
struct late_datagram {
  std::string data;
  std::size_t length = 0;  // of which `data` is a prefix
  std::optional<Endpoint> peer;
  std::optional<packet_info> info;
  std::uint64_t number = 0;
  unsigned copies = 1;
  std::size_t overtaken = 0;  // by so many more it has to be
  std::int64_t due = 0;       // not before
  std::int64_t limit = 0;     // it is not held back after that
  std::uint64_t order = 0;    // of those that are due at one time
};

template <class Endpoint>
class late_datagrams {
 public:
  using item = late_datagram<Endpoint>;

  std::size_t size() const noexcept { return all_.size(); }
  /// Makes room for one more.
  void reserve() {
    if (all_.size() == all_.capacity()) all_.reserve(2 * all_.size() + 4);
  }
  void add(item one) {
    one.order = ++order_;
    all_.push_back(std::move(one));
  }
  /// The one that arrives next, if its time has come.
  item* due(std::int64_t now) noexcept {
    item* next = nullptr;
    for (item& one : all_)
      if (time_of(one) <= now &&
          (!next || std::pair(time_of(one), one.order) < std::pair(time_of(*next), next->order)))
        next = &one;
    return next;
  }
  /// A copy of the datagram has arrived. Those that wait for it need not any more.
  void arrived(item& one, std::int64_t now) noexcept {
    if (--one.copies != 0) return;
    const std::uint64_t number = one.number;
    all_.erase(all_.begin() + (&one - all_.data()));
    overtake(number, now);
  }
  void drop(item& one) noexcept { all_.erase(all_.begin() + (&one - all_.data())); }
  /// The datagram of this number has arrived.
  void overtake(std::uint64_t number, std::int64_t now) noexcept {
    for (item& one : all_) {
      if (one.overtaken == 0 || one.number > number || --one.overtaken != 0) continue;
      one.due = std::max(one.due, now);
      one.order = ++order_;
    }
  }
  /// When the next one arrives if nothing else does.
  std::optional<std::int64_t> next_time() const noexcept {
    std::optional<std::int64_t> next;
    for (const item& one : all_) next = std::min(next.value_or(time_of(one)), time_of(one));
    return next;
  }

 private:
  static std::int64_t time_of(const item& one) noexcept {
    return one.overtaken == 0 ? one.due : one.limit;
  }

  std::vector<item> all_;
  std::uint64_t order_ = 0;
};

}  // namespace cosock::testing::detail
