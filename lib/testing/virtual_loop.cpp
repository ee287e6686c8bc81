// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// virtual_loop and its reactor: when time passes, which input from outside is expected, and the order of tasks. The
// reactor is called by the scheduler, at the beginning of each turn.

#include <cosock/testing/virtual_loop.hpp>

#include "loop/dump.hpp"
#include "testing/virtual_reactor.hpp"

#include <cosock/testing/seed.hpp>
#include <cosock/time.hpp>

#include <algorithm>
#include <memory>
#include <random>
#include <stdexcept>
#include <string>

namespace cosock::testing {

namespace detail {

namespace {

using cosock::detail::reactor;

std::uint64_t seed_of(const virtual_loop_options& options) {
  if (options.seed) return *options.seed;
  std::random_device device;
  return seed_from_environment(std::uint64_t{device()} << 32 | device());
}

}  // namespace

virtual_reactor_owner::virtual_reactor_owner(std::unique_ptr<virtual_reactor> reactor) noexcept
    : reactor_(std::move(reactor)) {}
virtual_reactor_owner::~virtual_reactor_owner() = default;

virtual_reactor::virtual_reactor(const virtual_loop_options& options,
                                 std::shared_ptr<virtual_time> time)
    : options_(options), seed_(seed_of(options)), random_(seed_), time_(std::move(time)) {}

void virtual_reactor::attach(reactor& below, engine& above) noexcept {
  below_ = &below;
  loop_ = &above;
  loop_->stamp = static_cast<std::uint64_t>(time_->now);
  if (options_.order == task_order::shuffled) shuffled_.emplace(above, random_.next());
}

void virtual_reactor::add(io_watch& w, int fd) {
  watches_.reserve(watches_.size() + 1);
  below_->add(w, fd);
  watches_.push_back(&w);
}

void virtual_reactor::remove(io_watch& w) noexcept {
  below_->remove(w);
  const auto at = std::find(watches_.begin(), watches_.end(), &w);
  *at = watches_.back();  // the order does not matter
  watches_.pop_back();
}

bool virtual_reactor::expects_input() const noexcept {
  return loop_->pending_look_ups != 0 || loop_->pending_calls != 0 ||
         (!options_.closed && loop_->outside_waits != 0) || below_->has_other_work() ||
         std::any_of(watches_.begin(), watches_.end(),
                     [](const io_watch* w) { return w->is_awaited(); });
}

std::string virtual_reactor::waits() const { return cosock::detail::task_lines(*loop_); }

// Called at the beginning of each turn; what is ready is run after it.
unsigned virtual_reactor::wait(std::int64_t deadline, bool may_wait) {
  if (shuffled_) shuffled_->gather();
  unsigned found = look();
  if (deadline <= time_->now) {
    found |= pass_time(deadline);
  } else if (may_wait && !(shuffled_ && !shuffled_->is_empty()) && !loop_->has_ready() &&
             !(found & more_input)) {
    found |= expects_input() ? wait_in_real_time(deadline) : pass_time(deadline);
  }
  loop_->stamp = static_cast<std::uint64_t>(time_->now);
  if (shuffled_) {
    shuffled_->gather();
    shuffled_->offer();
  }
  return found;
}

/// Looks for events, unless there is nothing that could have one.
unsigned virtual_reactor::look() {
  if (watches_.empty() && !below_->has_other_work()) return 0;
  return below_->wait(INT64_MAX, false) & ~unsigned{time_passed};
}

/// Real time passes for the virtual clock too.
unsigned virtual_reactor::wait_in_real_time(std::int64_t deadline) {
  if (options_.input == real_input::forbid)
    throw std::logic_error(
        "cosock: a task waits for real input (a descriptor of the system, an operation of Asio, a "
        "look-up, a "
        "mailbox or a signal), which virtual_loop_options::input forbids; the tasks wait for:" +
        waits());
  const std::int64_t before = cosock::detail::real_time();
  const std::int64_t until =
      deadline == INT64_MAX ? INT64_MAX : cosock::detail::later(before, deadline - time_->now);
  unsigned found = below_->wait(until, true) & ~unsigned{time_passed};
  time_->now += cosock::detail::real_time() - before;
  // The scheduler delivers the input that arrived in time before the limits that it was in time for.
  if (deadline <= time_->now) found |= time_passed;
  return found;
}

/// Nothing can happen before the deadline, so it is now.
unsigned virtual_reactor::pass_time(std::int64_t deadline) {
  if (deadline == INT64_MAX)
    throw stuck(waits() + "\n(the seed of the loop is " + std::to_string(seed_) + ')');
  time_->now = std::max(time_->now, deadline);
  if (!shuffled_) return time_passed;
  loop_->expire_timers(time_->now);
  return 0;
}

}  // namespace detail

stuck::stuck(const std::string& waits)
    : std::runtime_error(
          "cosock: no task can go on: none is ready, no timer runs, and no input from "
          "outside is expected; the tasks wait for:" +
          waits) {}
stuck::~stuck() = default;

namespace {

std::unique_ptr<detail::virtual_reactor> make(const virtual_loop_options& options) {
  if (cosock::detail::scheduler::current())
    throw std::logic_error(
        "cosock: a virtual_loop inside a task, whose own loop would stand still meanwhile: make it "
        "in "
        "ordinary code, such as a test case");
  return std::make_unique<detail::virtual_reactor>(options,
                                                   std::make_shared<detail::virtual_time>());
}

task<> sleep(time_span span) { co_await sleep_for(span); }

}  // namespace

virtual_loop::virtual_loop(const virtual_loop_options& options)
    : virtual_reactor_owner(make(options)), loop(*reactor_) {}
virtual_loop::virtual_loop(std::unique_ptr<detail::virtual_reactor> reactor)
    : virtual_reactor_owner(std::move(reactor)), loop(*reactor_) {}
virtual_loop::~virtual_loop() = default;

clock::time_point virtual_loop::now() const noexcept {
  return clock::time_point(clock::duration(reactor_->now()));
}
clock::duration virtual_loop::elapsed() const noexcept {
  return clock::duration(reactor_->now() - detail::virtual_time::start);
}
std::uint64_t virtual_loop::seed() const noexcept { return reactor_->seed(); }

void virtual_loop::advance(time_span span) { run(sleep(span)); }

void virtual_loop::settle() {
  constexpr int most = 250;  // polls, of thousands of operations each
  for (int i = 0; i != most; ++i)
    if (poll() == 0) return;
  throw std::logic_error("cosock: virtual_loop::settle(): tasks yield to each other without end:" +
                         reactor_->waits());
}

}  // namespace cosock::testing
