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

/// What happens when nothing but input from outside can go on: descriptors of the system, operations of
/// Asio, answers of name servers.
enum class real_input {
  wait,    ///< it is waited for in real time, which passes for the virtual clock too
  forbid,  ///< run() throws std::logic_error
};

/// How a virtual loop behaves.
struct virtual_loop_options {
  /// Of all random choices. Not set: that of seed_from_environment(), else random.
  std::optional<std::uint64_t> seed = std::nullopt;
  task_order order = task_order::first_come;
  real_input input = real_input::wait;
  /// No other thread sends to the mailboxes of the loop, and no signal is expected: a task that waits for
  /// them does not keep the time from passing, and may be stuck.
  bool closed = false;
};

/// Thrown by run() of a virtual loop when no task can go on: each waits for another one, or for
/// something that nobody will do. what() lists the tasks, and what each waits for.
class COSOCK_API stuck : public std::runtime_error {
 public:
  /// With these lines, each with a line break before it.
  explicit stuck(const std::string& waits);
  ~stuck() override;
};

/// A loop for tests, whose time does not wait. Its clock, cosock::now(), stands still while a task runs,
/// and jumps to the next sleep, limit or deadline when nothing else can happen: nothing is ready, and
/// nothing is owed from outside. So hours of backoff pass in a millisecond, and the code under test is
/// the one that runs in production.
///
/// Owed are look-ups of names, operations of Asio, descriptors of the system on which a task waits, and
/// values for a mailbox, or signals, on which one waits. While one is owed, time passes as it really
/// does, so a limit never expires because real bytes took a millisecond. Events, channels and the like
/// are not owed, because only tasks of the loop can complete them. A task that yields until something
/// changes is always ready, so no time passes meanwhile.
///
/// The seed of a shuffled order is in what() of `stuck`; print seed() when a test fails otherwise, and
/// set COSOCK_SEED to repeat the run.
class COSOCK_API virtual_loop : private detail::virtual_reactor_owner, public loop {
 public:
  /// The clock begins at the same time in each loop. Throws std::logic_error inside a task;
  /// std::invalid_argument if COSOCK_SEED is no number; system_error.
  explicit virtual_loop(const virtual_loop_options& options = {});
  ~virtual_loop();

  // run(), start(), poll() and the others are those of a loop. run() and run_some() throw `stuck`.

  /// The virtual time that has passed since the loop was made. Also outside of run().
  [[nodiscard]] clock::duration elapsed() const noexcept;
  /// The present time of the loop. Also outside of run(), where cosock::now() is real.
  [[nodiscard]] clock::time_point now() const noexcept;
  /// Runs the tasks that were started for this span of virtual time. Throws what run() throws.
  void advance(time_span span);
  /// Runs until nothing is ready. The time stands still, and input from outside is not waited for.
  /// Throws std::logic_error if tasks yield to each other without end.
  void settle();
  /// The seed of the random choices.
  [[nodiscard]] std::uint64_t seed() const noexcept;

 private:
  friend class network;
  explicit virtual_loop(std::unique_ptr<detail::virtual_reactor>);
};

}  // namespace cosock::testing
