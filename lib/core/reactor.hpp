// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// The interface through which a scheduler waits for input and output. It hides the implementation:
// loops use Asio and epoll (loop/asio_reactor.hpp); a test can use a simulation.

#include <cosock/detail/core.hpp>

#include <cstdint>

namespace cosock::detail {

/// A descriptor whose events a reactor reports. Removed from the reactor before it is destroyed.
class io_watch : public link {
 public:
  enum event : unsigned {
    readable = 1,     ///< there is input, or its end
    writable = 2,     ///< there is room
    exceptional = 4,  ///< an error, a hang-up, the end of the input, or urgent data
  };
  /// Called inside reactor::wait() with a combination of events. An error or a hang-up is reported
  /// as all three, because operations in both directions have to notice it. Marks operations ready;
  /// runs no code of a task.
  virtual void on_events(unsigned) noexcept = 0;
  /// Whether a task waits for an event. A loop with virtual time must not let time pass in its place.
  virtual bool is_awaited() const noexcept { return true; }

  int watched_fd = -1;  // set and read by the reactor only, as is watches_writable
  bool watches_writable = false;

 protected:
  io_watch() noexcept = default;
  io_watch(const io_watch&) = delete;
  io_watch& operator=(const io_watch&) = delete;
  ~io_watch() { unlink(); }
};

/// What a loop waits in. Used on the thread of the loop, except for wake(). It refers to the
/// watches, and does not own them.
class reactor {
 public:
  /// Descriptors whose events one wait() reports.
  static constexpr int max_events = 128;

  /// What wait() has found besides events of descriptors.
  enum found : unsigned {
    time_passed = 1,  ///< the deadline, or an earlier one
    more_input = 2,   ///< input that others (Asio's handlers) deliver before the next wait
  };

  /// Starts to report edges: the present state of the descriptor, and each later change. Room for
  /// output is not reported, see add_writable(). Throws system_error.
  virtual void add(io_watch&, int fd) = 0;
  /// Extends the watch to room for output: its present state, and each later change.
  virtual void add_writable(io_watch&) noexcept = 0;
  /// Ends the watch. The descriptor must still be open.
  virtual void remove(io_watch&) noexcept = 0;

  /// Reports pending events. If there are no events and `may_wait` is true, waits until an event
  /// occurs, until wake() is called, or until the deadline (a time of now(); INT64_MAX means
  /// no deadline). Returns a combination of `found`. May report no event.
  virtual unsigned wait(std::int64_t deadline, bool may_wait) = 0;
  /// The present time of the loop's clock, in nanoseconds. It never decreases.
  virtual std::int64_t now() noexcept = 0;
  /// How long ago a turn had this stamp, see loop_state::stamp; in nanoseconds.
  virtual std::int64_t age(std::uint64_t stamp) noexcept = 0;
  /// Whether others (Asio) wait for something, or have a handler to call.
  virtual bool has_other_work() const noexcept = 0;
  /// A random number; on a loop of a test it follows from the seed. Throws what std::random_device throws.
  virtual std::uint64_t random_number() = 0;
  /// Ends the wait; if the loop does not wait now, its next wait ends at once. From any thread.
  virtual void wake() noexcept = 0;

 protected:
  ~reactor() = default;
};

/// Real time (CLOCK_MONOTONIC), in nanoseconds: the clock of every loop that is not one of a test.
COSOCK_API std::int64_t real_time() noexcept;

}  // namespace cosock::detail
