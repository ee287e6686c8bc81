// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cosock/detail/core.hpp>

#include <cstdint>

namespace cosock::detail {

/// Something that happens at a time: an element of its loop's timer wheel. Nanoseconds are those of
/// std::chrono::steady_clock.
class COSOCK_API timer : public link {
 public:
  virtual void expire() noexcept = 0;
  /// Starts, or starts anew. Never early, late by at most 66 us besides the kernel's own delay.
  void start_timer(loop_state& loop, std::int64_t time) noexcept;
  void stop_timer() noexcept { unlink(); }
  bool is_running() const noexcept { return linked(); }

  std::uint64_t tick;

 protected:
  timer() noexcept {}
  timer(const timer&) = delete;
  timer& operator=(const timer&) = delete;
  ~timer() { stop_timer(); }
};

COSOCK_API std::int64_t steady_now() noexcept;
/// `from + by` without overflow.
constexpr std::int64_t later(std::int64_t time, std::int64_t delay) noexcept {
  return delay > INT64_MAX - time ? INT64_MAX : time + delay;
}

}  // namespace cosock::detail
