// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cosock/cancel.hpp>
#include <cosock/duration.hpp>
#include <cosock/stream.hpp>

#include <cstdint>

namespace cosock {

/// The minimum rate of a stream, for with_progress().
struct progress_options {
  std::size_t bytes = 500;                     ///< the minimum in each period; at least 1
  time_span every = std::chrono::seconds(10);  ///< the length of a period; more than 0
  time_span grace =
      {};  ///< the time before the first period; zero or less: the period begins at once
};

namespace detail {

struct byte_counter;

/// The part that does not know the operand.
class COSOCK_API progress_scope : public timeout_scope {
 public:
  void expire() noexcept override;
  passed_limit own_limit() const noexcept {
    return passed_limit::of_duration(options_.every.count());
  }

 protected:
  progress_scope(const progress_options& options, const byte_stream& stream);
  progress_scope(progress_scope&& other) noexcept
      : timeout_scope(), options_(other.options_), stream_(other.stream_) {}
  ~progress_scope();
  void count();
  void begin() noexcept;

 private:
  progress_options options_;
  const byte_stream& stream_;
  byte_counter* counter_ = nullptr;
  std::uint64_t seen_ = 0;
  std::int64_t at_ = 0;
};

/// The awaitable that with_progress returns.
template <class A>
class COSOCK_AWAITABLE progress_awaiter final : public awaiter_of<progress_awaiter<A>>,
                                                public progress_scope {
 public:
  template <class B>
  progress_awaiter(const progress_options& options, const byte_stream& stream, B&& operation)
      : progress_scope(options, stream), operand_(operand(std::forward<B>(operation))) {}
  progress_awaiter(progress_awaiter&& other) noexcept
      : progress_scope(std::move(other)), operand_(std::move(other.operand_)) {}

  step start(std::coroutine_handle<> awaiting, cancel_node& outer) {
    count();
    enter(outer);
    if (operand_.start(awaiting, inner_) == step::done) return complete_or_yield(awaiting);
    begin();
    return step::pending;
  }
  decltype(auto) result() { return result_of_operand(*this, operand_); }
  failure fail() noexcept {
    leave();
    return translated(operand_.fail());
  }
  bool has_details() const noexcept { return detail::has_details(operand_); }
  passed_limit limit() const noexcept {
    const passed_limit inner = limit_of(operand_);
    return inner || !expired_ ? inner : own_limit();
  }

 private:
  A operand_;
};

}  // namespace detail

/// Awaits `operation`, a task or an operation, and cancels it if `stream` moves fewer than `least.bytes`
/// bytes, received and sent together, in a period of `least.every`. Use it against peers that keep a
/// connection open with a byte now and then.
///
/// Returns the result of `operation`. Throws `error::timed_out`, with the period in what(), if a period
/// ends with fewer bytes: every operation inside then ends with `error::cancelled`, as in
/// with_timeout(). Throws `error::cancelled` if it is cancelled from outside; `error::closed` if
/// `stream` is not open. The call itself throws std::invalid_argument if `bytes` is 0, or `every` zero
/// or less.
///
/// The bytes are counted in the lowest stream: with TLS, encrypted records and handshakes count. After
/// `stream` was closed or released, no more bytes are counted. The first period begins at the
/// `co_await`, after the grace; times are those of cosock::clock. `stream` must outlive the start of
/// the `co_await`, and may be moved later. Adds no cost to the operations of the stream.
template <class A>
auto with_progress(const progress_options& least, const byte_stream& stream, A&& operation) {
  return detail::progress_awaiter<detail::operand_t<A>>(least, stream, std::forward<A>(operation));
}

}  // namespace cosock
