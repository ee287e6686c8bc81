// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// The part of a loop that runs tasks: queues of ready operations, timers, messages from other
// threads, and services that end with the loop. It waits in a reactor, and knows neither Asio nor
// sockets. It owns no operation: an operation is linked into a queue, and unlinks itself.

#include <cosock/buffer.hpp>
#include <cosock/detail/core.hpp>
#include <cosock/detail/timer.hpp>

#include "core/reactor.hpp"
#include "core/timer_wheel.hpp"

#include <atomic>
#include <memory>
#include <mutex>
#include <utility>

namespace cosock::detail {

class scheduler;
class simulated_host;

/// Sends messages to a loop, from any thread. Shared: it may outlive the loop.
class loop_handle {
 public:
  /// Queues the message, which the loop delivers soon. False if the loop is gone: the caller keeps
  /// the message.
  bool post(loop_message&) noexcept;
  /// Whether this is the handle of that loop, and the loop exists.
  bool is_of(const loop_state&) const noexcept;

 protected:
  friend class scheduler;
  mutable std::mutex mutex_;
  scheduler* scheduler_ = nullptr;  // null: the loop is gone

 private:
  loop_message* first_ = nullptr;
  loop_message* last_ = nullptr;
  // Saves the mutex in turns without messages. Relaxed: the mutex orders the messages themselves,
  // and wake() makes the loop look again.
  std::atomic<bool> has_messages_ = false;
  std::atomic<int> wakes_ = 0;  // calls of post() that are about to wake the loop
};

/// The owner of a loop that runs inside a context of the program.
class embedded_loop_hook {
 public:
  /// An object of the loop, a socket for example, was closed: the loop may not be needed any more.
  virtual void offer() noexcept = 0;

 protected:
  ~embedded_loop_hook() = default;
};

/// Resumes coroutines in place of the scheduler, and measures how long each runs, and how long it could not.
class turn_watch {
 public:
  /// The loop has looked for events, and fires what is ready.
  virtual void begin() noexcept = 0;
  /// Resumes a coroutine that has become ready, or one that goes on at the end of another.
  virtual void resume(std::coroutine_handle<>, bool has_waited) = 0;
  /// All have been resumed, or some are left over for the next turn.
  virtual void end(bool some_are_left) noexcept = 0;

 protected:
  ~turn_watch() = default;
};

/// Runs tasks, turn by turn. A turn takes the pending events from the reactor, and the messages of
/// other threads; these put operations into `ready_queue_`; then it fires the ready operations. So
/// one wait serves a batch of events, and no coroutine is resumed from inside the code that made it
/// ready.
class scheduler : public loop_state {
 public:
  scheduler(reactor& io, std::shared_ptr<loop_handle> handle);
  scheduler(const scheduler&) = delete;
  scheduler& operator=(const scheduler&) = delete;

  static scheduler& get(loop_state& c) noexcept { return static_cast<scheduler&>(c); }
  static const scheduler& get(const loop_state& c) noexcept {
    return static_cast<const scheduler&>(c);
  }
  /// The scheduler that runs on this thread, or null.
  COSOCK_API static scheduler* current() noexcept;
  /// The scheduler that runs on this thread. Throws std::logic_error if there is no such scheduler.
  COSOCK_API static scheduler& required();

  // These three wake the reactor outside a turn: an embedded loop may be waiting then, in the
  // context of the program. Inside a turn the loop sees for itself that it must not wait.

  /// Queues the operation; it is fired before the loop next waits.
  void schedule(operation& op) noexcept {
    op.insert_before(ready_queue_);
    if (!in_turn_) [[unlikely]]
      reactor_.wake();
  }
  /// Queues the operation; it is fired after the loop has looked for events, so a task that yields
  /// this way cannot starve the others.
  void schedule_next_turn(operation& op) noexcept {
    op.insert_before(next_turn_);
    if (!in_turn_) [[unlikely]]
      reactor_.wake();
  }
  /// The same, for an operation that could complete, but the budget is used up.
  void yield(operation& op) noexcept {
    ++budget_yields_;
    schedule_next_turn(op);
  }

  void set_timer(timer& t, std::int64_t at) noexcept {
    t.tick = timer_wheel::tick_at_or_after(at);
    // The first timer after a pause: the wheel has to know the present before it files a timer.
    if (next_tick_ == timer_wheel::never) start_clock();
    wheel_.insert(t);
    if (t.tick < next_tick_) {
      next_tick_ = t.tick;
      if (!in_turn_) [[unlikely]]
        reactor_.wake();
    }
  }

  /// For loops of tests, inside reactor::wait(): the timers that are due at this time become ready.
  COSOCK_API void expire_timers(std::int64_t now) noexcept;

  /// Runs one turn: looks for events, and fires the ready operations. Waits for an event only if
  /// `may_wait` is true and no operation is ready. True if it has fired anything, timers included.
  /// Throws what a message throws.
  bool turn(bool may_wait);
  /// Whether the next turn would not wait.
  bool has_ready() const noexcept {
    return ready_queue_.following != &ready_queue_ || next_turn_.following != &next_turn_ ||
           timers_due_ || handle_->has_messages_.load(std::memory_order_relaxed);
  }
  /// The time at which the next timer needs a turn; INT64_MAX if no turn is needed. Timers that are
  /// due already count as ready, not as a deadline.
  std::int64_t deadline() const noexcept {
    return next_tick_ == timer_wheel::never || timers_due_ ? INT64_MAX
                                                           : timer_wheel::time_of(next_tick_);
  }

