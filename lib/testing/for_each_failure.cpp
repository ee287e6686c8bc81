// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#include <cosock/testing/for_each_failure.hpp>

#include <cosock/cancel.hpp>
#include <cosock/error.hpp>
#include <cosock/loop_counters.hpp>
#include <cosock/nursery.hpp>
#include <cosock/sync.hpp>
#include <cosock/testing/virtual_loop.hpp>
#include <cosock/time.hpp>

#include "core/scheduler.hpp"

#include <charconv>
#include <cstdlib>
#include <cstring>
#include <iterator>
#include <new>
#include <optional>
#include <stdexcept>
#include <string>

namespace cosock::testing {

namespace detail {

namespace {

bool allocations_fail = false;  // the program has the operator new that asks

/// The allocation of this thread that fails, counted down; 0: none.
thread_local std::size_t allocations_left = 0;

}  // namespace

bool count_allocations() noexcept { return allocations_fail = true; }
bool allocation_fails() noexcept { return allocations_left != 0 && --allocations_left == 0; }

}  // namespace detail

void fault_points::point() {
  if (!is_next() || (kind_ != failure_kind::error && kind_ != failure_kind::end)) return;
  has_failed_ = true;
  throw boost::system::system_error(error_);
}

detail::fault_hook::answer fault_points::before_operation(
    subject of, boost::system::error_code& error) noexcept {
  const bool is_datagram = of == subject::datagram;
  if (is_datagram) ++datagrams_;
  if (!is_next()) return answer::pass;
  has_failed_ = true;
  if (kind_ == failure_kind::end && !is_datagram) return answer::end;
  if (kind_ == failure_kind::loss && is_datagram) return answer::loss;
  has_failed_ = kind_ == failure_kind::error;
  if (!has_failed_) return answer::pass;
  error = error_;
  return answer::error;
}

namespace {

using cosock::detail::scheduler;

constexpr const char* names[] = {"none", "error", "end", "cancellation", "allocation", "loss"};

struct chosen_step {
  failure_kind kind;
  std::size_t step;
};

/// The run that the environment asks for.
std::optional<chosen_step> step_from_environment() {
  const char* const text = std::getenv("COSOCK_STEP");
  if (!text || !*text) return std::nullopt;
  for (int kind = 1; kind != static_cast<int>(std::size(names)); ++kind) {
    const std::size_t length = std::strlen(names[kind]);
    if (std::strncmp(text, names[kind], length) != 0 || text[length] != ':') continue;
    std::size_t step = 0;
    const char* const end = text + std::strlen(text);
    const auto [stop, error] = std::from_chars(text + length + 1, end, step);
    if (error == std::errc() && stop == end && step != 0)
      return chosen_step{static_cast<failure_kind>(kind), step};
  }
  throw std::invalid_argument(
      std::string("COSOCK_STEP is \"") + text +
      "\", not error:N, end:N, loss:N, cancellation:N or allocation:N with an N from 1");
}

std::string text_of(const std::exception_ptr& error) {
  try {
    std::rethrow_exception(error);
  } catch (const std::exception& e) {
    return e.what();
  } catch (...) {
    return "an exception of an unknown type";
  }
}

}  // namespace

/// The runs of one body.
class failure_runs {
 public:
  failure_runs(const failing_body& body, const failure_options& options)
      : body_(body), options_(options) {}

  failure_counts all() {
    if (const auto only = step_from_environment()) {
      run(only->kind, only->step);
      return counts_;
    }
    run(failure_kind::none, 0);
    counts_.operations = count_;
    const std::size_t datagrams = datagrams_;
    counts_.errors = sweep(failure_kind::error);
    if (datagrams != counts_.operations) counts_.ends = sweep(failure_kind::end);
    if (datagrams != 0) counts_.losses = sweep(failure_kind::loss);
    counts_.cancellations = sweep(failure_kind::cancellation);
    if (detail::allocations_fail) counts_.allocations = sweep(failure_kind::allocation);
    return counts_;
  }

 private:
  /// Until a run ends before its step: steps of later runs may be more or fewer than those of the first.
  /// Returns the number of runs with a failure: a stream loses no datagram, and a datagram socket has no end.
  std::size_t sweep(failure_kind kind) {
    std::size_t failed = 0;
    for (std::size_t step = 1; run(kind, step); ++step)
      if (has_failed_) ++failed;
    return failed;
  }

