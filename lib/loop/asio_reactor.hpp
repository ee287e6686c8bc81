// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// The door to Asio: this header and its source are the only ones of the library that name the private
// parts of Asio, or open private members of its classes. What they assume about these is what
// test/loop/reactor_contract*.cpp check with each Boost. The header itself includes no Asio.

#include "core/reactor.hpp"

#include <cstddef>
#include <memory>

namespace boost::asio {
class execution_context;
class io_context;
}  // namespace boost::asio

namespace cosock::detail {

class scheduler;

/// The reactor of a loop that runs inside an io_context.
///
/// Our descriptors are in an epoll set of their own, and so is the set of Asio's reactor, whose
/// descriptor becomes readable when Asio has an event, a timer that is due included. This takes the
/// place of Asio's reactor as the task of the context's scheduler: whenever that has no handler to
/// call, it runs a turn of the loop, which waits in our set. So a wake-up is one system call and one
/// pass through Asio's queue, whatever it brings, and handlers of Asio's run between the turns.
class asio_reactor final : public reactor {
 public:
  /// For the scheduler whose turns it runs. Throws system_error.
  explicit asio_reactor(scheduler&);
  ~asio_reactor();
  asio_reactor(const asio_reactor&) = delete;

  boost::asio::io_context& context() noexcept;
  boost::asio::execution_context& execution_context() noexcept;
  /// The scheduler of the loop to which a context belongs, or null.
  static scheduler* scheduler_of(boost::asio::execution_context&) noexcept;

  /// Runs turns, and handlers of the context, until stop().
  void run();
  /// Waits until something is ready, and runs it; or until stop().
  void run_some();
  /// Runs what is ready, up to so many turns and handlers. Returns how many.
  std::size_t poll(std::size_t max);
  /// Takes back earlier calls of stop().
  void restart();
  /// From any thread: ends run() and run_some(), and those that begin before restart().
  void stop() noexcept;

  /// A descriptor that becomes readable when poll() has something to do; duplicated for the caller.
  /// Throws system_error.
  int duplicate_descriptor() const;
  /// For a loop that is polled when that descriptor is readable: false if poll() has something to
  /// do already.
  bool prepare_to_be_polled() noexcept;

  /// In a child process that was forked: leaves everything in the system to the parent, and has
  /// empty counterparts instead.
  void leave_to_parent() noexcept;
  /// Then, to go on in the child. Throws system_error.
  void go_on_in_child();

  void add(io_watch&, int fd) override;
  void add_writable(io_watch&) noexcept override;
  void remove(io_watch&) noexcept override;
  unsigned wait(std::int64_t deadline, bool may_wait) override;
  void wake() noexcept override;

 private:
  class state;
  const std::unique_ptr<state> state_;
};

/// What Asio has one of in a process for the signals that it catches: its handler writes to a pipe,
/// which all contexts read. A child process that is forked must not share it.
namespace asio_signals {
void lock() noexcept;
void unlock() noexcept;
/// Gives the process a pipe of its own, under the same numbers.
void replace_pipe() noexcept;
}  // namespace asio_signals

}  // namespace cosock::detail
