// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cosock/duration.hpp>
#include <cosock/testing/faulty.hpp>
#include <cosock/testing/faulty_datagram.hpp>

#include <cstddef>
#include <exception>
#include <functional>
#include <stdexcept>

namespace cosock::testing {

/// The kinds of failure that for_each_failure() causes.
enum class failure_kind {
  none,          ///< no failure: the first run
  error,         ///< an operation of a stream or datagram socket, or point(), fails with an error
  end,           ///< a receive returns the end of the stream, or a send fails with broken_pipe
  cancellation,  ///< the body is cancelled before a turn of the loop
  allocation,  ///< an allocation throws std::bad_alloc; only with <cosock/testing/allocation_failures.hpp>
  /// A send of a datagram succeeds, but the datagram does not arrive; a receive discards a datagram, and waits
  /// for the next one.
  loss,
};

/// Marks the places that may fail: the argument of the body of for_each_failure().
class COSOCK_API fault_points final : private detail::fault_hook {
 public:
  fault_points(const fault_points&) = delete;
  fault_points& operator=(const fault_points&) = delete;

  /// Returns a stream over `below`, whose operations may fail. Takes the arguments of the constructors of
  /// faulty: a stream to own, or a reference.
  template <class Stream>
  [[nodiscard]] faulty wrap(Stream&& below) {
    faulty stream(std::forward<Stream>(below));
    attach(stream);
    return stream;
  }
  /// Returns a datagram socket over `below`, whose operations may fail. Takes the arguments of the
  /// constructors of faulty_datagram_socket: a socket to own, or a reference; throws as these do. Each receive
  /// is one operation, of one datagram or of a batch. Each datagram of a sent batch is one, so that the batch
  /// fails after each part of it. After an error the socket can be used.
  template <class Socket>
    requires requires(Socket&& below) { faulty_datagram_socket(std::forward<Socket>(below)); }
  [[nodiscard]] auto wrap(Socket&& below) {
    faulty_datagram_socket socket(std::forward<Socket>(below));
    attach(socket);
    return socket;
  }
  /// Marks another place that may fail, such as a replacement of connect(). Throws system_error with the
  /// error of the options in the runs in which this place fails.
  void point();

 private:
  friend class failure_runs;
  fault_points() = default;
  ~fault_points() = default;
  answer before_operation(subject of, boost::system::error_code& error) noexcept override;
  bool is_next() noexcept { return ++count_ == step_; }

  failure_kind kind_ = failure_kind::none;
  std::size_t step_ = 0;  // the operation that fails, from 1
  std::size_t count_ = 0;
  std::size_t datagrams_ = 0;  // of the operations, those of datagram sockets
  bool has_failed_ = false;
  boost::system::error_code error_;
};

/// Options of for_each_failure().
struct failure_options {
  /// The error of operations that fail.
  boost::system::error_code error = {ECONNRESET, boost::system::system_category()};
  /// The time limit of a run, by the clock of the loop. A run that takes longer is a fault of the body.
  time_span limit = std::chrono::hours(1);
  /// Returns whether the body may end with this exception after a failure. Null: it may end with every
  /// boost::system::system_error, and after a failed allocation with std::bad_alloc.
  bool (*permits)(const std::exception_ptr&) = nullptr;
};

/// The numbers of runs of for_each_failure().
struct failure_counts {
  std::size_t operations = 0;     ///< operations and calls of point() in the first run
  std::size_t errors = 0;         ///< runs in which an operation or point() failed
  std::size_t ends = 0;           ///< runs in which a stream ended
  std::size_t cancellations = 0;  ///< runs that were cancelled
  std::size_t allocations = 0;    ///< runs in which an allocation failed
  std::size_t losses = 0;         ///< runs in which a datagram was lost
};

/// Thrown if the body has a fault. what() contains the kind, the step, the behavior of the body, and how to
/// repeat only this run.
class failure_found : public std::runtime_error {
 public:
  /// For the library.
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

/// The code under test, called for each run on a new virtual_loop. It must make new streams each time, and
/// pass them, and datagram sockets, through fault_points::wrap().
using failing_body = std::function<task<>(fault_points&)>;

/// Runs the body once without a failure, and then once for each failure_kind and step: each operation of a
/// stream or datagram socket fails with the error, each of a stream meets the end, each of a datagram socket
/// loses its datagram, the body is cancelled before each turn of the loop, and each allocation fails. Each run
/// must succeed, or end with an exception that the options permit. Another exception, for example of a check
/// in the test, is a fault.
///
/// If the environment variable COSOCK_STEP is set, makes that run only: `error:3`, `end:3`,
/// `loss:3`, `cancellation:3` or `allocation:3`. The numbers of operations count those of streams and of
/// datagram sockets together.
///
/// Returns the numbers of runs. Throws failure_found at the first fault; std::invalid_argument for a
/// COSOCK_STEP of another form; std::logic_error inside a task.
COSOCK_API failure_counts for_each_failure(const failing_body& body,
                                           const failure_options& options = {});

}  // namespace cosock::testing
