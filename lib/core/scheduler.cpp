// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// Turns, messages and the order of timers and events. Called by the reactor (turn), by operations
// that become ready (schedule), and by other threads through loop_handle. It owns neither tasks nor
// operations.

#include "core/scheduler.hpp"

#include "core/scoped_value.hpp"

#include <sched.h>

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <stdexcept>

namespace cosock::detail {

namespace {

constinit thread_local scheduler* running_scheduler = nullptr;

/// Whether exit() has been called since a loop first ran.
std::atomic<bool> exits = false;

/// Operations that a turn fires before the loop looks for events again.
constexpr int max_fired = 1024;
/// The turn budget: operations that a task may complete at once before other tasks run.
constexpr int operations_per_turn = 32;
/// If a timer is later than this, the loop was held up: a task computed, or the process was
/// stopped.
constexpr std::int64_t late = 1'000'000;
/// Further looks before timers fire in any case, so that busy tasks cannot delay them without end.
constexpr int spare_looks = 16;

void clear(link& head) noexcept {
  while (head.following != &head) head.following->unlink();
}

bool is_empty(const link& head) noexcept { return head.following == &head; }

}  // namespace

step awaited_operation::yield() noexcept {
  suspend();
  scheduler::get(*scope_->loop).yield(*this);
  return step::pending;
}

// Messages

bool loop_handle::post(loop_message& m) noexcept {
  reactor* woken;
  {
    const std::lock_guard lock(mutex_);
    if (!scheduler_) return false;
    m.next_message_ = nullptr;
    (first_ ? last_->next_message_ : first_) = &m;
    last_ = &m;
    has_messages_.store(true, std::memory_order_relaxed);
    woken = &scheduler_->reactor_;
    wakes_.fetch_add(1, std::memory_order_relaxed);
  }
  // Without the mutex, which the loop takes as soon as it is awake. The loop is not destroyed meanwhile:
  // detach_handle() waits.
  woken->wake();
  wakes_.fetch_sub(1, std::memory_order_release);
  return true;
}

bool loop_handle::is_of(const loop_state& loop) const noexcept {
  const std::lock_guard lock(mutex_);
  return scheduler_ == &loop;
}

/// Returns the number of messages. If a message throws, those behind it stay for the next turn.
int scheduler::deliver_messages() {
  if (handle_->has_messages_.load(std::memory_order_relaxed)) {
    const std::lock_guard lock(handle_->mutex_);
    handle_->has_messages_.store(false, std::memory_order_relaxed);
    // Behind those that an exception left here.
    loop_message** end = &messages_;
    while (*end) end = &(*end)->next_message_;
    *end = std::exchange(handle_->first_, nullptr);
  }
  int delivered = 0;
  while (loop_message* const first = messages_) {
    messages_ = first->next_message_;  // before deliver(), which may destroy or post the message
    ++delivered;
    ++delivered_;
    first->deliver();
  }
  return delivered;
}

// The loop

on_scheduler::on_scheduler(scheduler* s) noexcept : before_(std::exchange(running_scheduler, s)) {}
on_scheduler::~on_scheduler() { running_scheduler = before_; }

scheduler* scheduler::current() noexcept { return running_scheduler; }

scheduler& scheduler::required() {
  if (running_scheduler) return *running_scheduler;
  throw std::logic_error("cosock: no loop runs on this thread; make sockets inside a task");
}

scheduler::scheduler(reactor& io, std::shared_ptr<loop_handle> handle)
    : reactor_(io), handle_(std::move(handle)) {
  for (link* head : {&ready_queue_, &next_turn_, &services_}) make_circular(*head);
  handle_->scheduler_ = this;
}

void scheduler::detach_handle() noexcept {
  {
    const std::lock_guard lock(handle_->mutex_);
    handle_->scheduler_ = nullptr;
  }
  while (handle_->wakes_.load(std::memory_order_acquire) != 0) ::sched_yield();  // for moments
}

void scheduler::end_services() noexcept {
  // The end of one service may unlink others, so the list is read again each time.
  while (!is_empty(services_)) {
    auto& first = static_cast<loop_service&>(*services_.following);
    first.unlink();
    first.on_loop_shutdown();
  }
}

/// No lock: after detach_handle() no thread posts.
void scheduler::discard_messages() noexcept {
  for (loop_message** list : {&messages_, &handle_->first_}) {
    while (loop_message* const first = *list) {
      *list = first->next_message_;
      first->discard();
    }
  }
}

void scheduler::clear_queues() noexcept {
  clear(ready_queue_);
  clear(next_turn_);
}

bool scheduler::is_running() const noexcept { return inside_ || running_scheduler == this; }
bool scheduler::is_left_by_exit() const noexcept { return exits && is_running(); }

void scheduler::notice_exit() {
  // Handlers of exit() run in reverse order: this one runs before the destructors of static loops
  // that were constructed earlier.
  [[maybe_unused]] static const int registered = std::atexit([] { exits = true; });
}

// Turns

bool scheduler::turn(bool may_wait) {
  const on_scheduler here(this);
  const scoped_value in_turn(in_turn_, true);
  const unsigned found = reactor_.wait(deadline(), may_wait && !has_ready() && !messages_);
  int fired = deliver_messages();
  // Operations that yielded to this turn come after those that its events have made ready.
  if (!is_empty(next_turn_)) {
    link& first = *next_turn_.following;
    link& last = *next_turn_.previous;
    first.previous = ready_queue_.previous;
    ready_queue_.previous->following = &first;
    last.following = &ready_queue_;
    ready_queue_.previous = &last;
    make_circular(next_turn_);
  }
  fired = run_ready(fired);
  // After the ready operations, so that input that arrived in time is delivered before a limit
  // expires.
  if (found & reactor::time_passed) notice_due_timers();
  if (timers_due_ && fire_timers(found)) {
    run_ready(fired);
    return true;
  }
  return fired != 0;
}

/// Called when a turn has fired more than any before, or is full: then what it left was ready too. The queue
/// is counted again when as many have been fired, so counting costs little for each.
[[gnu::noinline]] void scheduler::notice_peak(int fired) noexcept {
  auto all = static_cast<std::size_t>(fired);
  if (!is_empty(ready_queue_)) {
    if (turns_to_next_count_ != 0) {
      --turns_to_next_count_;
      return;
    }
    const std::size_t rest = length(ready_queue_);
    turns_to_next_count_ = rest / max_fired;
    all += rest;
  }
  ready_peak_ = std::max(ready_peak_, all);
  noticed_peak_ = static_cast<int>(std::min(ready_peak_, std::size_t{max_fired - 1}));
}

int scheduler::run_ready(int fired) {
  if (watch_) [[unlikely]]
    return run_ready_watched(fired);
  const int end = fired + max_fired;
  for (; !is_empty(ready_queue_) && fired != end; ++fired) {
    auto& op = static_cast<operation&>(*ready_queue_.following);
    op.unlink();
    budget = operations_per_turn;
    op.fire();
    // A coroutine that ends sets `next` to the one that awaits it: a chain of tasks ends here in a
    // loop, not in nested calls.
    while (next) std::exchange(next, nullptr).resume();
  }
  if (fired > noticed_peak_) [[unlikely]]
    notice_peak(fired);
  return fired;
}

int scheduler::run_ready_watched(int fired) {
  watch_->begin();
  const int end = fired + max_fired;
  for (; !is_empty(ready_queue_) && fired != end; ++fired) {
    auto& op = static_cast<operation&>(*ready_queue_.following);
    op.unlink();
    budget = operations_per_turn;
    op.fire();
    for (bool has_waited = true; next; has_waited = false) {
      const std::coroutine_handle<> resumed = std::exchange(next, nullptr);
      // Null: in a child that a task has forked.
      watch_ ? watch_->resume(resumed, has_waited) : resumed.resume();
    }
  }
  if (watch_) watch_->end(!is_empty(ready_queue_));
  if (fired > noticed_peak_) notice_peak(fired);
  return fired;
}

// Timers

/// The wheel stands still while there are no timers, so its present has to catch up.
void scheduler::start_clock() noexcept {
  wheel_.advance(timer_wheel::tick_at_or_before(reactor_.now()), [](timer&) {});
}

void scheduler::notice_due_timers() noexcept {
  if (timers_due_ || next_tick_ == timer_wheel::never) return;
  const std::int64_t now = reactor_.now();
  due_ = timer_wheel::tick_at_or_before(now);
  if (due_ < next_tick_) return;  // the timer for an earlier deadline, which was stopped
  held_up_ = now - timer_wheel::time_of(next_tick_) > late;
  next_tick_ = busy;
  timers_due_ = true;
  looks_ = 0;
  wanted_looks_ = held_up_ ? 3 + watched_ / reactor::max_events : 1;
}

void scheduler::expire_timers(std::int64_t now) noexcept {
  next_tick_ = busy;  // so that a timer that is set by an expiry does not wake the reactor
  wheel_.advance(timer_wheel::tick_at_or_before(now), [](timer& t) { t.expire(); });
  next_tick_ = wheel_.next();
}

// A limit must not end an operation whose input arrived in time. So timers fire only after the
// events, the messages from other threads and the tasks that these resume have had their turn. A
// loop that is on time has seen all earlier input in one look. A loop that was held up may need
// several: a look takes at most reactor::max_events from the system.
bool scheduler::fire_timers(unsigned found) noexcept {
  if (++looks_ == 1 && (found & reactor::more_input)) ++wanted_looks_;
  const bool delivered =
      looks_ >= wanted_looks_ && is_empty(ready_queue_) && (is_empty(next_turn_) || !held_up_);
  if (!delivered && looks_ < wanted_looks_ + spare_looks) return false;
  wheel_.advance(due_, [](timer& t) { t.expire(); });
  timers_due_ = false;
  next_tick_ = wheel_.next();
  return true;
}

}  // namespace cosock::detail
