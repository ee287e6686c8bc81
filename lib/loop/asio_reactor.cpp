// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#include "loop/asio_reactor.hpp"

#include "core/counter.hpp"
#include "core/failure.hpp"
#include "core/scheduler.hpp"
#include "core/scoped_value.hpp"
#include "core/standard_numbers.hpp"

#include <cosock/detail/asio_build.hpp>

// The turns of a loop run in the place of Asio's epoll reactor, and wait for its descriptor.
#if defined(BOOST_ASIO_HAS_IO_URING_AS_DEFAULT) || !defined(BOOST_ASIO_HAS_EPOLL)
#error \
    "cosock needs the epoll reactor of Asio: define neither BOOST_ASIO_DISABLE_EPOLL nor BOOST_ASIO_HAS_IO_URING_AS_DEFAULT (BOOST_ASIO_HAS_IO_URING alone is supported)"
#elif !defined(BOOST_ASIO_HAS_TIMERFD)
#error "cosock needs Asio's timers to use timerfd: do not define BOOST_ASIO_DISABLE_TIMERFD"
#endif

#include <boost/asio/io_context.hpp>

#include <boost/asio/detail/epoll_reactor.hpp>
#include <boost/asio/detail/scheduler.hpp>
#include <boost/asio/detail/scheduler_task.hpp>
#include <boost/asio/detail/signal_set_service.hpp>
#include <boost/asio/executor_work_guard.hpp>

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <memory>
#include <mutex>
#include <random>
#include <utility>

namespace cosock::detail {

namespace asio = boost::asio;

namespace {

// Access to private members: the arguments of an explicit instantiation may name them. They have
// had these names in every Boost since 1.66. With a Boost that renames one, this file does not
// compile.
template <class Tag, auto Member>
struct access_private {
  friend constexpr auto private_member(Tag) noexcept { return Member; }
};
struct task_of_scheduler {
  friend constexpr auto private_member(task_of_scheduler) noexcept;
};
struct mutex_of_scheduler {
  friend constexpr auto private_member(mutex_of_scheduler) noexcept;
};
struct queue_of_scheduler {
  friend constexpr auto private_member(queue_of_scheduler) noexcept;
};
struct interruption_of_scheduler {
  friend constexpr auto private_member(interruption_of_scheduler) noexcept;
};
struct work_of_scheduler {
  friend constexpr auto private_member(work_of_scheduler) noexcept;
};
struct epoll_of_reactor {
  friend constexpr auto private_member(epoll_of_reactor) noexcept;
};
struct timer_of_reactor {
  friend constexpr auto private_member(timer_of_reactor) noexcept;
};
template struct access_private<task_of_scheduler, &asio::detail::scheduler::task_>;
template struct access_private<mutex_of_scheduler, &asio::detail::scheduler::mutex_>;
template struct access_private<queue_of_scheduler, &asio::detail::scheduler::op_queue_>;
template struct access_private<interruption_of_scheduler,
                               &asio::detail::scheduler::task_interrupted_>;
template struct access_private<work_of_scheduler, &asio::detail::scheduler::outstanding_work_>;
template struct access_private<epoll_of_reactor, &asio::detail::epoll_reactor::epoll_fd_>;
template struct access_private<timer_of_reactor, &asio::detail::epoll_reactor::timer_fd_>;

/// Maps a context to its loop.
struct ownership final : asio::execution_context::service {
  explicit ownership(asio::execution_context& context, scheduler* by = nullptr)
      : asio::execution_context::service(context), by(by) {}
  void shutdown() override {}
  static inline asio::execution_context::id id;
  scheduler* by;
};

constexpr std::int64_t no_deadline = INT64_MAX;

/// A descriptor that the loop itself needs.
class own_fd {
 public:
  explicit own_fd(int fd) : fd_(above_standard(fd)) {
    if (fd_ < 0) raise(system_failure(errno));
  }
  ~own_fd() { ::close(fd_); }
  own_fd(const own_fd&) = delete;
  int get() const noexcept { return fd_; }

 private:
  int fd_;
};

int new_epoll() noexcept { return ::epoll_create1(EPOLL_CLOEXEC); }
int new_timer() noexcept { return ::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK); }
int new_event() noexcept { return ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK); }

/// Moves a descriptor to this number.
void renumber(int fresh, int number) noexcept {
  if (fresh < 0 || fresh == number) return;
  ::dup3(fresh, number, O_CLOEXEC);
  ::close(fresh);
}

