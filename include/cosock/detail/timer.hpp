// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cosock/detail/core.hpp>

#include <cstdint>

namespace cosock::detail {

/// An entry of the timer wheel of a loop: limits, sleeps, deadlines of scopes. It belongs to the
/// operation or scope that derives from it. Times are nanoseconds of the loop's clock.
class COSOCK_API timer : public link {
 public:
  virtual void expire() noexcept = 0;
  /// Starts or restarts. Never early; late by at most 66 us besides the kernel's own delay.
  void start_timer(loop_state& loop, std::int64_t time) noexcept;
  void stop_timer() noexcept { unlink(); }
  bool is_running() const noexcept { return linked(); }

  std::uint64_t tick;  // set by the scheduler, read by the wheel

 protected:
  timer() noexcept {}
  timer(const timer&) = delete;
  timer& operator=(const timer&) = delete;
  ~timer() { stop_timer(); }
};

/// The present time of the loop's clock, in nanoseconds.
COSOCK_API std::int64_t current_time(const loop_state&) noexcept;
/// The same for the loop that runs on this thread; if none does, real time.
COSOCK_API std::int64_t current_time() noexcept;
/// `time + delay`, or INT64_MAX instead of an overflow. `time` is not negative.
constexpr std::int64_t later(std::int64_t time, std::int64_t delay) noexcept {
  return delay > INT64_MAX - time ? INT64_MAX : time + delay;
}

}  // namespace cosock::detail
