// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// loop and its engine: running, the end, and fork. The turns themselves are in core/scheduler.cpp,
// the waiting is in loop/asio_reactor.cpp.

#include <cosock/loop.hpp>

#include "core/failure.hpp"
#include "core/scoped_value.hpp"
#include "core/standard_numbers.hpp"
#include "loop/engine.hpp"
#include "loop/loop_watch.hpp"

#include <pthread.h>

#include <memory>
#include <mutex>
#include <new>
#include <stdexcept>
#include <string>

namespace cosock {

namespace detail {

namespace {

/// Turns and handlers that an embedded loop runs before it returns to the context of the program.
constexpr std::size_t handlers_per_turn = 16;
/// The limit of loop::poll(), so that it returns although tasks yield without end.
constexpr std::size_t handlers_per_poll = 4096;

/// Loops that a thread is inside of, the innermost first.
struct entered_loop {
  engine* owner;
  entered_loop* outer;
};
thread_local entered_loop* innermost = nullptr;

}  // namespace

/// A forked child has copies of all loops, which share their epoll sets with the parent: if the
/// child closed a descriptor or stopped waiting for it, the parent would lose it too. So each copy
/// gets new, empty objects in the system, which are filled if the child runs the loop. Loops that
/// the forking thread is inside of go on at once, as they may be needed before their next turn.
class forking {
 public:
  static void add(engine& e) noexcept {
    static const int handlers = pthread_atfork(&prepare, &parent, &child);
    static_cast<void>(handlers);
    const std::lock_guard lock(mutex_);
    e.membership_.owner = &e;
    e.membership_.insert_before(all());
  }
  static void add(const engine::fork_handlers& h) noexcept {
    const std::lock_guard lock(mutex_);
    handlers_ = &h;
  }
  static void tell_of_going_on() noexcept {
    if (handlers_) handlers_->going_on();
  }
  static void remove(engine& e) noexcept {
    const std::lock_guard lock(mutex_);
    e.membership_.unlink();
  }

 private:
  static link& all() noexcept {
    static link head;
    static const bool made = (make_circular(head), true);
    static_cast<void>(made);
    return head;
  }
  // The mutex is held during the fork, so that the child's copy of the list is whole, and its mutex
  // is held by the thread that survives.
  static void prepare() {
    mutex_.lock();
    if (handlers_) handlers_->prepare();
  }
  static void parent() {
    if (handlers_) handlers_->parent();
    mutex_.unlock();
  }
  static void child() {
    if (handlers_) handlers_->child();
    for (link* entry = all().following; entry != &all(); entry = entry->following)
      static_cast<engine::membership&>(*entry).owner->leave_to_parent();
    for (const entered_loop* entry = innermost; entry; entry = entry->outer) go_on(*entry->owner);
    mutex_.unlock();
  }
  static void go_on(engine& e) noexcept {
    try {
      e.go_on_in_child();
    } catch (...) {
      e.abandon();  // fork() cannot report it: the loop ends, and does not wait for lost events
    }
  }
  static inline std::mutex mutex_;
  static inline const engine::fork_handlers* handlers_ = nullptr;
};

void engine::take_part_in_forks(const fork_handlers& h) noexcept { forking::add(h); }

void engine::going_on::fire() { forking::tell_of_going_on(); }

// The reactor keeps a reference to the scheduler, which is constructed after it, and uses it in
// turns only.
engine::engine(loop& owner, reactor_layer* between)
    : engine_reactor{std::make_unique<asio_reactor>(static_cast<scheduler&>(*this))},
      scheduler(between ? static_cast<reactor&>(*between) : *asio,
                std::make_shared<asio_loop_handle>()),
      owner(owner) {
  stamp = asio->first_stamp();
  if (between) between->attach(*asio, *this);
  make_circular(roots_);
  asio_handle()->set_context(asio->execution_context());
  forking::add(*this);
}

// The order is explained in docs/architecture.md, "The end of a loop".
engine::~engine() {
  forking::remove(*this);
  watch_ = nullptr;
  turns_watch_.reset();  // its thread uses the clock of the reactor
  detach_handle();
  while (roots_.following != &roots_) static_cast<root*>(roots_.following)->drop();
  end_services();
  discard_messages();
  clear_queues();
  asio.reset();  // with the handlers, which may own objects that refer to the queues
}

boost::asio::execution_context* asio_loop_handle::context() const noexcept {
  const std::lock_guard lock(mutex_);
  return scheduler_ ? context_ : nullptr;
}

/// Inside a loop for as long as the object exists; std::logic_error if it is inside already.
class entered {
 public:
  entered(engine& loop, const char* by) : inside_(loop.inside_), here_{&loop, innermost} {
    if (inside_) throw std::logic_error(std::string(by) + " inside a task of the same loop");
    engine::notice_exit();
    loop.go_on_in_child();
    inside_ = true;
    innermost = &here_;
  }
  ~entered() {
    innermost = here_.outer;
    inside_ = false;
  }
  entered(const entered&) = delete;