/// Replaces a descriptor by a new one of the same number, which Asio and epoll_event::data still
/// use. The old one is closed first: the process may have no other number left.
void replace(int number, int (*make)() noexcept) noexcept {
  if (number < 0) return;
  ::close(number);
  renumber(make(), number);
}

}  // namespace

class asio_reactor::state final : public asio::detail::scheduler_task {
 public:
  // One thread runs the loop and its sockets, so Asio's reactor takes no locks. Asio's scheduler
  // does: for post(), and for parts of Asio that post from threads of their own.
  explicit state(detail::scheduler& loop)
      : loop(loop),
        epoll(new_epoll()),
        timer(new_timer()),
        event(new_event()),
        context(BOOST_ASIO_CONCURRENCY_HINT_UNSAFE_IO),
        scheduler(asio::use_service<asio::detail::scheduler>(context)),
        reactor(asio::use_service<asio::detail::epoll_reactor>(context)),
        work(context.get_executor()) {
    // Without a timerfd Asio computes the time limit of its own epoll_wait, which is not called
    // here: its timers would not be noticed.
    if (reactor.*private_member(timer_of_reactor()) < 0) raise(system_failure(EMFILE));
    make_circular(watches);
    asio::make_service<ownership>(context, &loop);
    add_internal();
    reactor.init_task();
    scheduler.*private_member(task_of_scheduler()) = this;
  }

  // Called by Asio's scheduler, as its task. `usec`: how long it may wait, negative for any time, 0
  // for no wait. Operations that are put into `ops` are run by Asio after this call.
  void run(long usec, asio::detail::op_queue<asio::detail::scheduler_operation>& ops) override {
    handlers = &ops;
    usec_limit = usec;
    if (loop.turn(usec != 0)) {
      ++turns;
      if (stops_after_turn) scheduler.stop();
    }
  }
  void interrupt() override { wake(); }

  /// Asio interrupts its task only while a thread is in run(). From this call on, until the task
  /// runs again, it also does when another thread queues a handler. False if a handler is queued
  /// already.
  bool expect_handlers() noexcept {
    const std::lock_guard lock(scheduler.*private_member(mutex_of_scheduler()));
    // If the context has no handlers, its queue holds only the task.
    auto* const first = (scheduler.*private_member(queue_of_scheduler())).front();
    if (!first || asio::detail::op_queue_access::next(first)) return false;
    scheduler.*private_member(interruption_of_scheduler()) = false;
    return true;
  }

  /// Returns a combination of reactor::found.
  unsigned wait(std::int64_t deadline, bool may_wait) {
    arm(deadline);
    int timeout = 0;
    if (may_wait) {
      // This side stores `waits`, then reads `woken`; wake() stores `woken`, then reads `waits`.
      // With a single total order of the four at least one side sees the other, so no wake-up is
      // lost. Acquire and release would not order a store before a later read.
      waits.store(true, std::memory_order_seq_cst);
      if (!woken.load(std::memory_order_seq_cst))
        timeout = usec_limit < 0 ? -1 : static_cast<int>((usec_limit - 1) / 1000 + 1);
    }
    epoll_event events[max_events];
    // EINTR counts as no event: the turn goes on, and the next one waits again.
    const int count = ::epoll_wait(epoll.get(), events, max_events, timeout);
    loop.stamp = read_counter();
    // Relaxed: a wake() that still sees true only writes to the eventfd for nothing.
    waits.store(false, std::memory_order_relaxed);
    // Synchronizes with wake(), so the messages that were queued before it are visible now. A
    // wake() after this line counts for the next wait.
    woken.exchange(false, std::memory_order_seq_cst);
    unsigned found = 0;
    for (int i = 0; i < count; ++i) {
      void* const source = events[i].data.ptr;
      if (source == &timer) [[unlikely]] {
        armed_for = no_deadline;
        found |= time_passed;
      } else if (source == &reactor) [[unlikely]] {
        // 0: does not wait. Events that it leaves are reported again: its entry has no EPOLLET.
        reactor.run(0, *handlers);
      } else if (source != &event) {
        static_cast<io_watch*>(source)->on_events(translated(events[i].events));
      }
    }
    // With a time limit, or with operations in `handlers`, handlers of Asio may run before the next
    // wait. They may deliver input, so timers wait for another look.
    if (usec_limit >= 0 || !handlers->empty()) found |= more_input;
    return found;
  }

  void wake() noexcept {
    // The reverse order of wait(), see there. If it was set already, another call does the rest.
    if (woken.exchange(true, std::memory_order_seq_cst)) return;
    if (waits.load(std::memory_order_seq_cst)) ::eventfd_write(event.get(), 1);
  }

