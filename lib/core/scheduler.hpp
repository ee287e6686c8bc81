// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// The part of a loop that runs tasks: queues of what is ready, timers, messages from other threads, and
// services that end with the loop. It waits in a reactor, and knows neither Asio nor sockets.

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

/// A way to reach a loop from other threads that may outlive it.
class loop_handle {
 public:
  /// Has the loop deliver the message, soon. False if the loop is gone: the message was not taken.
  bool post(loop_message&) noexcept;
  /// Whether it is the handle of this loop, which exists.
  bool is_of(const loop_state&) const noexcept;

 protected:
  friend class scheduler;
  mutable std::mutex mutex_;
  scheduler* scheduler_ = nullptr;  // null: the loop is gone

 private:
  loop_message* first_ = nullptr;
  loop_message* last_ = nullptr;
  std::atomic<bool> has_messages_ = false;
};

/// What a loop that lives inside another one belongs to.
class embedded_loop_hook {
 public:
  /// Something that belonged to the loop is gone: the loop may not be needed any more.
  virtual void offer() noexcept = 0;

 protected:
  ~embedded_loop_hook() = default;
};

/// Runs tasks, turn by turn. A turn takes the events that there are from the reactor, and the messages
/// of other threads; these put operations into `ready_`; then it fires what is ready. So one wait
/// serves a batch of events, and no coroutine is resumed from inside the code that made it ready.
class scheduler : public loop_state {
 public:
  scheduler(reactor& io, std::shared_ptr<loop_handle> handle);
  scheduler(const scheduler&) = delete;
  scheduler& operator=(const scheduler&) = delete;

  static scheduler& get(loop_state& c) noexcept { return static_cast<scheduler&>(c); }
  /// The one that runs on this thread, or null.
  static scheduler* current() noexcept;
  /// The same, or std::logic_error.
  static scheduler& required();

  /// Fires the operation soon, before the loop next waits.
  void schedule(operation& op) noexcept {
    op.insert_before(ready_queue_);
    if (!in_turn_) [[unlikely]]
      reactor_.wake();
  }
  /// Fires the operation after the loop has looked for events.
  void schedule_next_turn(operation& op) noexcept {
    op.insert_before(next_turn_);
    if (!in_turn_) [[unlikely]]
      reactor_.wake();
  }

  void set_timer(timer& t, std::int64_t at) noexcept {
    t.tick = timer_wheel::tick_at_or_after(at);
    if (next_tick_ == timer_wheel::never) start_clock();
    wheel_.insert(t);
    if (t.tick < next_tick_) {
      next_tick_ = t.tick;
      if (!in_turn_) [[unlikely]]
        reactor_.wake();
    }
  }

  /// One turn: looks for events, waiting for one if it may and nothing is ready, and fires what is
  /// ready. True if it has fired anything, timers included. Throws what a message throws.
  bool turn(bool may_wait);
  /// Whether the next turn would not wait.
  bool has_ready() const noexcept {
    return ready_queue_.following != &ready_queue_ || next_turn_.following != &next_turn_ ||
           timers_due_ || handle_->has_messages_.load(std::memory_order_relaxed);
  }
  /// When the next turn has something to do, if nothing happens: INT64_MAX for never.
  std::int64_t deadline() const noexcept {
    return next_tick_ == timer_wheel::never || timers_due_ ? INT64_MAX
                                                           : timer_wheel::time_of(next_tick_);
  }

  reactor& io() noexcept { return reactor_; }
  /// Begins to watch the descriptor. Throws system_error.
  void watch(io_watch& w, int fd) {
    reactor_.add(w, fd);
    ++watched_;
  }
  void unwatch(io_watch& w) noexcept {
    reactor_.remove(w);
    --watched_;
  }

  /// The service is told when the loop ends, unless it is unlinked before.
  void add_service(loop_service& s) noexcept { s.insert_before(services_); }
  bool has_services() const noexcept { return services_.following != &services_; }

  const std::shared_ptr<loop_handle>& handle() const noexcept { return handle_; }

  /// Whether a function of this loop is on a stack, so that nothing of it may be destroyed: a task
  /// has called exit().
  bool is_running() const noexcept;
  /// Whether exit() destroys the tasks of a loop that runs.
  bool is_left_by_exit() const noexcept;

  /// A socket, say, is gone.
  void on_object_closed() noexcept {
    if (embedded_) [[unlikely]]
      embedded_->offer();
  }

  /// Where bytes go that nobody wants: written to by one operation after another, read by none.
  mutable_buffer discarded() {
    constexpr std::size_t size = 16 << 10;
    if (!discarded_) discarded_.reset(new char[size]);
    return {discarded_.get(), size};
  }

  embedded_loop_hook* embedded_ = nullptr;  // null: the loop lives by itself
  int background_ = 0;                      // services that have work to do without any task
  unsigned siblings = 1;                    // loops that do the same work, this one included

 protected:
  ~scheduler() = default;

  // The end of a loop, in this order, with its tasks between the first two.
  void detach_handle() noexcept;  // no message comes any more
  void end_services() noexcept;
  void discard_messages() noexcept;
  void clear_queues() noexcept;

  /// From now on exit() is noticed.
  static void notice_exit();

  bool inside_ = false;  // somebody runs the loop

 private:
  friend class loop_handle;
  friend class on_scheduler;

  int run_ready(int fired);
  int deliver_messages();
  void start_clock() noexcept;
  void notice_due_timers() noexcept;
  bool fire_timers(unsigned found) noexcept;

  reactor& reactor_;
  const std::shared_ptr<loop_handle> handle_;
  link ready_queue_;
  link next_turn_;
  link services_;
  loop_message* messages_ = nullptr;  // taken from the handle, to be delivered
  std::unique_ptr<char[]> discarded_;
  bool in_turn_ = false;
  int watched_ = 0;

  timer_wheel wheel_;
  // No timer is due before this tick. Busy while timers are due: they fire, whatever is set then.
  static constexpr std::uint64_t busy = 0;
  std::uint64_t next_tick_ = timer_wheel::never;
  bool timers_due_ = false;
  bool held_up_ = false;   // the loop was late for them
  std::uint64_t due_ = 0;  // the tick up to which they fire
  int looks_ = 0;          // for events, since they were due
  int wanted_looks_ = 0;
};

/// Makes it the scheduler that runs on this thread, for as long as the object exists.
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
