// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#include <cosock/testing/for_each_failure.hpp>

#include <cosock/cancel.hpp>
#include <cosock/error.hpp>
#include <cosock/nursery.hpp>
#include <cosock/sync.hpp>
#include <cosock/testing/virtual_loop.hpp>
#include <cosock/time.hpp>

#include <charconv>
#include <cstdlib>
#include <cstring>
#include <new>
#include <optional>
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
  boost::system::error_code code;
  if (before_operation(code) != answer::pass) throw boost::system::system_error(error_);
}

detail::fault_hook::answer fault_points::before_operation(
    boost::system::error_code& error) noexcept {
  if (++count_ != step_) return answer::pass;
  if (kind_ == failure_kind::end) return answer::end;
  if (kind_ != failure_kind::error) return answer::pass;
  error = error_;
  return answer::error;
}

namespace {

constexpr const char* names[] = {"none", "error", "end", "cancellation", "allocation"};

struct chosen_step {
  failure_kind kind;
  std::size_t step;
};

/// The run that the environment asks for.
std::optional<chosen_step> step_from_environment() {
  const char* const text = std::getenv("COSOCK_STEP");
  if (!text || !*text) return std::nullopt;
  for (int kind = 1; kind != 5; ++kind) {
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
      "\", not error:N, end:N, cancellation:N or allocation:N with an N from 1");
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
    counts_.operations = (run(failure_kind::none, 0), count_);
    counts_.errors = sweep(failure_kind::error);
    counts_.ends = sweep(failure_kind::end);
    counts_.cancellations = sweep(failure_kind::cancellation);
    if (detail::allocations_fail) counts_.allocations = sweep(failure_kind::allocation);
    return counts_;
  }

 private:
  /// Until a run ends before its step: steps of later runs may be more or fewer than those of the first.
  std::size_t sweep(failure_kind kind) {
    std::size_t step = 0;
    while (run(kind, step + 1)) ++step;
    return step;
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
    if (kind == failure_kind::error || kind == failure_kind::end) reached = points.count_ >= step;
    if (kind == failure_kind::cancellation) reached = cancelled_;
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
    for (std::size_t i = 1; i != turns; ++i) co_await cosock::yield();
    if (ended_) co_return;
    cancelled_ = true;
    scope.cancel();
  }

  const failing_body& body_;
  const failure_options& options_;
  failure_counts counts_;
  std::size_t count_ = 0;
  bool ended_ = false;
  bool cancelled_ = false;
};

failure_counts for_each_failure(const failing_body& body, const failure_options& options) {
  return failure_runs(body, options).all();
}

}  // namespace cosock::testing
