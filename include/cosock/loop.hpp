// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cosock/detail/slots.hpp>

namespace cosock {

template <class T>
class running;

namespace detail {

class engine;
class root;

}  // namespace detail

/// One thread's worth of tasks: it runs them, and waits for their sockets and timers, on an io_context
/// of its own. Programs that are nothing but tasks use run() (run.hpp) and never see one; this class
/// is for those that run tasks from code that is none, such as a test.
///
/// Only one thread at a time may use a loop, except for post(). A loop that is destroyed closes what
/// belongs to it and destroys the tasks that still wait: their locals are destroyed where they
/// stand, no code of theirs runs after. Sockets may outlive it; they are closed.
///
/// A task may call exit(3). The locals of tasks are not destroyed then. Static objects are, as
/// always; a static loop, or a static `running` object, whose tasks are running is left as it is.
/// Threads of the library delay neither exit() nor a return from main(). The library, or a plugin
/// that contains it, stays in memory when it is unloaded after such a thread was started.
///
/// A child process that is forked, without exec, has a copy of the loop, of its tasks and of its
/// sockets. Whatever it does with the copies, closing and destroying them included, changes nothing
/// in the parent's reactor, timers and signals. The copy may go on: it waits for its descriptors in
/// the child, beside the parent, if the child is forked by a task of the loop, or by the thread
/// that owns it. A loop that another thread was running has lost that thread, and must not be used
/// in the child. New loops, and run(), work there. Both processes have the same connections: what
/// one sends or receives the other does not, and a connection ends when both have closed it
/// (fork(2)). A loop in an io_context of the program's goes on in a child with that context, by
/// notify_fork().
class COSOCK_API loop {
 public:
  loop();
  ~loop();
  loop(const loop&) = delete;
  loop& operator=(const loop&) = delete;

  /// The loop that runs on this thread. Throws std::logic_error if none does.
  [[nodiscard]] static loop& current();

  /// Runs the task to its end, and everything else on the loop meanwhile. Gives its result, or
  /// throws what left it. Waits for closed streams of Asio's that still have bytes to send, as
  /// cosock::run() does. Not from inside a task of the same loop (std::logic_error).
  template <class T>
  T run(task<T> work);

  /// Starts a task without running the loop. The returned object owns it.
  template <class T>
  [[nodiscard]] running<T> start(task<T> work);

  /// Runs everything that is ready, without waiting, and returns how many handlers the loop has run:
  /// 0 when nothing was ready, 4096 at most, so that it returns although tasks yield without end. Not
  /// from inside a task of the same loop (std::logic_error), nor is run_some().
  std::size_t poll();
  /// Waits until something is ready, and runs it.
  void run_some();

  /// Has the loop call the function, soon: the one member that any thread may call, as long as the
  /// loop exists. The way to cancel a scope, or to wake a task, from another thread. A function that
  /// was not called when the loop is destroyed is destroyed with it. It must not throw.
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

 private:
  friend class detail::engine;
  void post_message(detail::loop_message*);
  void run_root(detail::root&);
  detail::core& core() noexcept;
  detail::engine* engine_;
};

namespace detail {

/// A task at the root of everything: nobody awaits it, a loop runs it.
class COSOCK_API root : public group, public link {
 public:
  bool done() const noexcept { return active_ == 0; }
  /// Whether the scope around the task was cancelled.
  bool is_cancelled() const noexcept { return scope_.cancelled; }
  /// By the loop, which ends: destroys the task.
  void drop() noexcept;

 protected:
  explicit root(core& on) noexcept;
  ~root() { finish(); }
  /// For derived classes too: nothing of the task is left after it.
  void finish() noexcept;
  void begin(branch started);
  void check_done() const;
  /// Called when it has been destroyed with its loop.
  virtual void dropped() noexcept {}
  scope scope_;

 private:
  void all_ended() noexcept override;
  core& loop_;
  bool dropped_ = false;
};

}  // namespace detail

/// A task that was started on a loop, and its result. Destroying the object destroys the task where
/// it stands: there is no way to let go of one.
template <class T>
class [[nodiscard]] running final : private detail::root {
 public:
  ~running() { finish(); }

  /// Whether the task has ended.
  [[nodiscard]] bool done() const noexcept { return root::done(); }
  /// Cancels the scope around the task; it ends when the loop comes to it.
  void cancel() noexcept override {
    scope_.cancelled = true;
    group::cancel();
  }
  /// The result of a task that is done, or throws what left it; once. Throws std::logic_error for
  /// one that is not done, or was destroyed with its loop.
  T result() {
    check_done();
    rethrow_errors();
    if constexpr (!std::is_void_v<T>) return *std::move(slot_);
  }

 private:
  friend class loop;
  friend class detail::engine;
  running(detail::core& on, task<T> work) : root(on) {
    begin(detail::fill_slot(std::move(work).operator co_await(), slot_, 0, first_));
  }
  std::optional<detail::storable<T>> slot_;
  std::size_t first_ = detail::nobody;
};

// Implementation

template <class T>
running<T> loop::start(task<T> work) {
  return running<T>(core(), std::move(work));
}

template <class T>
T loop::run(task<T> work) {
  running<T> root = start(std::move(work));
  run_root(root);
  return root.result();
}

}  // namespace cosock
