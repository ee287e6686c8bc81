// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cosock/task.hpp>

#include <memory>
#include <vector>

namespace cosock {

/// The largest number of loops that run_loops(), and listeners for several loops, take.
inline constexpr unsigned max_loops = 4096;

/// How many processors this process may use: those of the affinity of the thread that asks
/// (sched_getaffinity(2)), as far as the quotas of its cgroups go, a part of one counted as one. At
/// least 1.
[[nodiscard]] COSOCK_API unsigned usable_cores() noexcept;

/// How run_loops() runs its loops.
struct loops_options {
  /// Bind each thread to one of the processors that the caller's may use, in turn. Threads that are
  /// started from such a thread inherit that.
  bool pin = false;
};

namespace detail {

/// The number of loops that is meant: usable_cores() for 0. Throws std::invalid_argument for more
/// than max_loops.
COSOCK_API unsigned loop_count(unsigned n);

/// What one of several loops does. Made by the caller, run and destroyed on the loop's thread.
class loop_body {
 public:
  virtual task<> run(unsigned index) = 0;
  virtual ~loop_body() = default;
};
template <class F>
class loop_body_of;

COSOCK_API task<> run_loop_bodies(std::vector<std::unique_ptr<loop_body>> bodies,
                                  loops_options options);

}  // namespace detail

/// Runs a function on `n` loops at once, each on a thread of its own, and waits until all have ended:
/// the way to more than one core. 0: usable_cores().
///
/// Each loop gets its own copy of `f`, made now, and calls it with its index, 0 to n - 1, if it takes
/// one; it returns task<>. What loops share, such as what `f` refers to, they share between threads.
///
/// The first error that leaves one cancels the others, and is thrown when all have ended, as with_nursery
/// does. Cancelled, it cancels all, waits for them, and throws `error::cancelled`. If the task that
/// waits here is destroyed, the loops are destroyed too, with their tasks where they stand; that
/// waits until each has come to an end of what it does at the moment. Throws system_error where the
/// system has no more threads, or no descriptors for their loops; std::invalid_argument, when it is
/// called, for more than max_loops.
template <class F>
task<> run_loops(unsigned n, F&& f, loops_options options = {}) {
  using body = detail::loop_body_of<std::decay_t<F>>;
  static_assert(body::with_index || body::without,
                "run_loops() takes a function of the loop's index, or of nothing, that returns "
                "cosock::task<>, and that can be copied");
  std::vector<std::unique_ptr<detail::loop_body>> bodies(detail::loop_count(n));
  for (auto& each : bodies) each = std::make_unique<body>(f);
  return detail::run_loop_bodies(std::move(bodies), options);
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
