// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// The implementation of a loop: a scheduler and the reactor in which it waits; the functions that
// run it; its copy in a forked child. Owned by `loop`. It owns the reactor, and destroys the tasks,
// but neither sockets nor handles.

#include <cosock/loop.hpp>

#include "core/scheduler.hpp"
#include "loop/asio_reactor.hpp"

#include <atomic>
#include <memory>
#include <vector>

namespace cosock {
struct watch_options;
}

namespace cosock::detail {

/// A handle that also knows the context in which the loop runs: its own, or one of the program.
class asio_loop_handle final : public loop_handle {
 public:
  /// The context, or null if the loop is gone.
  boost::asio::execution_context* context() const noexcept;
  void set_context(boost::asio::execution_context& c) noexcept { context_ = &c; }

 private:
  boost::asio::execution_context* context_ = nullptr;
};

class engine;
class loop_watch;

/// Stands between the scheduler of a loop and its reactor: loops of tests have virtual time.
class reactor_layer : public reactor {
 public:
  /// Called once, before anything else: the reactor below, and the engine above.
  virtual void attach(reactor& below, engine& above) noexcept = 0;

 protected:
  ~reactor_layer() = default;
};

/// A base class, so that the reactor is constructed before the scheduler, which waits in it.
struct engine_reactor {
  std::unique_ptr<asio_reactor> asio;
};

class engine final : private engine_reactor, public scheduler {
 public:
  explicit engine(loop& owner, reactor_layer* between = nullptr);
  ~engine();

  static engine& get(loop_state& c) noexcept { return static_cast<engine&>(c); }
  static engine& get(loop& l) noexcept { return *l.engine_; }
  static const engine& get(const loop& l) noexcept { return *l.engine_; }
  /// The engine that runs on this thread, or null.
  static engine* current() noexcept { return static_cast<engine*>(scheduler::current()); }
  /// The engine that runs on this thread. Throws std::logic_error if there is no such engine.
  static engine& required() { return static_cast<engine&>(scheduler::required()); }

  /// Runs until the root task has ended, or the loop is abandoned.
  void run_until(class root& r);
  template <class T>
  void run_until(task_handle<T>& r) {
    run_until(static_cast<root&>(r));
  }
  /// Makes run_until() return soon, although the task has not ended. From any thread, as long as
  /// the engine exists.
  void abandon() noexcept {
    abandoned_ = true;  // before stop(), so that run_until() does not restart the context
    asio->stop();
  }
  void run_some();
  std::size_t poll();
  void stop() noexcept { asio->stop(); }
  /// See cosock::watch_turns().
  void watch_turns(const watch_options&);
  /// Those of the loop and its watch.
  loop_counters counters() const noexcept;
  /// Tells what all tasks wait for: each root is a group of one child.
  void describe_roots(wait_report&) const;

  /// For an embedded loop: runs ready turns and handlers, without waiting, but no more than is fair
  /// to the context of the program. True if more may be ready; otherwise the descriptor becomes
  /// readable later.
  bool poll_some();
  int duplicate_descriptor() const { return asio->duplicate_descriptor(); }

  boost::asio::io_context& context() noexcept { return asio->context(); }
  /// The engine of the loop that owns this context, or null.
  static engine* of_context(boost::asio::execution_context& c) noexcept {
    return static_cast<engine*>(asio_reactor::scheduler_of(c));
  }
  std::shared_ptr<asio_loop_handle> asio_handle() noexcept {
    return std::static_pointer_cast<asio_loop_handle>(handle());
  }

  /// In a forked child: makes the copy of the loop wait for its descriptors and timers in this
  /// process. Otherwise does nothing. Throws system_error.
  void go_on_in_child();
  /// The part of signals in a fork. The first three are called with the list of engines locked.
  struct fork_handlers {
    void (*prepare)() noexcept;  // in the parent, before the fork
    void (*parent)() noexcept;
    void (*child)() noexcept;     // before a loop goes on in the child
    void (*going_on)() noexcept;  // when a loop goes on in the child
  };
  static void take_part_in_forks(const fork_handlers&) noexcept;

  loop& owner;

 private:
  friend class forking;
  friend class root;
  friend class entered;
  /// Fired in the child, in the first turn of a loop that goes on: calls fork_handlers::going_on.
  struct going_on final : operation {
    void fire() override;
    void cancel() noexcept override {}
  };
  /// The place in the list of all engines of the process, which a fork needs.
  struct membership final : link {
    engine* owner = nullptr;
  };
  void leave_to_parent() noexcept;

  std::unique_ptr<loop_watch> turns_watch_;
  std::vector<std::unique_ptr<loop_watch>> replaced_watches_;
  loop_watch* watch_of_parent_ = nullptr;  // in a forked child
  link roots_;
  root* running_root_ = nullptr;
  bool of_parent_ = false;  // this process is a forked child, and the loop has not gone on in it
  membership membership_;
  going_on going_on_;
  std::atomic<bool> abandoned_ = false;
};

}  // namespace cosock::detail
