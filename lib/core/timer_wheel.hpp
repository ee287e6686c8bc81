// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cosock/detail/timer.hpp>

#include <bit>
#include <cstdint>

namespace cosock::detail {

/// A hierarchical timer wheel: insertion and removal take constant time for any number of timers.
/// Level k has 64 slots of 64^k ticks each; an entry sits on the level of the highest digit (base
/// 64) in which its tick differs from the present, and moves down as its time comes near. The wheel
/// refers to the timers, and does not own them. Used by the scheduler of one loop.
class timer_wheel {
 public:
  static constexpr std::uint64_t never = UINT64_MAX;
  static constexpr int tick_bits = 16;  // a tick is 2^16 ns, 66 us: a shift, no division

  // Deadlines are rounded up and the present is rounded down, so that no timer fires early.
  static std::uint64_t tick_at_or_before(std::int64_t ns) noexcept {
    return ns < 0 ? 0 : static_cast<std::uint64_t>(ns) >> tick_bits;
  }
  static std::uint64_t tick_at_or_after(std::int64_t ns) noexcept {
    if (ns < 0) return 0;
    return (static_cast<std::uint64_t>(ns) + (1u << tick_bits) - 1) >> tick_bits;
  }
  static std::int64_t time_of(std::uint64_t tick) noexcept {
    return tick >= static_cast<std::uint64_t>(INT64_MAX >> tick_bits)
               ? INT64_MAX
               : static_cast<std::int64_t>(tick << tick_bits);
  }

  timer_wheel() noexcept {
    for (auto& level : slots_)
      for (auto& slot : level) slot.previous = slot.following = &slot;
  }

  /// Files the timer under its tick, or under the next one if that has passed.
  void insert(timer& t) noexcept {
    if (t.tick <= now_) t.tick = now_ + 1;
    // `tick ^ now_` is not zero, so the highest digit that differs exists.
    const int level = (63 - std::countl_zero(t.tick ^ now_)) / 6;
    const int slot = static_cast<int>(t.tick >> (level * 6)) & 63;
    t.insert_before(slots_[level][slot]);
    occupied_[level] |= std::uint64_t{1} << slot;
  }

  /// The next tick at which advance() has work, or never. May be sooner than the first timer: the
  /// tick at which a slot of a higher level begins.
  std::uint64_t next() noexcept { return first().at; }

  /// The number of timers. Counts them.
  std::size_t size() const noexcept {
    std::size_t all = 0;
    for (const auto& level : slots_)
      for (const link& head : level) all += length(head);
    return all;
  }

  /// Moves the present to `tick`, and passes each due timer to `due`, in the order of their ticks,
  /// then of their insertion.
  template <class F>
  void advance(std::uint64_t tick, F due) noexcept {
    for (place p; (p = first()).at <= tick;) {
      now_ = p.at;
      occupied_[p.level] &= ~(std::uint64_t{1} << p.slot);
      // A due timer may stop other timers of the same slot, so the head is read again each time.
      for (link& head = slots_[p.level][p.slot]; head.following != &head;) {
        timer& t = static_cast<timer&>(*head.following);
        t.unlink();
        if (t.tick <= now_)
          due(t);
        else
          insert(t);
      }
    }
    if (tick > now_) now_ = tick;
  }

 private:
  static constexpr int levels = 8;  // 48 bits of ticks: more than 63 bits of nanoseconds
  struct place {
    std::uint64_t at = never;
    int level = 0;
    int slot = 0;
  };

  /// The first slot that is not empty. All timers of one level are due before any timer of the
  /// next. A stopped timer only unlinks itself, so the bit of its slot may still be set.
  place first() noexcept {
    for (int level = 0; level != levels; ++level) {
      while (occupied_[level]) {
        const int slot = std::countr_zero(occupied_[level]);
        const link& head = slots_[level][slot];
        if (head.following == &head) {
          occupied_[level] &= ~(std::uint64_t{1} << slot);
          continue;
        }
        const std::uint64_t block = now_ >> (level * 6 + 6) << 6;
        return {(block + static_cast<unsigned>(slot)) << (level * 6), level, slot};
      }
    }
    return {};
  }

  link slots_[levels][64];
  std::uint64_t occupied_[levels] = {};
  std::uint64_t now_ = 0;
};

}  // namespace cosock::detail
