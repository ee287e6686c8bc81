// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#include <cosock/loop.hpp>

#include "core/standard_numbers.hpp"
#include "core/system.hpp"
#include "io/descriptor.hpp"
#include "loop/engine.hpp"

#include <boost/asio/post.hpp>

#include <fcntl.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>

#include <cstdlib>
#include <new>
#include <stdexcept>
#include <string>

namespace cosock {

namespace detail {

namespace {

thread_local engine* running_engine = nullptr;

/// Whether exit() has been called since a loop first ran.
std::atomic<bool> exits = false;

/// Operations that one handler fires before the io_context has its turn again.
constexpr int most_fired = 1024;
/// Operations that a task may complete at once before others have their turn.
constexpr int operations_a_turn = 32;
/// Handlers that a loop inside another one runs before that has its turn.
constexpr int handlers_a_turn = 16;
/// Handlers that loop::poll() runs: it returns although tasks yield without end.
constexpr std::size_t handlers_a_poll = 4096;
/// Events that Asio's reactor takes from the system at once.
constexpr int events_a_look = 128;
/// A timer that fires later than this was held up: the loop computed, or the process was stopped.
constexpr std::int64_t late = 1'000'000;
/// Looks beyond those that find all input, for tasks that have more to do than one turn.
constexpr int spare_looks = 16;

/// Tells to whom a context belongs.
struct ownership final : asio::execution_context::service {
  explicit ownership(asio::execution_context& of, engine* by = nullptr)
      : asio::execution_context::service(of), by(by) {}
  void shutdown() override {}
  static inline asio::execution_context::id id;
  engine* by;
};

// Asio does not tell from outside what an embedded loop has to know: the reactor's descriptor, and
// whether the scheduler wakes it for what is queued. A template argument may name a private member.
template <class Tag, auto Member>
struct opened {
  friend constexpr auto private_member(Tag) noexcept { return Member; }
};
struct of_descriptor {
  friend constexpr auto private_member(of_descriptor) noexcept;
};
struct of_timer {
  friend constexpr auto private_member(of_timer) noexcept;
};
struct of_mutex {
  friend constexpr auto private_member(of_mutex) noexcept;
};
struct of_interrupted {
  friend constexpr auto private_member(of_interrupted) noexcept;
};
struct of_queue {
  friend constexpr auto private_member(of_queue) noexcept;
};
template struct opened<of_descriptor, &asio::detail::reactor::epoll_fd_>;
template struct opened<of_timer, &asio::detail::reactor::timer_fd_>;
template struct opened<of_mutex, &asio::detail::scheduler::mutex_>;
template struct opened<of_interrupted, &asio::detail::scheduler::task_interrupted_>;
template struct opened<of_queue, &asio::detail::scheduler::op_queue_>;

void disperse(link& head) noexcept {
  while (head.following != &head) head.following->unlink();
}

/// Loops that a thread is inside of, the innermost first.
struct entered_loop {
  engine* of;
  entered_loop* outer;
};
thread_local entered_loop* innermost = nullptr;

}  // namespace

/// A child process that is forked has copies of all loops, with the same reactors in the system as
/// its parent: what the child closes or stops waiting for would be lost to the parent. So each copy
/// gets a reactor of its own. It is empty, until somebody runs the loop in the child. Loops that
/// the forking thread is inside of go on at once, as they may be needed before their next turn.
class forking {
 public:
  static void add(engine& e) noexcept {
    static const int handlers = pthread_atfork(&prepare, &parent, &child);
    static_cast<void>(handlers);
    const std::lock_guard lock(mutex_);
    e.membership_.of = &e;
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
    for (link* each = all().following; each != &all(); each = each->following)
      static_cast<engine::membership&>(*each).of->leave_to_parent();
    for (const entered_loop* each = innermost; each; each = each->outer) go_on(*each->of);
    mutex_.unlock();
  }
  static void go_on(engine& e) noexcept {
    try {
      e.go_on_in_child();
    } catch (...) {
      e.abandon();
    }
  }
  static inline std::mutex mutex_;
  static inline const engine::fork_handlers* handlers_ = nullptr;
};

void engine::take_part_in_forks(const fork_handlers& h) noexcept { forking::add(h); }

void engine::going_on::fire() { forking::tell_of_going_on(); }

in_engine::in_engine(engine* e) noexcept : before_(std::exchange(running_engine, e)) {}
in_engine::~in_engine() { running_engine = before_; }

engine* engine::current() noexcept { return running_engine; }

engine* engine::of(asio::execution_context& context) noexcept {
  return asio::has_service<ownership>(context) ? asio::use_service<ownership>(context).by : nullptr;
}

engine& engine::required() {
  if (running_engine) return *running_engine;
  throw std::logic_error("cosock: no loop runs on this thread; make sockets inside a task");
}

// One thread runs the loop and its sockets, so the reactor takes no locks; the scheduler does, for
// post() and for whatever else of Asio posts from threads of its own.
engine::engine(loop& owner)
    : owner(owner),
      context_(BOOST_ASIO_CONCURRENCY_HINT_UNSAFE_IO),
      scheduler_(asio::use_service<asio::detail::scheduler>(context_)),
      reactor_(asio::use_service<asio::detail::reactor>(context_)),
      remote_(std::make_shared<remote>()),
      timer_(context_),
      work_(context_.get_executor()) {
  asio::make_service<ownership>(context_, this);
  reactor_.init_task();
  for (link* head : {&roots_, &descriptors_, &guests_, &ready_, &later_}) make_circular(*head);
  drain_.of = this;
  expiry_.of = this;
  remote_->to = this;
  remote_->context = &context_;
  forking::add(*this);
}

engine::~engine() {
  forking::remove(*this);
  {
    const std::lock_guard lock(remote_->mutex);
    remote_->to = nullptr;
  }
  while (roots_.following != &roots_) static_cast<root*>(roots_.following)->drop();
  while (descriptors_.following != &descriptors_)
    static_cast<descriptor*>(descriptors_.following)->shut_down();
  while (guests_.following != &guests_) {
    auto& first = static_cast<guest&>(*guests_.following);
    first.unlink();
    first.loop_ends();
  }
  disperse(ready_);
  disperse(later_);
}

void engine::drain_operation::complete(void* owner, scheduler_operation* base,
                                       const boost::system::error_code&, std::size_t) {
  if (owner) static_cast<drain_operation*>(base)->of->drain();
}

void engine::post_drain() noexcept {
  if (drain_posted_) return;
  drain_posted_ = true;
  scheduler_.post_immediate_completion(&drain_, true);
}

void engine::drain() noexcept {
  drain_posted_ = false;
  draining_ = true;
  const in_engine here(this);
  if (arming_failed_) arm_timer();
  while (later_.following != &later_) {
    link& first = *later_.following;
    first.unlink();
    first.insert_before(ready_);
  }
  for (int fired = 0; ready_.following != &ready_ && fired != most_fired; ++fired) {
    auto& op = static_cast<operation&>(*ready_.following);
    op.unlink();
    budget = operations_a_turn;
    op.fire();
    while (next) std::exchange(next, nullptr).resume();
  }
  draining_ = false;
  if (ready_.following != &ready_ || later_.following != &later_) post_drain();
}

/// Without timers the wheel stands still.
void engine::catch_up() noexcept {
  wheel_.advance(wheel::tick_at_or_before(steady_now()), [](timer&) {});
}

void engine::arm_timer() noexcept {
  arming_failed_ = false;
  armed_ = wheel_.next();
  if (armed_ == wheel::never) return;
  try {
    timer_.expires_at(std::chrono::steady_clock::time_point(
        std::chrono::nanoseconds(wheel::time_of(armed_))));
    timer_.async_wait([this](const boost::system::error_code& ec) {
      if (!ec) timers_are_due();
    });
  } catch (const std::bad_alloc&) {
    armed_ = busy;
    arming_failed_ = true;
    post_drain();  // and again, until there is memory
  }
}

// A limit must not end an operation whose input came in time. So timers fire only after the reactor,
// the messages from other threads and the tasks that these resume have had their turn. Each trip
// through Asio's queue passes the reactor once. A loop that is on time has seen all earlier input,
// which one trip delivers; one that was held up takes it from the system first, some events a trip.
void engine::timers_are_due() noexcept {
  if (armed_ == busy) return;  // an earlier wait, which could not be taken back
  const std::int64_t now = steady_now();
  held_up_ = now - wheel::time_of(armed_) > late;
  armed_ = busy;
  due_ = wheel::tick_at_or_before(now);
  looks_ = 0;
  wanted_looks_ = held_up_ ? 3 + open_descriptors_ / events_a_look : 1;
  scheduler_.post_immediate_completion(&expiry_, true);
}

void engine::expiry_operation::complete(void* owner, scheduler_operation* base,
                                        const boost::system::error_code&, std::size_t) {
  if (owner) static_cast<expiry_operation*>(base)->of->look_or_fire_timers();
}

void engine::look_or_fire_timers() noexcept {
  ++looks_;
  const bool delivered = looks_ >= wanted_looks_ && ready_.following == &ready_ &&
                         (later_.following == &later_ || !held_up_);
  if (!delivered && looks_ < wanted_looks_ + spare_looks) {
    scheduler_.post_immediate_completion(&expiry_, true);
    return;
  }
  wheel_.advance(due_, [](timer& t) { t.expire(); });
  arm_timer();
}

namespace {

/// Inside a loop for as long as the object exists; std::logic_error if it is inside already.
class entered {
 public:
  entered(engine& on, bool& inside, const char* by) : inside_(inside), here_{&on, innermost} {
    if (inside_) throw std::logic_error(std::string(by) + " inside a task of the same loop");
    // Static objects that were made before are destroyed after that.
    [[maybe_unused]] static const int watched = std::atexit([] { exits = true; });
    on.go_on_in_child();
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

}  // namespace

void engine::run_until(root& r) {
  const entered once(*this, inside_, "cosock: loop::run");
  running_root_ = &r;
  const in_engine here(this);
  while (!r.done()) {
    context_.restart();
    if (abandoned_) break;
    context_.run();
  }
  running_root_ = nullptr;
  // Streams that are closing send what they have, within their limits; a cancellation ends the wait.
  const bool cancelled = r.is_cancelled();
  while (lingering_ != 0 && !abandoned_ && r.is_cancelled() == cancelled) {
    context_.restart();
    context_.run_one();
  }
}

void engine::run_some() {
  const entered once(*this, inside_, "cosock: loop::run_some");
  const in_engine here(this);
  context_.restart();
  context_.run_one();
}

std::size_t engine::poll() {
  const entered once(*this, inside_, "cosock: loop::poll");
  const in_engine here(this);
  context_.restart();
  std::size_t handlers = 0;
  while (handlers != handlers_a_poll && context_.poll_one() != 0) ++handlers;
  return handlers;
}

bool engine::is_running() const noexcept { return inside_ || running_engine == this; }
bool engine::is_left_by_exit() const noexcept { return exits && is_running(); }

bool engine::poll_some() {
  const in_engine here(this);
  context_.restart();
  for (int i = 0; i != handlers_a_turn; ++i)
    if (context_.poll_one() == 0) return false;
  return true;
}

void engine::leave_to_parent() noexcept {
  of_parent_ = true;
  const auto replace = [](int number, auto make) {
    if (number < 0) return;
    ::close(number);
    const int fresh = make();
    if (fresh < 0 || fresh == number) return;
    ::dup3(fresh, number, O_CLOEXEC);
    ::close(fresh);
  };
  replace(reactor_.*private_member(of_descriptor()), [] { return ::epoll_create1(EPOLL_CLOEXEC); });
  replace(reactor_.*private_member(of_timer()),
          [] { return ::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC); });
}

void engine::go_on_in_child() {
  if (!std::exchange(of_parent_, false)) return;
  const standard_numbers_occupied guard;
  reactor_.notify_fork(asio::execution_context::fork_child);
  if (going_on_.linked()) return;
  going_on_.insert_before(later_);
  if (!draining_) post_drain();
}

int engine::duplicate_descriptor() const {
  const int fd = ::fcntl(reactor_.*private_member(of_descriptor()), F_DUPFD_CLOEXEC,
                         last_standard_number + 1);
  if (fd < 0) raise(system_failure(errno));
  return fd;
}

bool engine::tell_of_queued() noexcept {
  auto& mutex = scheduler_.*private_member(of_mutex());
  auto& queue = scheduler_.*private_member(of_queue());
  const std::lock_guard lock(mutex);
  // What is always there is the reactor itself.
  auto* const first = queue.front();
  if (!first || asio::detail::op_queue_access::next(first)) return false;
  scheduler_.*private_member(of_interrupted()) = false;
  return true;
}

void engine::tell_of_none() noexcept {
  auto& mutex = scheduler_.*private_member(of_mutex());
  const std::lock_guard lock(mutex);
  scheduler_.*private_member(of_interrupted()) = true;
}

bool remote::post(std::unique_ptr<posted> what) {
  const std::lock_guard lock(mutex);
  if (!to) return false;
  asio::post(to->context_, [what = std::move(what), e = to]() mutable {
    const in_engine here(e);
    what->call();
  });
  return true;
}

root::root(core& on) noexcept : loop_(on) {
  scope_.on = &on;
  insert_before(engine::of(on).roots_);
}

void root::begin(branch started) {
  enter(nullptr, scope_);
  add(std::move(started));
  wait();
}

void root::all_ended() noexcept {
  engine& e = engine::of(loop_);
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
  if (!has_errors() && unwound()) raise(cancelled_failure());
}

}  // namespace detail

loop::loop() {
  const detail::standard_numbers_occupied guard;
  engine_ = new detail::engine(*this);
}
// What a static loop runs when a task calls exit() is on the stack still, below the destructor.
loop::~loop() {
  if (!engine_->is_running()) delete engine_;
}

loop& loop::current() { return detail::engine::required().owner; }

detail::core& loop::core() noexcept { return *engine_; }
void loop::run_root(detail::root& r) { engine_->run_until(r); }
std::size_t loop::poll() { return engine_->poll(); }
void loop::run_some() { engine_->run_some(); }

void loop::post_posted(detail::posted* what) {
  engine_->remote_->post(std::unique_ptr<detail::posted>(what));
}

}  // namespace cosock