  /// One run. False if it has ended before the step.
  bool run(failure_kind kind, std::size_t step) {
    fault_points points;
    points.kind_ = kind;
    points.step_ = step;
    points.error_ = options_.error;
    ended_ = cancelled_ = false;
    std::exception_ptr error;
    bool reached = false;
    {
      virtual_loop loop(virtual_loop_options{.seed = 1});
      loop_ = &loop;
      auto work = limited(points);
      // The loop itself needs memory: from here on only that of the body fails.
      if (kind == failure_kind::allocation) detail::allocations_left = step;
      try {
        loop.run(std::move(work));
      } catch (...) {
        reached = kind == failure_kind::allocation && detail::allocations_left == 0;
        detail::allocations_left = 0;
        error = std::current_exception();
      }
      if (kind == failure_kind::allocation && !error) reached = detail::allocations_left == 0;
      detail::allocations_left = 0;
    }
    count_ = points.count_;
    datagrams_ = points.datagrams_;
    if (kind == failure_kind::error || kind == failure_kind::end || kind == failure_kind::loss)
      reached = points.count_ >= step;
    if (kind == failure_kind::cancellation) reached = cancelled_;
    has_failed_ = points.has_failed_ || kind == failure_kind::cancellation ||
                  kind == failure_kind::allocation;
    if (!ended_ && kind != failure_kind::allocation)
      found(kind, step, "it does not end" + (error ? ": " + text_of(error) : std::string()));
    if (error && (kind == failure_kind::none || !permits(kind, error)))
      found(kind, step, text_of(error));
    return reached;
  }

  bool permits(failure_kind kind, const std::exception_ptr& error) const {
    if (options_.permits) return options_.permits(error);
    try {
      std::rethrow_exception(error);
    } catch (const boost::system::system_error&) {
      return true;
    } catch (const std::bad_alloc&) {
      return kind == failure_kind::allocation;
    } catch (...) {
      return false;
    }
  }

  [[noreturn]] void found(failure_kind kind, std::size_t step, const std::string& what) const {
    if (kind == failure_kind::none)
      throw failure_found("the run without a failure: " + what, kind, step);
    const std::string name =
        std::string(names[static_cast<int>(kind)]) + ':' + std::to_string(step);
    throw failure_found("the run " + name + ": " + what + "; to repeat it: COSOCK_STEP=" + name,
                        kind, step);
  }

  task<> limited(fault_points& points) {
    co_await cosock::with_timeout(options_.limit, with_cancellation(points));
  }
  task<> with_cancellation(fault_points& points) {
    cancel_scope scope;
    const auto work = [&](nursery& tasks) -> task<> {
      if (points.kind_ == failure_kind::cancellation)
        tasks.start([&]() -> task<> { co_await cancel_after(points.step_, scope); });
      co_await scope.run(ending(points));
      tasks.cancel();
    };
    co_await cosock::with_nursery(work);
  }
  task<> ending(fault_points& points) {
    // Ended, whatever with: only a run that its limit has cancelled has not.
    try {
      co_await body_(points);
    } catch (const boost::system::system_error& e) {
      ended_ = e.code() != error::cancelled || cancelled_ || points.kind_ == failure_kind::none;
      throw;
    } catch (...) {
      ended_ = true;
      throw;
    }
    ended_ = true;
  }
  task<> cancel_after(std::size_t turns, cancel_scope& scope) {
    for (std::size_t i = 1; i != turns; ++i) {
      co_await cosock::yield();
      // While this yields, no time passes. So it waits for the next limit too if all other tasks wait.
      if (!scheduler::required().has_ready() && !may_have_input()) co_await next_timer();
    }
    if (ended_) co_return;
    cancelled_ = true;
    scope.cancel();
  }

  /// From outside: then the loop waits in real time.
  bool may_have_input() const noexcept {
    const loop_counters counters = loop_->counters();
    return counters.descriptors + counters.look_ups_running + counters.look_ups_queued +
               counters.calls_running + counters.calls_queued !=
           0;
  }
  static task<> next_timer() {
    const std::int64_t time = scheduler::required().deadline();
    const std::int64_t now = cosock::now().time_since_epoch().count();
    if (time > now && time != INT64_MAX)
      co_await cosock::sleep_for(std::chrono::nanoseconds(time - now));
  }

  const failing_body& body_;
  const failure_options& options_;
  failure_counts counts_;
  virtual_loop* loop_ = nullptr;
  std::size_t count_ = 0;
  std::size_t datagrams_ = 0;
  bool has_failed_ = false;
  bool ended_ = false;
  bool cancelled_ = false;
};

failure_counts for_each_failure(const failing_body& body, const failure_options& options) {
  return failure_runs(body, options).all();
}

}  // namespace cosock::testing
