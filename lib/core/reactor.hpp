// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// How a scheduler does input and output. It knows nothing of what is behind it: the loops of a program
// have Asio and epoll there (loop/asio_reactor.hpp), another one may have a simulation.

#include <cosock/detail/core.hpp>

#include <cstdint>

namespace cosock::detail {

/// A descriptor whose events a reactor reports. Removed from the reactor before it is destroyed.
class io_watch : public link {
 public:
  enum event : unsigned {
    readable = 1,     ///< there is input, or its end
    writable = 2,     ///< there is room
    exceptional = 4,  ///< an error, a hang-up, or urgent data
  };
  /// Inside reactor::wait(): what has changed, in any combination. An error or a hang-up is reported
  /// as all three. Marks operations ready; runs no code of a task.
  virtual void on_events(unsigned) noexcept = 0;

  int watched_fd = -1;  // the reactor's, as is the next one
  bool watches_writable = false;

 protected:
  io_watch() noexcept = default;
  io_watch(const io_watch&) = delete;
  io_watch& operator=(const io_watch&) = delete;
  ~io_watch() { unlink(); }
};

/// What a loop waits in. Used on the thread of the loop, except for wake().
class reactor {
 public:
  /// Descriptors whose events one wait() reports.
  static constexpr int max_events = 128;

  /// What wait() has found besides events of descriptors.
  enum found : unsigned {
    time_passed = 1,  ///< the deadline, or an earlier one
    more_input = 2,   ///< input that others deliver, before the next wait
  };

  /// Reports each edge from now on: what the descriptor becomes, and what it is now. Not that it is
  /// writable: see add_writable(). Throws system_error.
  virtual void add(io_watch&, int fd) = 0;
  /// Reports that it is, and becomes, writable too.
  virtual void add_writable(io_watch&) noexcept = 0;
  /// Reports nothing more. The descriptor is still open.
  virtual void remove(io_watch&) noexcept = 0;

  /// Reports the events that there are. Where there are none, waits until there is one, until
  /// wake() is called, or until the deadline (steady_now(); INT64_MAX: none), if it may wait.
  /// Returns a combination of `found`. May report no event.
  virtual unsigned wait(std::int64_t deadline, bool may_wait) = 0;
  /// Has the wait that goes on, or else the next one, end at once. From any thread.
  virtual void wake() noexcept = 0;

 protected:
  ~reactor() = default;
};

}  // namespace cosock::detail
