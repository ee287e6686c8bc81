// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cosock/detail/slots.hpp>

#include <tuple>
#include <vector>

namespace cosock {

/// The result of when_any: which operand completed first, and the results of all that have one.
template <class Results>
struct any_result {
  /// The index of the operand that completed first, from 0.
  std::size_t index = 0;
  /// For each operand an optional: its result, or empty if it was cancelled before it had one.
  Results results;

  /// The optional of the operand that has this index.
  template <std::size_t Index>
  [[nodiscard]] auto& get() noexcept {
    return std::get<Index>(results);
  }
  template <std::size_t Index>
  [[nodiscard]] const auto& get() const noexcept {
    return std::get<Index>(results);
  }
};

namespace detail {
template <class... A>
struct operands_of_types;
template <class T>
struct operands_of_vector;
template <bool Any, class Operands>
class join_awaiter;
}  // namespace detail

/// Awaits all operands, tasks or operations, concurrently. Returns a tuple of their results:
/// `nothing` for an operand without a result, and a std::reference_wrapper for one that returns a
/// reference.
///
/// The first error cancels the others. When all have ended it is thrown, alone, or in
/// `multiple_errors` (error.hpp) if there were more. Throws `error::cancelled` on cancellation from
/// outside before all have completed.
template <class... A>
auto when_all(A&&... of) {
  return detail::join_awaiter<false, detail::operands_of_types<detail::operand_t<A>...>>(
      detail::operand(std::forward<A>(of))...);
}

/// The same for any number of tasks of one type. Returns a vector of results.
template <class T>
auto when_all(std::vector<task<T>> of) {
  return detail::join_awaiter<false, detail::operands_of_vector<T>>(std::move(of));
}

/// Awaits all operands concurrently until the first one completes, then cancels the others and
/// waits until they have ended. Returns an any_result.
///
/// If another operand completes too before its cancellation takes effect, its result is returned as
/// well, so no received byte is lost. If an operand fails, its error is thrown as from when_all,
/// and the results of the others are discarded: use as_result for the operands if they matter.
/// Throws `error::cancelled` on cancellation from outside, unless an operand has completed.
template <class... A>
auto when_any(A&&... of) {
  static_assert(sizeof...(A) != 0, "when_any of nothing would wait for ever");
  return detail::join_awaiter<true, detail::operands_of_types<detail::operand_t<A>...>>(
      detail::operand(std::forward<A>(of))...);
}

/// The same for any number of tasks of one type: the results are a vector. Throws
/// std::invalid_argument for an empty vector, with which it would never complete.
template <class T>
auto when_any(std::vector<task<T>> of) {
  return detail::join_awaiter<true, detail::operands_of_vector<T>>(std::move(of));
}

// Implementation

namespace detail {

[[noreturn]] COSOCK_API void raise_empty_when_any();

/// Several operands of different types and their results.
template <class... A>
struct operands_of_types {
  std::tuple<A...> of;
  std::tuple<std::optional<storable<decltype(std::declval<A&>().result())>>...> results;

  explicit operands_of_types(A&&... each) : of(std::move(each)...) {}
  template <class F>
  void each(F f) {
    [&]<std::size_t... Index>(std::index_sequence<Index...>) {
      (f(std::move(std::get<Index>(of)), std::get<Index>(results), Index), ...);
    }(std::index_sequence_for<A...>());
  }
  auto all() {
    return std::apply(
        []<class... T>(std::optional<T>&... slot) { return std::tuple<T...>(std::move(*slot)...); },
        results);
  }
};

/// Any number of tasks of one type and their results.
template <class T>
struct operands_of_vector {
  std::vector<task<T>> of;
  std::vector<std::optional<storable<T>>> results;

  explicit operands_of_vector(std::vector<task<T>>&& from)
      : of(std::move(from)), results(of.size()) {}
  template <class F>
  void each(F f) {
    for (std::size_t i = 0; i != of.size(); ++i) f(operand(std::move(of[i])), results[i], i);
  }
  auto all() {
    std::vector<storable<T>> values;
    values.reserve(results.size());
    for (auto& each : results) values.push_back(std::move(*each));
    return values;
  }
};

template <bool Any, class Operands>
class COSOCK_AWAITABLE join_awaiter final : public awaiter_of<join_awaiter<Any, Operands>>, task_group {
 public:
  template <class... From>
  explicit join_awaiter(From&&... from) : of_(std::forward<From>(from)...) {}
  join_awaiter(join_awaiter&& other) noexcept : task_group(), of_(std::move(other.of_)) {}

  ~join_awaiter() { leave(); }

  step start(std::coroutine_handle<> awaiting, cancel_node& outer) {
    enter(awaiting, outer);
    first_end_cancels_ = Any;
    of_.each([this]<class A>(A&& each, auto& slot, std::size_t i) {
      add(fill_slot<std::remove_cvref_t<A>>(std::forward<A>(each), slot, i, first_));
    });
    return wait();
  }
  auto result() {
    rethrow_errors();
    if constexpr (Any) {
      if (first_ == no_winner && !is_cancelled_from_outside()) raise_empty_when_any();
      if (first_ == no_winner) raise(cancelled_failure());
      return any_result<decltype(of_.results)>{first_, std::move(of_.results)};
    } else {
      if (is_cancelled_from_outside()) raise(cancelled_failure());
      return of_.all();
    }
  }
  failure fail() noexcept {
    if (has_errors()) return error_code();
    if (is_cancelled_from_outside() && (!Any || first_ == no_winner)) return cancelled_failure();
    return {0, nullptr};
  }
  bool has_details() const noexcept { return has_errors(); }

 private:
  Operands of_;
  std::size_t first_ = no_winner;
};

}  // namespace detail
}  // namespace cosock
