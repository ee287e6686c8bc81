// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cosock/detail/slots.hpp>
#include <cosock/loop_counters.hpp>

namespace cosock {

template <class T>
class task_handle;

namespace detail {

class engine;
class reactor_layer;
class root;

}  // namespace detail

/// An event loop: runs tasks on one thread, and waits for their sockets and timers, on an
/// io_context of its own. Programs that consist of tasks use run() (run.hpp) and need no loop
/// object. Use this class to run tasks from ordinary code, such as a test.
///
/// Only one thread at a time may use a loop, except for post(). A loop that is destroyed closes its
/// sockets and destroys the tasks that still wait: their local variables are destroyed, and no
/// further code of theirs runs. Socket objects may outlive the loop; they are closed.
///
/// A task may call exit(3). The local variables of tasks are not destroyed then. Static objects
/// are, as always; a static loop or a static `task_handle` whose tasks have not ended is left as it
/// is. Threads of the library delay neither exit() nor a return from main(). The library, or a
/// plugin that contains it, stays in memory when it is unloaded after such a thread was started.
///
/// A child process that is forked, without exec, has a copy of the loop, of its tasks and of its
/// sockets. Using, closing or destroying the copies changes nothing in the reactor, the timers and
/// the signals of the parent. The copy may go on: it waits for its descriptors in the child, beside
/// the parent, if the child is forked by a task of the loop, or by the thread that owns it. A loop
/// that another thread was running has lost that thread, and must not be used in the child. New
/// loops, and run(), work there. Both processes have the same connections: data that one of them
/// sends or receives is not sent or received by the other, and a connection ends when both have
/// closed it (fork(2)). A loop in an io_context of the program goes on in the child if the program
/// calls `io_context::notify_fork()` as Asio requires.
class COSOCK_API loop {
 public:
  loop();
  ~loop();
  loop(const loop&) = delete;
  loop& operator=(const loop&) = delete;

  /// The loop that runs on this thread. Throws std::logic_error if none does.
  [[nodiscard]] static loop& current();

  /// Runs the task to its end, and everything else on the loop in the meantime. Returns its result,
  /// or rethrows its exception. Waits for closed asio_streams (asio.hpp) that still have bytes to
  /// send, as cosock::run() does. Throws std::logic_error inside a task of the same loop.
  template <class T>
  T run(task<T> work);

  /// Starts a task without running the loop: it begins when the loop runs. The returned object owns
  /// it.
  template <class T>
  [[nodiscard]] task_handle<T> start(task<T> work);

  /// Runs everything that is ready, without waiting. Returns 0 if nothing was ready, otherwise a
  /// positive number; it returns after a while even if tasks yield without end. Throws
  /// std::logic_error inside a task of this loop.
  std::size_t poll();
  /// Waits until something is ready, and runs it. Throws std::logic_error inside a task of this
  /// loop.
  void run_some();

  /// Calls the function on the loop, soon. This is the one member that any thread may call, as long
  /// as the loop exists: use it to cancel a scope, or to wake a task, from another thread. A
  /// function that was not called when the loop is destroyed is destroyed with the loop. The
  /// function must not throw.
  template <class F>
  void post(F function) {
    struct function_call final : detail::loop_message {
      explicit function_call(F&& f) : f_(std::move(f)) {}
      void deliver() override {
        F f(std::move(f_));
        delete this;
        f();
      }
      void discard() noexcept override { delete this; }
      F f_;
    };
    post_message(new function_call(std::move(function)));
  }

  /// A snapshot of the counters, for logs and metrics: `loop::current().counters()`. Counts what is ready
  /// and what has a timer, which takes a time proportional to their number: about 2 ms for 100,000 timers.
  /// For another loop: call post() with a function that takes the snapshot.
  [[nodiscard]] loop_counters counters() const noexcept;

 protected:
  /// For loops of tests, whose time is virtual.
  explicit loop(detail::reactor_layer&);

 private:
  friend class detail::engine;
  void post_message(detail::loop_message*);
  void run_root(detail::root&);
  detail::loop_state& state() noexcept;
  detail::engine* engine_;
};

namespace detail {

/// The root of a tree of tasks: no task awaits it, the loop runs it.
class COSOCK_API root : public task_group, public link {
 public:
  bool done() const noexcept { return active_ == 0; }
  /// Whether the scope around the task was cancelled.
  bool is_cancelled() const noexcept { return scope_.cancelled; }
  /// By the loop, which ends: destroys the task.
  void drop() noexcept;

 protected:
  explicit root(loop_state& loop) noexcept;
  ~root() { finish(); }
  /// For derived classes too: nothing of the task is left after it.
  void finish() noexcept;
  void begin(child_coroutine started);
  void check_done() const;
  /// Called when it has been destroyed with its loop.
  virtual void dropped() noexcept {}
  cancel_node scope_;

 private:
  void on_all_done() noexcept override;
  loop_state& loop_;
  bool dropped_ = false;
};

}  // namespace detail

/// A task that was started on a loop, and its result. Destroying the object destroys the suspended
/// task; it cannot be detached.
template <class T>
class [[nodiscard]] task_handle final : private detail::root {
 public:
  ~task_handle() { finish(); }

  /// Whether the task has ended.
  [[nodiscard]] bool done() const noexcept { return root::done(); }
  /// Cancels the scope around the task. The task ends later, on the loop.
  void cancel() noexcept override {
    scope_.cancelled = true;
    task_group::cancel();
  }
  /// Returns the result of a task that is done, or rethrows its exception; once. Throws
  /// std::logic_error for a task that is not done, or that was destroyed with its loop.
  T result() {
    check_done();
    rethrow_errors();
    if constexpr (!std::is_void_v<T>) return *std::move(slot_);
  }

 private:
  friend class loop;
  friend class detail::engine;
  task_handle(detail::loop_state& loop, task<T> work) : root(loop) {
    begin(detail::fill_slot(std::move(work).operator co_await(), slot_, 0, first_));
  }
  std::optional<detail::storable<T>> slot_;
  std::size_t first_ = detail::no_winner;
};

// Implementation

template <class T>
task_handle<T> loop::start(task<T> work) {
  return task_handle<T>(state(), std::move(work));
}

template <class T>
T loop::run(task<T> work) {
  task_handle<T> root = start(std::move(work));
  run_root(root);
  return root.result();
}

}  // namespace cosock
