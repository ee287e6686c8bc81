// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cosock/clock.hpp>
#include <cosock/duration.hpp>
#include <cosock/loop.hpp>
#include <cosock/testing/task_order.hpp>

#include <cstdint>
#include <memory>
#include <optional>
#include <stdexcept>

namespace cosock::testing {

class network;

namespace detail {

class virtual_reactor;

/// A base class, so that the reactor exists before the loop is made, and until it is destroyed.
struct COSOCK_API virtual_reactor_owner {
  explicit virtual_reactor_owner(std::unique_ptr<virtual_reactor>) noexcept;
  ~virtual_reactor_owner();
  const std::unique_ptr<virtual_reactor> reactor_;
};

}  // namespace detail

/// The behavior of a virtual loop when only input from outside can resume a task (see virtual_loop).
enum class real_input {
  wait,    ///< waits for the input in real time, which also passes on the virtual clock
  forbid,  ///< run() throws std::logic_error
};

/// Options of a virtual loop.
struct virtual_loop_options {
  /// The seed of all random choices. Not set: that of seed_from_environment(), or else a random one.
  std::optional<std::uint64_t> seed = std::nullopt;
  task_order order = task_order::first_come;
  real_input input = real_input::wait;
  /// True: other threads do not send to the mailboxes of the loop, and signals do not arrive. Waits for
  /// them are then no waits for input from outside: virtual time passes, and the tasks may be stuck.
  bool closed = false;
};

/// Thrown by run() of a virtual loop if no task can ever be resumed: a deadlock. what() lists the tasks,
/// and the operation for which each waits.
class COSOCK_API stuck : public std::runtime_error {
 public:
  /// For the library. `waits`: lines, each with a line break before it.
  explicit stuck(const std::string& waits);
  ~stuck() override;
};

/// A loop for tests, with a virtual clock. cosock::now() does not change while a task runs. When no task is
/// ready, and no task waits for input from outside, it jumps to the next sleep, limit or deadline. So
/// hours of backoff pass in a millisecond, with the same code as in production.
///
/// Input from outside: look-ups of names, calls on threads, operations of Asio, descriptors of the system,
/// values for a mailbox, and signals. While a task waits for one of these, virtual time passes as fast as
/// real time, so that a limit does not expire before real bytes can arrive. Events, channels and the like
/// do not count, because only tasks of the loop can complete them. While a task yields in a loop, it is
/// always ready, so no time passes.
///
/// what() of `stuck` contains the seed of a shuffled order. If a test fails for another reason, print
/// seed(). Set COSOCK_SEED to repeat the run.
class COSOCK_API virtual_loop : private detail::virtual_reactor_owner, public loop {
 public:
  /// The clock begins at the same time in each loop. Throws std::logic_error inside a task;
  /// std::invalid_argument if COSOCK_SEED is malformed; system_error.
  explicit virtual_loop(const virtual_loop_options& options = {});
  ~virtual_loop();

  // run(), start(), poll() and the other functions are those of a loop. run() and run_some() throw `stuck`.

  /// The virtual time that has passed since the loop was made. May be called outside of run().
  [[nodiscard]] clock::duration elapsed() const noexcept;
  /// The virtual time of the loop. May be called outside of run(), where cosock::now() is real time.
  [[nodiscard]] clock::time_point now() const noexcept;
  /// Runs the started tasks for this span of virtual time. Throws the exceptions of run().
  void advance(time_span span);
  /// Runs until no task is ready, without passing time or waiting for input from outside. Throws
  /// std::logic_error if tasks yield to each other without end.
  void settle();
  /// The seed of the random choices.
  [[nodiscard]] std::uint64_t seed() const noexcept;

 private:
  friend class network;
  explicit virtual_loop(std::unique_ptr<detail::virtual_reactor>);
};

}  // namespace cosock::testing
