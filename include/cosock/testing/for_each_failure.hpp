// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cosock/duration.hpp>
#include <cosock/testing/faulty.hpp>

#include <cstddef>
#include <exception>
#include <functional>
#include <stdexcept>

namespace cosock::testing {

/// The kinds of failure that for_each_failure() causes.
enum class failure_kind {
  none,          ///< the first run, without a failure
  error,         ///< an operation of a stream, or a point, fails with an error
  end,           ///< a receive returns the end of the stream, or a send fails with broken_pipe
  cancellation,  ///< the body is cancelled after a number of turns of the loop
  allocation,  ///< an allocation throws std::bad_alloc; only with <cosock/testing/allocation_failures.hpp>
};

/// The places at which a run may fail: an argument of the body of for_each_failure().
class COSOCK_API fault_points final : private detail::fault_hook {
 public:
  fault_points(const fault_points&) = delete;
  fault_points& operator=(const fault_points&) = delete;

  /// Returns a stream over this one, each of whose operations may fail. Takes what the constructors of
  /// faulty take: a stream to own, or one to refer to.
  template <class Stream>
  [[nodiscard]] faulty wrap(Stream&& below) {
    faulty stream(std::forward<Stream>(below));
    attach(stream);
    return stream;
  }
  /// A place in the test that may fail, such as a stand-in for connect(). Throws system_error with the
  /// error of the options if this is what fails.
  void point();

 private:
  friend class failure_runs;
  fault_points() = default;
  ~fault_points() = default;
  answer before_operation(boost::system::error_code& error) noexcept override;

  failure_kind kind_ = failure_kind::none;
  std::size_t step_ = 0;  // the operation that fails, from 1
  std::size_t count_ = 0;
  boost::system::error_code error_;
};

/// How for_each_failure() runs the body.
struct failure_options {
  /// The error that operations fail with.
  boost::system::error_code error = {ECONNRESET, boost::system::system_category()};
  /// How long a run may take, by the clock of the loop. A run that does not end is a fault of the body.
  time_span limit = std::chrono::hours(1);
  /// Whether the body may end with this exception after a failure. Null: with every
  /// boost::system::system_error, and after a failed allocation with std::bad_alloc.
  bool (*permits)(const std::exception_ptr&) = nullptr;
};

/// How many runs for_each_failure() has made.
struct failure_counts {
  std::size_t operations = 0;     ///< operations and points of the first run
  std::size_t errors = 0;         ///< runs in which one of them failed
  std::size_t ends = 0;           ///< runs in which a stream ended
  std::size_t cancellations = 0;  ///< runs that were cancelled
  std::size_t allocations = 0;    ///< runs in which an allocation failed
};

/// The body did not behave after a failure. what() has the kind, the step, what happened, and how to repeat
/// this run only.
class failure_found : public std::runtime_error {
 public:
  /// With the text, the kind and the step.
  failure_found(const std::string& what, failure_kind kind, std::size_t step)
      : std::runtime_error(what), kind_(kind), step_(step) {}
  /// The kind of the failure.
  [[nodiscard]] failure_kind kind() const noexcept { return kind_; }
  /// The number of the operation, turn or allocation, from 1; 0 for the run without a failure.
  [[nodiscard]] std::size_t step() const noexcept { return step_; }

 private:
  failure_kind kind_;
  std::size_t step_;
};

/// The code under test: called for each run, on a virtual_loop of its own. It makes new streams each time, and passes
/// them through fault_points::wrap().
using failing_body = std::function<task<>(fault_points&)>;

/// Runs the body once without a failure, and then once for each step and each failure_kind: each operation
/// of a stream fails, and ends; the body is cancelled before each turn of the loop; each allocation fails.
/// Each run must end, with success or with an exception that the options permit. An exception of another
/// type, such as one of a check of the test, is a fault.
///
/// If the environment variable COSOCK_STEP is set, makes that run only: `error:3`, `end:3`,
/// `cancellation:3` or `allocation:3`.
///
/// Returns the numbers of runs. Throws failure_found at the first fault; std::invalid_argument for a
/// COSOCK_STEP of another form; std::logic_error inside of a task of the same loop.
COSOCK_API failure_counts for_each_failure(const failing_body& body,
                                           const failure_options& options = {});

}  // namespace cosock::testing
