// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#include "loop/loop_watch.hpp"

#include "core/coroutines.hpp"
#include "core/counter.hpp"
#include "core/print.hpp"
#include "core/text.hpp"
#include "loop/blocked_turns.hpp"
#include "loop/dump.hpp"
#include "loop/engine.hpp"
#include "loop/signals_blocked.hpp"

#include <algorithm>
#include <bit>

namespace cosock {

namespace detail {

namespace {

/// In nanoseconds: longer than a look for events that finds some at once.
constexpr double shortest_wait = 64'000;

/// Finds the name of a task that has not ended, by its scope.
class name_finder final : public wait_report {
 public:
  explicit name_finder(const cancel_node& wanted) noexcept : wanted_(wanted) {}
  void name(const char* text, std::size_t size) override {
    if (!inside_) return;
    if (!found.empty()) found += " / ";
    found.append(text, size);
  }
  void limit(std::int64_t) override {}
  void awaited_by(const void*) override {}
  void since(std::uint64_t) override {}
  void operation(const char*) override {}
  void descriptor(int, bool, bool) override {}
  void detail(const char*, std::size_t) override {}
  void count(std::size_t, const char*) override {}
  void place(const char*, const std::source_location&) override {}
  void child(const cancel_node& own) override {
    const bool outer = std::exchange(inside_, &own == &wanted_);
    scope(own);
    inside_ = outer;
  }
  std::string found;

 private:
  const cancel_node& wanted_;
  bool inside_ = false;
};

}  // namespace

std::string loop_watch::places::text() const {
  std::string text;
  for (std::size_t i = 0; i != count; ++i) (text += i == 0 ? "" : " < ") += short_place(all[i]);
  if (count == 0) text = "its start";
  return text;
}

loop_watch::loop_watch(const engine& loop, asio_reactor& clock, const watch_options& options)
    : loop_(loop),
      clock_(clock),
      options_(options),
      first_(clock.first_stamp()),
      look_(read_counter()),
      end_(look_),
      ready_since_(look_) {
  measure_rate();
  if (!options.reports_blocked || options.slow_turn.is_unlimited()) return;
  const signals_blocked blocked;
  thread_ = std::thread([this] { watch_for_blocked(); });
}

loop_watch::~loop_watch() { stop(); }

void loop_watch::stop() {
  if (!thread_.joinable()) return;
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  stop_.notify_one();
  thread_.join();
}

/// Returns the scope of the task, by which it is found later.
const cancel_node* loop_watch::look(std::coroutine_handle<> resumed, places& into) noexcept {
  into.count = 0;
  const void* coroutine = resumed.address();
  for (;; coroutine = promise_at(coroutine).continuation.address()) {
    const promise_base& promise = promise_at(coroutine);
    if (!promise.continuation) return promise.parent;
    if (into.count != max_places && promise.where.line() != 0)
      into.all[into.count++] = promise.where;
  }
}

/// The longer it is measured the more exact it is.
void loop_watch::measure_rate() noexcept {
  const std::int64_t passed = clock_.age(first_);
  measured_ = read_counter();
  if (measured_ > first_)
    ns_per_unit_ = static_cast<double>(passed) / static_cast<double>(measured_ - first_);
}

void loop_watch::begin() noexcept {
  const std::uint64_t now = read_counter();
  if (now - measured_ > measured_ - first_) measure_rate();
  // If the loop did not wait, the events may have come at any time since its last look.
  const bool waited = static_cast<double>(now - end_) * ns_per_unit_ > shortest_wait;
  if (!some_are_left_) ready_since_ = waited ? now : look_;
  look_ = now;
}

void loop_watch::end(bool some_are_left) noexcept {
  some_are_left_ = some_are_left;
  end_ = read_counter();
}

void loop_watch::count(loop_counters& to) const noexcept {
  to.longest_turn = std::chrono::nanoseconds(
      static_cast<std::int64_t>(static_cast<double>(longest_) * ns_per_unit_));
  to.delays = delays_;
  to.delay_sum = std::chrono::nanoseconds(static_cast<std::int64_t>(delay_sum_));
}

void loop_watch::resume(std::coroutine_handle<> resumed, bool has_waited) {
  places before;
  const cancel_node* const task = look(resumed, before);
  const std::uint64_t begin = read_counter();
  if (has_waited) {
    const auto delay = static_cast<std::uint64_t>(
        static_cast<double>(begin - std::min(ready_since_, begin)) * ns_per_unit_);
    delay_sum_ += delay;
    // Of the bounds 16 us, 32 us, and so on, which are no powers of two in nanoseconds.
    const auto bucket = std::bit_width((delay + 15'999) / 16'000 - (delay != 0));
    ++delays_[std::min(static_cast<std::size_t>(bucket), delays_.size() - 1)];
  }
  {
    const std::lock_guard lock(mutex_);
    since_ = begin;
    present_ = ++runs_;
    where_ = before;
  }
  resumed.resume();
  if (in_child_) return;  // a forked child: the mutex may be locked there
  {
    const std::lock_guard lock(mutex_);
    since_ = 0;
  }
  // A turn that may be slow takes many units, whatever the rate of the counter is.
  const std::uint64_t ran = read_counter() - begin;
  longest_ = std::max(longest_, ran);
  if (ran < 1000) return;
  const std::int64_t duration = clock_.age(begin);
  if (duration < options_.slow_turn.count()) return;
  std::string name;
  try {
    name_finder finder(*task);  // the task may have ended: then no child has this scope
    loop_.describe_roots(finder);
    name = std::move(finder.found);
  } catch (const std::bad_alloc&) {
    // Reported without it.
  }
  report(duration, true, before, name);
}

void loop_watch::watch_for_blocked() noexcept {
  const std::chrono::nanoseconds period = blocked_period(options_.slow_turn);
  const std::int64_t limit = blocked_after(options_.slow_turn).count();
  std::uint64_t reported = 0;
  std::unique_lock lock(mutex_);
  while (!stop_.wait_for(lock, period, [this] { return stopping_; })) {
    if (since_ == 0 || present_ == reported) continue;
    const std::int64_t duration = clock_.age(since_);
    if (duration < limit) continue;
    reported = present_;
    const places where = where_;
    lock.unlock();
    report(duration, false, where, {});
    lock.lock();
  }
}

void loop_watch::report(std::int64_t duration, bool ended, const places& where,
                        std::string_view name) noexcept {
  try {
    const std::string text = where.text();
    const slow_turn_event event{std::chrono::nanoseconds(duration), ended, text, name};
    if (options_.on_slow_turn) return options_.on_slow_turn(event);
    std::string line = ended ? "a task ran for " : "a task blocks its loop, and has run for ";
    line += std::to_string(duration / 1'000'000) + " ms since ";
    if (!name.empty()) (line += in_quotes(name)) += ", ";
    print_message(line += text);
  } catch (const std::bad_alloc&) {
    print_message("a task ran for long, and there is no memory to say which");
  }
}

}  // namespace detail

void watch_turns(loop& of, const watch_options& options) {
  detail::engine::get(of).watch_turns(options);
}

}  // namespace cosock
