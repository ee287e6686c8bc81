// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// The door to Asio: only this header and its source name private parts of Asio, or open private
// members of its classes. Their assumptions are checked by test/loop/reactor_contract*.cpp with
// each Boost. The header itself includes no Asio.

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
/// The descriptors of cosock are in an epoll set of their own. The set of Asio's reactor is nested
/// in it: its descriptor becomes readable when Asio has an event or a due timer. This class takes
/// the place of Asio's reactor as the task of the context's scheduler: whenever the scheduler runs
/// its task, this class runs a turn of the loop, which waits in the set of cosock. So a wake-up
/// costs one system call and one pass through Asio's queue, for any number of events, and handlers
/// of Asio run between the turns.
///
/// It owns the io_context, the epoll set, a timerfd and an eventfd. It does not own the scheduler,
/// nor the descriptors that it watches. `engine` owns it.
class asio_reactor final : public reactor {
 public:
  /// Runs the turns of this scheduler, which may be constructed later. Throws system_error.
  explicit asio_reactor(scheduler&);
  ~asio_reactor();
  asio_reactor(const asio_reactor&) = delete;

  boost::asio::io_context& context() noexcept;
  boost::asio::execution_context& execution_context() noexcept;
  /// The scheduler of the loop to which a context belongs, or null.
  static scheduler* scheduler_of(boost::asio::execution_context&) noexcept;

  /// The stamp of the time before the first turn.
  std::uint64_t first_stamp() const noexcept;

  /// Runs turns, and handlers of the context, until stop().
  void run();
  /// Waits until something is ready, and runs it; or until stop().
  void run_some();
  /// Runs up to `max` ready turns and handlers, without waiting. Returns their number.
  std::size_t poll(std::size_t max);
  /// Undoes earlier calls of stop().
  void restart();
  /// From any thread: ends run() and run_some(), also calls of these that begin before restart().
  void stop() noexcept;

  /// A descriptor that becomes readable when poll() has work; the caller owns it, it is a
  /// duplicate. Throws system_error.
  int duplicate_descriptor() const;
  /// For an embedded loop, before it waits for that descriptor: false if poll() has work already.
  bool prepare_to_be_polled() noexcept;

  /// In a forked child: leaves the epoll sets, the timers and the eventfd to the parent, and puts
  /// new, empty ones under their numbers.
  void leave_to_parent() noexcept;
  /// After that, if the child runs the loop: adds all descriptors again. Throws system_error.
  void go_on_in_child();

  void add(io_watch&, int fd) override;
  void add_writable(io_watch&) noexcept override;
  void remove(io_watch&) noexcept override;
  unsigned wait(std::int64_t deadline, bool may_wait) override;
  std::int64_t now() noexcept override;
  std::int64_t age(std::uint64_t stamp) noexcept override;
  bool has_other_work() const noexcept override;
  std::uint64_t random_number() override;
  void wake() noexcept override;

 private:
  class state;
  const std::unique_ptr<state> state_;
};

/// The state of Asio's signals, one for the process: its signal handler writes to a pipe, which all
/// contexts read. A forked child must not share the pipe.
namespace asio_signals {
void lock() noexcept;
void unlock() noexcept;
/// Replaces the pipe by a new one, under the same numbers.
void replace_pipe() noexcept;
}  // namespace asio_signals

}  // namespace cosock::detail
