// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// What a loop is made of: a scheduler and the reactor in which it waits; who runs it, and its copy in a
// child process that was forked.

#include <cosock/loop.hpp>

#include "core/scheduler.hpp"
#include "loop/asio_reactor.hpp"

#include <atomic>
#include <memory>

namespace cosock::detail {

/// Tells, besides, where the loop runs: in its own context, or in one of the program's.
class asio_loop_handle final : public loop_handle {
 public:
  /// The context, or null if the loop is gone.
  boost::asio::execution_context* context() const noexcept;
  void set_context(boost::asio::execution_context& c) noexcept { context_ = &c; }

 private:
  boost::asio::execution_context* context_ = nullptr;
};

/// Made before the scheduler, which waits in it.
struct engine_reactor {
  std::unique_ptr<asio_reactor> asio;
};

class engine final : private engine_reactor, public scheduler {
 public:
  explicit engine(loop& owner);
  ~engine();

  static engine& get(loop_state& c) noexcept { return static_cast<engine&>(c); }
  static engine& get(loop& l) noexcept { return *l.engine_; }
  /// The one that runs on this thread, or null.
  static engine* current() noexcept { return static_cast<engine*>(scheduler::current()); }
  /// The same, or std::logic_error.
  static engine& required() { return static_cast<engine&>(scheduler::required()); }

  /// Runs until the root task has ended, or the loop is abandoned.
  void run_until(class root& r);
  template <class T>
  void run_until(task_handle<T>& r) {
    run_until(static_cast<root&>(r));
  }
  /// Has run_until() return soon, whatever goes on. From any thread, as long as the engine exists.
  void abandon() noexcept {
    abandoned_ = true;
    asio->stop();
  }
  void run_some();
  std::size_t poll();
  void stop() noexcept { asio->stop(); }

  /// For a loop that another one waits for: does as much as one turn of that should, without
  /// waiting. True if more may be ready; otherwise the descriptor becomes readable when it is.
  bool poll_some();
  int duplicate_descriptor() const { return asio->duplicate_descriptor(); }

  boost::asio::io_context& context() noexcept { return asio->context(); }
  /// The engine whose loop this context belongs to, or null.
  static engine* of_context(boost::asio::execution_context& c) noexcept {
    return static_cast<engine*>(asio_reactor::scheduler_of(c));
  }
  std::shared_ptr<asio_loop_handle> asio_handle() noexcept {
    return std::static_pointer_cast<asio_loop_handle>(handle());
  }

  /// In a child process that was forked: has the loop, which is its parent's until then, wait for its
  /// descriptors and timers here. Otherwise does nothing. Throws system_error.
  void go_on_in_child();
  /// What else of the process takes part in a fork.
  struct fork_handlers {
    void (*prepare)() noexcept;  // in the parent, before
    void (*parent)() noexcept;
    void (*child)() noexcept;     // before any loop goes on there
    void (*going_on)() noexcept;  // a loop does
  };
  static void take_part_in_forks(const fork_handlers&) noexcept;

  loop& owner;

 private:
  friend class forking;
  friend class root;
  friend class entered;
  /// Goes on in the child with everything that is not the reactor's.
  struct going_on final : operation {
    void fire() override;
    void cancel() noexcept override {}
  };
  /// Among all engines of the process.
  struct membership final : link {
    engine* owner = nullptr;
  };
  void leave_to_parent() noexcept;

  link roots_;
  root* running_root_ = nullptr;
  bool of_parent_ = false;  // this process is a child, in which the loop has not gone on yet
  membership membership_;
  going_on going_on_;
  std::atomic<bool> abandoned_ = false;
};

}  // namespace cosock::detail
