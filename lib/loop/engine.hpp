// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cosock/buffer.hpp>
#include <cosock/detail/core.hpp>
#include <cosock/loop.hpp>

#include "core/wheel.hpp"

// What Asio keeps for each thread must be one in the whole program: the loop's handlers may be code of
// the program, or of other libraries, that looks there for the scheduler that runs it.
#pragma GCC visibility push(default)
#include <boost/asio/detail/call_stack.hpp>
#include <boost/asio/detail/thread_context.hpp>
#include <boost/asio/detail/thread_info_base.hpp>
#include <boost/asio/error.hpp>
#pragma GCC visibility pop

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

#include <atomic>
#include <memory>
#include <mutex>
#include <optional>

// The fast path under all sockets: readiness straight from Asio's reactor, see descriptor.hpp.
#include <boost/asio/detail/reactor.hpp>
#include <boost/asio/detail/scheduler.hpp>

namespace cosock::detail {

namespace asio = boost::asio;

/// A way to reach a loop from other threads that may outlive it.
struct remote {
  std::mutex mutex;
  engine* to = nullptr;  // null: the loop has gone
  asio::execution_context* context = nullptr;  // where the loop runs: its own, or one of the user's

  /// False if the loop has gone; the function is then dropped here.
  bool post(std::unique_ptr<posted> what);
};

/// What a loop in a context of the user's lives in: embedding, in asio.cpp, which programs that have
/// no such loop need not link.
class residence {
 public:
  /// The loop may not be needed any more.
  virtual void offer() noexcept = 0;

 protected:
  ~residence() = default;
};

/// What a loop is made of: queues of things that are ready, beside an io_context.
///
/// Readiness, timers and wake-ups put operations into `ready_`; one handler, posted to the io_context
/// when the queue fills, fires them all. So a batch of events costs one trip through Asio's scheduler,
/// and no coroutine is ever resumed from inside the code that made it ready.
class engine final : public core {
 public:
  explicit engine(loop& owner);
  ~engine();

  static engine& of(core& c) noexcept { return static_cast<engine&>(c); }
  static engine& of(loop& l) noexcept { return *l.engine_; }
  /// The engine that runs on this thread, or null.
  static engine* current() noexcept;
  /// The one whose loop this context belongs to, or null.
  static engine* of(asio::execution_context& context) noexcept;
  /// The same, or std::logic_error.
  static engine& required();

  /// Fires the operation soon, before the loop next waits.
  void make_ready(operation& op) noexcept {
    op.insert_before(ready_);
    if (!draining_) post_drain();
  }
  /// Fires the operation after the loop has looked for events.
  void make_ready_later(operation& op) noexcept {
    op.insert_before(later_);
    post_drain();
  }

  /// Runs until the root task has ended, or the loop is abandoned.
  void run_until(class root& r);
  template <class T>
  void run_until(running<T>& r) {
    run_until(static_cast<root&>(r));
  }
  /// Has run_until() return soon, whatever goes on. From any thread, as long as the engine exists.
  void abandon() noexcept {
    abandoned_ = true;
    context_.stop();
  }
  void run_some();
  std::size_t poll();

  /// For a loop that another one waits for: does as much as one turn should, without waiting; true
  /// if more may be ready.
  bool poll_some();
  /// A descriptor that becomes readable when poll_some() has something to do; duplicated for the
  /// caller.
  int duplicate_descriptor() const;
  /// Has whatever is queued from now on, by any thread, make the descriptor readable; false if
  /// something is queued already. Asio does that only for a loop that waits.
  bool tell_of_queued() noexcept;
  /// Takes that back: poll_some() is going to be called anyway.
  void tell_of_none() noexcept;

  void stop() noexcept { context_.stop(); }

  /// Whether a function of this engine is on a stack, so that nothing of it may be destroyed: a task
  /// has called exit().
  bool is_running() const noexcept;
  /// Whether exit() destroys the tasks of an engine that runs.
  bool is_left_by_exit() const noexcept;
  /// In a child process that was forked: has the loop, which is its parent's until then, wait for its
  /// descriptors and timers here. Otherwise does nothing. Throws system_error.
  void go_on_in_child();
  /// What else of the process takes part in a fork.
  struct fork_handlers {
    void (*prepare)() noexcept;  // in the parent, before
    void (*parent)() noexcept;
    void (*child)() noexcept;    // before any loop goes on there
    void (*going_on)() noexcept; // a loop does
  };
  static void take_part_in_forks(const fork_handlers&) noexcept;

