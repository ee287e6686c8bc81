// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#include "loop/loop_watch.hpp"

#include "core/coroutines.hpp"
#include "core/counter.hpp"
#include "core/print.hpp"
#include "core/text.hpp"
#include "loop/dump.hpp"
#include "loop/engine.hpp"
#include "loop/signals_blocked.hpp"

#include <algorithm>

namespace cosock {

namespace detail {

namespace {

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
  void descriptor(int, bool) override {}
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
    : loop_(loop), clock_(clock), options_(options) {
  if (!options.reports_blocked) return;
  const signals_blocked blocked;
  thread_ = std::thread([this] { watch_for_blocked(); });
}

loop_watch::~loop_watch() {
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

void loop_watch::resume(std::coroutine_handle<> resumed) {
  places before;
  const cancel_node* const task = look(resumed, before);
  const std::uint64_t begin = read_counter();
  {
    const std::lock_guard lock(mutex_);
    since_ = begin;
    present_ = ++runs_;
    where_ = before;
  }
  resumed.resume();
  {
    const std::lock_guard lock(mutex_);
    since_ = 0;
  }
  // The rate of the counter is not known, and a turn that may be slow takes many of its units.
  if (read_counter() - begin < 1000) return;
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
  const auto period = std::clamp<std::chrono::nanoseconds>(
      options_.slow_turn, std::chrono::milliseconds(10), std::chrono::seconds(10));
  std::uint64_t reported = 0;
  std::unique_lock lock(mutex_);
  while (!stop_.wait_for(lock, period, [this] { return stopping_; })) {
    if (since_ == 0 || present_ == reported) continue;
    const std::int64_t duration = clock_.age(since_);
    // Twice, so that a turn that ends is reported once only, as a rule.
    if (duration < 2 * period.count()) continue;
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