 private:
  bool& inside_;
  entered_loop here_;
};

void engine::run_until(root& r) {
  const entered once(*this, "cosock: loop::run");
  const on_scheduler here(this);
  const scoped_value running(running_root_, &r);
  // Again, if the context was stopped for another reason than the end of this root.
  while (!r.done()) {
    asio->restart();
    if (abandoned_) break;  // after restart(), which would undo the stop() of abandon()
    asio->run();
  }
  // Streams that are closing send the rest, within their limits; a cancellation ends the wait.
  const bool cancelled = r.is_cancelled();
  while (background_ != 0 && r.is_cancelled() == cancelled) {
    asio->restart();
    if (abandoned_) break;
    asio->run_some();
  }
}

void engine::run_some() {
  const entered once(*this, "cosock: loop::run_some");
  const on_scheduler here(this);
  asio->restart();
  asio->run_some();
}

std::size_t engine::poll() {
  const entered once(*this, "cosock: loop::poll");
  const on_scheduler here(this);
  asio->restart();
  return asio->poll(handlers_per_poll);
}

void engine::describe_roots(wait_report& to) const {
  for (const link* l = roots_.following; l != &roots_; l = l->following)
    static_cast<const root&>(*l).describe(to);
}

void engine::watch_turns(const watch_options& options) {
  watch_ = nullptr;
  if (turns_watch_) {
    turns_watch_->stop();
    // By a task of this loop: it measures that task.
    if (is_running()) replaced_watches_.push_back(std::move(turns_watch_));
  }
  turns_watch_ = std::make_unique<loop_watch>(*this, *asio, options);
  watch_ = turns_watch_.get();
}

bool engine::poll_some() {
  const on_scheduler here(this);
  asio->restart();
  return asio->poll(handlers_per_turn) >= handlers_per_turn || !asio->prepare_to_be_polled();
}

void engine::leave_to_parent() noexcept {
  of_parent_ = true;
  // The thread of the watch is in the parent only, and may have held its lock: the copy is left as it is.
  watch_ = nullptr;
  if (turns_watch_) turns_watch_->leave_to_parent();
  watch_of_parent_ = turns_watch_.release();
  asio->leave_to_parent();
}

void engine::go_on_in_child() {
  if (!of_parent_) return;
  asio->go_on_in_child();
  of_parent_ = false;  // not before: if it throws, the next call tries again
  if (!going_on_.linked()) schedule_next_turn(going_on_);
}

root::root(loop_state& loop) noexcept : loop_(loop) {
  scope_.loop = &loop;
  insert_before(engine::get(loop).roots_);
}

void root::begin(child_coroutine started) {
  enter(nullptr, scope_);
  add(std::move(started));
  wait();
}

void root::on_all_done() noexcept {
  engine& e = engine::get(loop_);
  if (e.running_root_ == this) e.stop();
}

void root::drop() noexcept {
  unlink();
  dropped_ = !done();
  leave();
  dropped();
}

void root::finish() noexcept {
  unlink();
  leave();
}

void root::check_done() const {
  if (dropped_) throw std::logic_error("cosock: the task was destroyed with its loop");
  if (!done()) throw std::logic_error("cosock: the task has not ended");
  if (!has_errors() && is_cancelled_from_outside()) raise(cancelled_failure());
}

}  // namespace detail

loop::loop() {
  const detail::standard_numbers_occupied guard;
  engine_ = new detail::engine(*this);
}
loop::loop(detail::reactor_layer& between) {
  const detail::standard_numbers_occupied guard;
  engine_ = new detail::engine(*this, &between);
}
// A static loop may be destroyed by exit() in one of its own tasks: its functions are on the stack,
// below this destructor. It is left as it is then.
loop::~loop() {
  if (!engine_->is_running()) delete engine_;
}

loop& loop::current() { return detail::engine::required().owner; }

detail::loop_state& loop::state() noexcept { return *engine_; }
void loop::run_root(detail::root& r) { engine_->run_until(r); }
std::size_t loop::poll() { return engine_->poll(); }
void loop::run_some() { engine_->run_some(); }

void loop::post_message(detail::loop_message* message) {
  if (!engine_->handle()->post(*message)) message->discard();
}

}  // namespace cosock