  /// A socket, say, has gone: in a context of the user's the loop may not be needed any more.
  void has_lost_one() noexcept {
    if (embedded_) [[unlikely]]
      embedded_->offer();
  }

  /// Where bytes go that nobody wants: written to by one operation after another, read by none.
  mutable_buffer discarded() {
    constexpr std::size_t size = 16 << 10;
    if (!discarded_) discarded_.reset(new char[size]);
    return {discarded_.get(), size};
  }

  void set_timer(timer& t, std::int64_t at) {
    t.tick = wheel::tick_at_or_after(at);
    if (armed_ == wheel::never) catch_up();
    wheel_.insert(t);
    if (t.tick < armed_) arm_timer();
  }

  loop& owner;
  asio::io_context context_;
  asio::detail::scheduler& scheduler_;
  asio::detail::reactor& reactor_;
  std::shared_ptr<remote> remote_;
  link roots_;
  link descriptors_;
  link guests_;
  int open_descriptors_ = 0;
  int lingering_ = 0;  // guests that have work to do without any task
  residence* embedded_ = nullptr;  // null: in a context of its own
  root* running_root_ = nullptr;
  unsigned siblings = 1;  // loops that do the same work, this one included

 private:
  friend class forking;
  /// Goes on in the child with everything that is not the reactor's.
  struct going_on final : operation {
    void fire() override;
    void cancel() noexcept override {}
  };
  /// Among all engines of the process.
  struct membership final : link {
    engine* of = nullptr;
  };
  void leave_to_parent() noexcept;

  struct drain_operation final : asio::detail::scheduler_operation {
    drain_operation() : scheduler_operation(&complete) {}
    static void complete(void* owner, scheduler_operation* base, const boost::system::error_code&,
                         std::size_t);
    engine* of = nullptr;
  };

  /// Has the timers that are due fire, when what came before has had its turn.
  struct expiry_operation final : asio::detail::scheduler_operation {
    expiry_operation() : scheduler_operation(&complete) {}
    static void complete(void* owner, scheduler_operation* base, const boost::system::error_code&,
                         std::size_t);
    engine* of = nullptr;
  };

  void post_drain() noexcept;
  void drain() noexcept;
  void timers_are_due() noexcept;
  void look_or_fire_timers() noexcept;
  void arm_timer() noexcept;
  void catch_up() noexcept;

  link ready_;
  link later_;
  std::unique_ptr<char[]> discarded_;
  drain_operation drain_;
  expiry_operation expiry_;
  bool drain_posted_ = false;
  bool draining_ = false;
  bool inside_ = false;
  bool of_parent_ = false;  // this process is a child, in which the loop has not gone on yet
  membership membership_;
  going_on going_on_;
  std::atomic<bool> abandoned_ = false;

  wheel wheel_;
  asio::steady_timer timer_;
  // The tick that timer_ waits for. Busy: timers are due, or there was no memory to wait; a timer
  // that is set then neither advances the wheel nor arms timer_.
  static constexpr std::uint64_t busy = 0;
  std::uint64_t armed_ = wheel::never;
  bool arming_failed_ = false;
  bool held_up_ = false;    // the loop was late for the timers that are due
  std::uint64_t due_ = 0;   // the tick up to which timers fire next
  int looks_ = 0;           // at the reactor and the queues since they were due
  int wanted_looks_ = 0;
  asio::executor_work_guard<asio::io_context::executor_type> work_;
};

/// Makes it the engine that runs on this thread, for as long as the object exists.
class in_engine {
 public:
  explicit in_engine(engine* e) noexcept;
  ~in_engine();
  in_engine(const in_engine&) = delete;

 private:
  engine* before_;
};

inline void make_circular(link& head) noexcept { head.previous = head.following = &head; }

}  // namespace cosock::detail
