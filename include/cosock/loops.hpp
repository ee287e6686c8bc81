// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cosock/task.hpp>

#include <memory>
#include <optional>
#include <vector>

namespace cosock {

/// The largest number of loops that run_loops(), and acceptors for several loops, accept.
inline constexpr unsigned max_loops = 4096;

/// The number of processors that this process may use: those in the affinity mask of the calling
/// thread (sched_getaffinity(2)), limited by the CPU quotas of its cgroups, rounded up. At least 1.
[[nodiscard]] COSOCK_API unsigned usable_cores() noexcept;

/// Options of run_loops().
struct run_loops_options {
  /// Binds each thread to one of the processors of the calling thread's affinity mask, in turn.
  /// Threads that are started from such a thread inherit that.
  bool pin = false;
};

namespace detail {

/// Checks a number of loops; usable_cores() if it is not set. Throws std::invalid_argument for 0, or
/// more than max_loops.
COSOCK_API unsigned loop_count(std::optional<unsigned> n);

/// The work of one of several loops. Made by the caller, run and destroyed on the loop's thread.
class loop_body {
 public:
  virtual task<> run(unsigned index) = 0;
  virtual ~loop_body() = default;
};
template <class F>
class loop_body_of;

COSOCK_API task<> run_loop_bodies(std::vector<std::unique_ptr<loop_body>> bodies,
                                  run_loops_options options);

}  // namespace detail

/// Runs a function on `n` loops concurrently, each on a thread of its own, and returns after all of
/// them have ended. Use it to run on more than one core. Without `n` it runs usable_cores() loops.
///
/// Each loop calls its own copy of `f`, made in this call. `f` returns task<>, and may take the
/// index of the loop, 0 to n - 1. Objects that `f` refers to are shared between threads.
///
/// The first error that leaves one loop cancels the others, and is thrown when all have ended, as
/// with_nursery does. On cancellation it cancels all loops, waits for them, and throws
/// `error::cancelled`. If the task that waits here is destroyed, the loops are destroyed too, with
/// their suspended tasks; that waits until each loop has finished its current step. Throws
/// system_error if the system has no more threads, or no descriptors for the loops;
/// std::invalid_argument, from the call, for 0 loops or more than max_loops.
template <class F>
task<> run_loops(std::optional<unsigned> n, F&& f, run_loops_options options = {}) {
  using body = detail::loop_body_of<std::decay_t<F>>;
  static_assert(body::with_index || body::without,
                "run_loops() takes a function of the loop's index, or of nothing, that returns "
                "cosock::task<>, and that can be copied");
  std::vector<std::unique_ptr<detail::loop_body>> bodies(detail::loop_count(n));
  for (auto& entry : bodies) entry = std::make_unique<body>(f);
  return detail::run_loop_bodies(std::move(bodies), options);
}

/// The same, on usable_cores() loops.
template <class F>
  requires(!std::convertible_to<F, std::optional<unsigned>>)
task<> run_loops(F&& f, run_loops_options options = {}) {
  return run_loops(std::nullopt, std::forward<F>(f), options);
}

// Implementation

template <class F>
class detail::loop_body_of final : public loop_body {
 public:
  static constexpr bool with_index = std::is_invocable_r_v<task<>, F&, unsigned>;
  static constexpr bool without = std::is_invocable_r_v<task<>, F&>;
  explicit loop_body_of(const F& f) : f_(f) {}
  task<> run(unsigned index) override {
    if constexpr (with_index)
      return f_(index);
    else
      return f_();
  }

 private:
  F f_;
};

}  // namespace cosock
