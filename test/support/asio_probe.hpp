// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// A context of Asio whose scheduler runs a probe as its task, where lib/loop/asio_reactor.cpp has it
// run the turns of a loop. Contains no code of the library.

#include <boost/asio/detail/epoll_reactor.hpp>
#include <boost/asio/detail/reactor.hpp>
#include <boost/asio/detail/scheduler.hpp>
#include <boost/asio/detail/scheduler_task.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/test/unit_test.hpp>

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace test {

namespace asio = boost::asio;
using asio::detail::epoll_reactor;
using asio::detail::scheduler;
using asio::detail::scheduler_operation;
using asio::detail::scheduler_task;
using operation_queue = asio::detail::op_queue<scheduler_operation>;
using stream_descriptor = asio::posix::stream_descriptor;

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
template struct access_private<task_of_scheduler, &scheduler::task_>;
template struct access_private<mutex_of_scheduler, &scheduler::mutex_>;
template struct access_private<queue_of_scheduler, &scheduler::op_queue_>;
template struct access_private<interruption_of_scheduler, &scheduler::task_interrupted_>;
template struct access_private<work_of_scheduler, &scheduler::outstanding_work_>;
template struct access_private<epoll_of_reactor, &epoll_reactor::epoll_fd_>;
template struct access_private<timer_of_reactor, &epoll_reactor::timer_fd_>;

template <class Tag, class Owner>
using type_of = std::remove_reference_t<decltype(std::declval<Owner&>().*private_member(Tag()))>;

static_assert(std::is_same_v<type_of<task_of_scheduler, scheduler>, scheduler_task*>);
static_assert(std::is_same_v<type_of<queue_of_scheduler, scheduler>, operation_queue>);
static_assert(std::is_same_v<type_of<interruption_of_scheduler, scheduler>, bool>);
static_assert(std::is_same_v<type_of<epoll_of_reactor, epoll_reactor>, int>);
static_assert(std::is_same_v<type_of<timer_of_reactor, epoll_reactor>, int>);
static_assert(std::is_same_v<asio::detail::reactor, epoll_reactor>, "what sockets and timers use");
static_assert(std::is_base_of_v<scheduler_task, epoll_reactor>);
static_assert(!std::has_virtual_destructor_v<scheduler_task>, "nobody deletes the task");

/// Ends the program where a case does not end, and says which.
class time_limit {
 public:
  time_limit() {
    const std::string& of = boost::unit_test::framework::current_test_case().p_name;
    std::snprintf(text_, sizeof text_, "%s: no end after 60 s\n", of.c_str());
    std::signal(SIGALRM, [](int) {
      static_cast<void>(!::write(STDERR_FILENO, text_, std::strlen(text_)));
      ::_exit(1);
    });
    ::alarm(60);
  }
  ~time_limit() { ::alarm(0); }

 private:
  static inline char text_[256];
};

/// A descriptor that is closed.
class owned {
 public:
  explicit owned(int fd) : fd_(fd) { BOOST_REQUIRE(fd >= 0); }
  owned(owned&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  ~owned() {
    if (fd_ >= 0) ::close(fd_);
  }
  int get() const { return fd_; }
  int release() { return std::exchange(fd_, -1); }

 private:
  int fd_;
};

struct connected_pair {
  connected_pair() {
    int fds[2];
    BOOST_REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) == 0);
    one.emplace(fds[0]);
    other.emplace(fds[1]);
  }
  std::optional<owned> one;
  std::optional<owned> other;
};

inline void send_byte(int to) { BOOST_REQUIRE(::write(to, "x", 1) == 1); }
inline void receive_byte(int from) {
  char c;
  BOOST_REQUIRE(::read(from, &c, 1) == 1);
}
inline bool is_readable(int fd, int timeout_ms = 0) {
  pollfd asked = {fd, POLLIN, 0};
  return ::poll(&asked, 1, timeout_ms) == 1;
}
inline constexpr int patience = 30'000;

/// Takes the place of Asio's reactor, and records how it is called.
class probe_task final : public scheduler_task {
 public:
  std::function<void(operation_queue&)> on_turn = [](operation_queue&) {};
  std::vector<long> limits;  // of each turn
  std::atomic<int> interrupts = 0;

  void run(long usec, operation_queue& ops) override {
    if (limits.size() == 100'000) throw std::runtime_error("the task is called without end");
    limits.push_back(usec);
    on_turn(ops);
  }
  void interrupt() override {
    ++interrupts;
    ::eventfd_write(event_.get(), 1);
  }
  /// As long as the turn may: until an interruption, which may have come before.
  void wait() {
    eventfd_t value;
    if (limits.back() != 0) ::eventfd_read(event_.get(), &value);
  }

 private:
  const owned event_{::eventfd(0, EFD_CLOEXEC)};
};

/// An operation that a task puts into the queue it is given.
class pushed_operation final : public scheduler_operation {
 public:
  explicit pushed_operation(std::function<void()> f)
      : scheduler_operation(&complete_or_destroy), f_(std::move(f)) {}

 private:
  static void complete_or_destroy(void* owner, scheduler_operation* base,
                                  const boost::system::error_code&, std::size_t) {
    const std::unique_ptr<pushed_operation> self(static_cast<pushed_operation*>(base));
    if (owner) self->f_();
  }
  const std::function<void()> f_;
};

/// A context whose task is a probe, as the library makes one.
struct probed_context {
  const time_limit limit;
  probe_task task;
  asio::io_context context{BOOST_ASIO_CONCURRENCY_HINT_UNSAFE_IO};
  asio::detail::scheduler& scheduler = asio::use_service<asio::detail::scheduler>(context);
  epoll_reactor& reactor = asio::use_service<epoll_reactor>(context);
  asio::executor_work_guard<asio::io_context::executor_type> work{context.get_executor()};

  probed_context() {
    reactor.init_task();
    current_task() = &task;
  }

  scheduler_task*& current_task() { return scheduler.*private_member(task_of_scheduler()); }
  int epoll() const { return reactor.*private_member(epoll_of_reactor()); }
  int timer() const { return reactor.*private_member(timer_of_reactor()); }
  std::size_t queued() {
    const std::lock_guard lock(scheduler.*private_member(mutex_of_scheduler()));
    std::size_t count = 0;
    for (auto* each = (scheduler.*private_member(queue_of_scheduler())).front(); each;
         each = asio::detail::op_queue_access::next(each))
      ++count;
    return count;
  }
  void lower_interruption_flag() {
    const std::lock_guard lock(scheduler.*private_member(mutex_of_scheduler()));
    scheduler.*private_member(interruption_of_scheduler()) = false;
  }
  void push(operation_queue& to, std::function<void()> f) {
    scheduler.work_started();
    to.push(new pushed_operation(std::move(f)));
  }

  /// Turns run Asio's reactor, which does not wait.
  void nest_reactor() {
    task.on_turn = [this](operation_queue& ops) { reactor.run(0, ops); };
  }
  /// Until neither handlers nor events are left.
  void run_until_idle() {
    nest_reactor();
    while (context.poll_one() != 0) continue;
  }
};

}  // namespace test