  static unsigned translated(std::uint32_t events) noexcept {
    if (events & (EPOLLERR | EPOLLHUP))
      return io_watch::readable | io_watch::writable | io_watch::exceptional;
    return (events & EPOLLIN ? io_watch::readable : 0u) |
           (events & EPOLLOUT ? io_watch::writable : 0u) |
           (events & (EPOLLPRI | EPOLLRDHUP) ? io_watch::exceptional : 0u);
  }

  /// The timer is set when the loop waits, not when a deadline is set or removed, and only if the
  /// deadline is earlier. So starting and stopping timers costs no system call; the price is that
  /// the timer may fire for a deadline that was removed.
  void arm(std::int64_t deadline) noexcept {
    if (deadline >= armed_for) return;
    constexpr std::int64_t second = 1'000'000'000;
    armed_for = deadline;
    const std::int64_t at = std::max<std::int64_t>(deadline, 1);  // 0 would stop it
    itimerspec spec = {};
    spec.it_value.tv_sec = static_cast<time_t>(at / second);
    spec.it_value.tv_nsec = static_cast<long>(at % second);
    ::timerfd_settime(timer.get(), TFD_TIMER_ABSTIME, &spec, nullptr);
  }

  int control(int operation, io_watch& w) noexcept {
    epoll_event e = {};
    e.events = EPOLLIN | EPOLLPRI | EPOLLRDHUP | EPOLLERR | EPOLLHUP | EPOLLET;
    if (w.watches_writable) e.events |= EPOLLOUT;
    e.data.ptr = &w;
    return ::epoll_ctl(epoll.get(), operation, w.watched_fd, &e);
  }
  void add_internal() {
    const auto add = [this](int fd, std::uint32_t events, void* source) {
      epoll_event e = {};
      e.events = events;
      e.data.ptr = source;
      if (::epoll_ctl(epoll.get(), EPOLL_CTL_ADD, fd, &e) != 0) raise(system_failure(errno));
    };
    // Edge-triggered, so they need not be read: each expiry and each write is an edge of its own.
    add(timer.get(), EPOLLIN | EPOLLET, &timer);
    add(event.get(), EPOLLIN | EPOLLET, &event);
    add(reactor.*private_member(epoll_of_reactor()), EPOLLIN, &reactor);
  }

  detail::scheduler& loop;
  own_fd epoll;
  own_fd timer;
  own_fd event;  // written by wake()
  link watches;
  std::int64_t armed_for = no_deadline;
  std::atomic<bool> waits = false;  // waits, or is about to
  std::atomic<bool> woken = false;  // must not wait: set by wake(), cleared after a look
  asio::detail::op_queue<asio::detail::scheduler_operation>* handlers = nullptr;  // in run()
  long usec_limit = 0;
  const std::uint64_t first_count = read_counter();
  const std::int64_t first_time = real_time();
  std::size_t turns = 0;  // turns that have fired something
  bool stops_after_turn = false;
  // Destroyed first: a handler that is destroyed with the context may queue another one, for which
  // the context interrupts the task.
  asio::io_context context;
  asio::detail::scheduler& scheduler;
  asio::detail::epoll_reactor& reactor;
  asio::executor_work_guard<asio::io_context::executor_type> work;
};

asio_reactor::asio_reactor(scheduler& scheduler) : state_(std::make_unique<state>(scheduler)) {}
asio_reactor::~asio_reactor() = default;

asio::io_context& asio_reactor::context() noexcept { return state_->context; }
asio::execution_context& asio_reactor::execution_context() noexcept { return state_->context; }

scheduler* asio_reactor::scheduler_of(asio::execution_context& context) noexcept {
  return asio::has_service<ownership>(context) ? asio::use_service<ownership>(context).by : nullptr;
}

void asio_reactor::run() { state_->context.run(); }

void asio_reactor::run_some() {
  const scoped_value once(state_->stops_after_turn, true);
  state_->context.run_one();
}

std::size_t asio_reactor::poll(std::size_t max) {
  state& s = *state_;
  s.waits.store(false, std::memory_order_relaxed);  // set by prepare_to_be_polled()
  std::size_t done = 0;
  while (done < max) {
    const std::size_t turns = s.turns;
    // poll_one() counts a handler, but not a turn, which is a run of Asio's task.
    const std::size_t now = s.context.poll_one() + (s.turns - turns);
    if (now == 0 && !s.loop.has_ready()) break;
    done += std::max<std::size_t>(now, 1);  // so that the loop ends although nothing is counted
  }
  return done;
}