  /// The operations that are fired next, for loops of tests, which choose among them.
  link& ready_queue() noexcept { return ready_queue_; }
  link& next_turn() noexcept { return next_turn_; }
  reactor& io() const noexcept { return reactor_; }
  /// Begins to watch the descriptor. Throws system_error.
  void watch(io_watch& w, int fd) {
    reactor_.add(w, fd);
    ++watched_;
  }
  void unwatch(io_watch& w) noexcept {
    reactor_.remove(w);
    --watched_;
  }

  /// Calls on_loop_shutdown() of the service when the loop ends, unless it is unlinked before.
  void add_service(loop_service& s) noexcept { s.insert_before(services_); }
  bool has_services() const noexcept { return services_.following != &services_; }

  const std::shared_ptr<loop_handle>& handle() const noexcept { return handle_; }

  // Counters, see loop_counters. The first two count lists.
  std::size_t ready() const noexcept { return length(ready_queue_) + length(next_turn_); }
  std::size_t timers() const noexcept { return wheel_.size(); }
  std::size_t watched() const noexcept { return static_cast<std::size_t>(watched_); }
  std::size_t ready_peak() const noexcept { return ready_peak_; }
  std::uint64_t budget_yields() const noexcept { return budget_yields_; }
  std::uint64_t messages() const noexcept { return delivered_; }

  /// Whether a function of this loop is on a stack. If a task calls exit(), the loop must not be
  /// destroyed then.
  bool is_running() const noexcept;
  /// Whether exit() was called, and this loop is running: its tasks must not be destroyed.
  bool is_left_by_exit() const noexcept;

  /// To be called when an object of the loop, a socket for example, is closed.
  void on_object_closed() noexcept {
    if (embedded_) [[unlikely]]
      embedded_->offer();
  }

  /// Memory for input that is discarded. Operations share it: they write to it, and never read it.
  /// Allocated on first use.
  mutable_buffer discarded() {
    constexpr std::size_t size = 16 << 10;
    if (!discarded_) discarded_.reset(new char[size]);
    return {discarded_.get(), size};
  }

  embedded_loop_hook* embedded_ = nullptr;  // null: not an embedded loop
  int background_ = 0;                      // services that have work to do without any task
  int pending_look_ups = 0;                 // threads will post their answers
  int pending_calls = 0;                    // and the results of the program's calls
  std::size_t tasks = 0;                    // children of all groups
  unsigned siblings = 1;                    // loops that do the same work, this one included
  simulated_host* host = nullptr;           // null: its sockets are those of the system

 protected:
  ~scheduler() = default;

  // The end of a loop, in this order. The tasks are destroyed between the first two: their
  // destructors may still use the services.
  void detach_handle() noexcept;  // no more messages
  void end_services() noexcept;
  void discard_messages() noexcept;
  void clear_queues() noexcept;

  /// Registers a handler of exit(), once for the process.
  static void notice_exit();

  turn_watch* watch_ = nullptr;  // null: nobody measures turns
  bool inside_ = false;          // a function such as loop::run runs the loop

 private:
  friend class loop_handle;
  friend class on_scheduler;

  int run_ready(int fired);
  int run_ready_watched(int fired);
  int deliver_messages();
  void start_clock() noexcept;
  void notice_due_timers() noexcept;
  bool fire_timers(unsigned found) noexcept;
  void notice_peak(int fired) noexcept;

  reactor& reactor_;
  const std::shared_ptr<loop_handle> handle_;
  link ready_queue_;
  link next_turn_;
  link services_;
  loop_message* messages_ = nullptr;  // taken from the handle, not delivered yet
  std::unique_ptr<char[]> discarded_;
  bool in_turn_ = false;
  int watched_ = 0;

  std::uint64_t budget_yields_ = 0;
  std::uint64_t delivered_ = 0;
  std::size_t ready_peak_ = 0;
  int noticed_peak_ = 0;                 // a turn that fires more is noticed
  std::size_t turns_to_next_count_ = 0;  // full turns after which the ready queue is counted again

  timer_wheel wheel_;
  // No timer is due before this tick. `busy` while due timers wait to be fired: it is the smallest
  // value, so a timer that is set then neither changes it nor wakes the reactor.
  static constexpr std::uint64_t busy = 0;
  std::uint64_t next_tick_ = timer_wheel::never;
  bool timers_due_ = false;
  bool held_up_ = false;   // the loop was late for the due timers
  std::uint64_t due_ = 0;  // the tick up to which timers fire
  int looks_ = 0;          // looks for events since the timers were due
  int wanted_looks_ = 0;   // looks that find all input that arrived before
};

/// Makes `s` the current scheduler of this thread for as long as the object exists. Nests: a task
/// of one loop may run another loop.
class on_scheduler {
 public:
  explicit on_scheduler(scheduler* s) noexcept;
  ~on_scheduler();
  on_scheduler(const on_scheduler&) = delete;

 private:
  scheduler* before_;
};

inline void make_circular(link& head) noexcept { head.previous = head.following = &head; }

}  // namespace cosock::detail