void asio_reactor::restart() { state_->context.restart(); }
void asio_reactor::stop() noexcept { state_->context.stop(); }

std::uint64_t asio_reactor::first_stamp() const noexcept { return state_->first_count; }

std::int64_t asio_reactor::age(std::uint64_t stamp) noexcept {
  // The rate of the counter is that since the loop was made.
  const std::uint64_t count = read_counter();
  const std::int64_t time = real_time();
  if (stamp >= count || count <= state_->first_count) return 0;
  return static_cast<std::int64_t>(static_cast<double>(count - stamp) *
                                   static_cast<double>(time - state_->first_time) /
                                   static_cast<double>(count - state_->first_count));
}

std::uint64_t asio_reactor::random_number() {
  std::random_device device;
  return std::uint64_t{device()} << 32 | device();
}

bool asio_reactor::has_other_work() const noexcept {
  // The work guard of the loop itself counts 1.
  return state_->scheduler.*private_member(work_of_scheduler()) > 1;
}

int asio_reactor::duplicate_descriptor() const {
  const int fd = ::fcntl(state_->epoll.get(), F_DUPFD_CLOEXEC, last_standard_number + 1);
  if (fd < 0) raise(system_failure(errno));
  return fd;
}

bool asio_reactor::prepare_to_be_polled() noexcept {
  state& s = *state_;
  // As wait() does before epoll_wait(), in the same order: a wake() from now on writes to the
  // eventfd, and the duplicate of the epoll descriptor becomes readable.
  s.arm(s.loop.deadline());
  s.waits.store(true, std::memory_order_seq_cst);
  return s.expect_handlers() && !s.woken.load(std::memory_order_seq_cst) && !s.loop.has_ready();
}

void asio_reactor::leave_to_parent() noexcept {
  state& s = *state_;
  replace(s.reactor.*private_member(epoll_of_reactor()), &new_epoll);
  replace(s.reactor.*private_member(timer_of_reactor()), &new_timer);
  replace(s.epoll.get(), &new_epoll);
  replace(s.timer.get(), &new_timer);
  replace(s.event.get(), &new_event);
  s.armed_for = no_deadline;
}

void asio_reactor::go_on_in_child() {
  state& s = *state_;
  const standard_numbers_occupied guard;
  s.reactor.notify_fork(asio::execution_context::fork_child);
  // A new set: descriptors that were made in the child, or added by a call that failed, are in the
  // old one.
  replace(s.epoll.get(), &new_epoll);
  s.add_internal();
  s.woken = true;  // the eventfd is a new one, without the writes before the fork
  for (link* entry = s.watches.following; entry != &s.watches; entry = entry->following)
    if (s.control(EPOLL_CTL_ADD, static_cast<io_watch&>(*entry)) != 0) raise(system_failure(errno));
}

void asio_reactor::add(io_watch& w, int fd) {
  w.watched_fd = fd;
  if (state_->control(EPOLL_CTL_ADD, w) != 0) raise(system_failure(errno));
  w.insert_before(state_->watches);
}

void asio_reactor::add_writable(io_watch& w) noexcept {
  w.watches_writable = true;
  // EPOLL_CTL_MOD reports the present state again, so no edge before this call is missed.
  state_->control(EPOLL_CTL_MOD, w);
}

void asio_reactor::remove(io_watch& w) noexcept {
  // Closing alone does not end the registration if the open file description has other descriptors:
  // duplicates, in this process or another one. The system does not tell whether there are any, so
  // each removal is explicit.
  state_->control(EPOLL_CTL_DEL, w);
  w.unlink();
}

unsigned asio_reactor::wait(std::int64_t deadline, bool may_wait) {
  return state_->wait(deadline, may_wait);
}

std::int64_t asio_reactor::now() noexcept { return real_time(); }

void asio_reactor::wake() noexcept { state_->wake(); }

namespace asio_signals {

void lock() noexcept { asio::detail::get_signal_state()->mutex_.lock(); }
void unlock() noexcept { asio::detail::get_signal_state()->mutex_.unlock(); }

void replace_pipe() noexcept {
  const asio::detail::signal_state& signals = *asio::detail::get_signal_state();
  if (signals.read_descriptor_ < 0) return;
  int fresh[2];
  if (::pipe2(fresh, O_CLOEXEC | O_NONBLOCK) != 0) {
    ::close(signals.read_descriptor_);
    ::close(signals.write_descriptor_);
    return;
  }
  renumber(fresh[0], signals.read_descriptor_);
  renumber(fresh[1], signals.write_descriptor_);
}

}  // namespace asio_signals

}  // namespace cosock::detail
