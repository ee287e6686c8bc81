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
/// std::monostate for an operand without a result, and a std::reference_wrapper for one that returns a
/// reference.
///
/// The first error cancels the others. When all have ended it is thrown, alone, or in
/// `multiple_errors` (error.hpp) if there were more. Throws `error::cancelled` on cancellation from
/// outside before all have completed.
template <class... A>
auto when_all(A&&... operations) {
  return detail::join_awaiter<false, detail::operands_of_types<detail::operand_t<A>...>>(
      detail::operand(std::forward<A>(operations))...);
}

/// The same for any number of tasks of one type. Returns a vector of results.
template <class T>
auto when_all(std::vector<task<T>> tasks) {
  return detail::join_awaiter<false, detail::operands_of_vector<T>>(std::move(tasks));
}

/// Awaits all operands concurrently until the first one completes, then cancels the others and
/// waits until they have ended. Returns an any_result.
///
/// If another operand completes too before its cancellation takes effect, its result is returned as
/// well, so no received byte is lost. If an operand fails, its error is thrown as from when_all,
/// and the results of the others are discarded; with as_result around the operands no result is
/// lost. Throws `error::cancelled` on cancellation from outside, unless an operand has completed.
template <class... A>
auto when_any(A&&... operations) {
  static_assert(sizeof...(A) != 0, "when_any of nothing would wait for ever");
  return detail::join_awaiter<true, detail::operands_of_types<detail::operand_t<A>...>>(
      detail::operand(std::forward<A>(operations))...);
}

/// The same for any number of tasks of one type: the results are a vector. Throws
/// std::invalid_argument for an empty vector, with which it would never complete.
template <class T>
auto when_any(std::vector<task<T>> tasks) {
  return detail::join_awaiter<true, detail::operands_of_vector<T>>(std::move(tasks));
}

// Implementation

namespace detail {

[[noreturn]] COSOCK_API void raise_empty_when_any();

/// Several operands of different types and their results.
template <class... A>
struct operands_of_types {
  std::tuple<A...> operands;
  std::tuple<std::optional<storable<decltype(std::declval<A&>().result())>>...> results;

  explicit operands_of_types(A&&... given) : operands(std::move(given)...) {}
  template <class F>
  void for_each(F f) {
    [&]<std::size_t... Index>(std::index_sequence<Index...>) {
      (f(std::move(std::get<Index>(operands)), std::get<Index>(results), Index), ...);
    }(std::index_sequence_for<A...>());
  }
  auto values() {
    return std::apply(
        []<class... T>(std::optional<T>&... slot) { return std::tuple<T...>(std::move(*slot)...); },
        results);
  }
};

/// Any number of tasks of one type and their results.
template <class T>
struct operands_of_vector {
  std::vector<task<T>> tasks;
  std::vector<std::optional<storable<T>>> results;

  explicit operands_of_vector(std::vector<task<T>>&& given)
      : tasks(std::move(given)), results(tasks.size()) {}
  template <class F>
  void for_each(F f) {
    for (std::size_t i = 0; i != tasks.size(); ++i) f(operand(std::move(tasks[i])), results[i], i);
  }
  auto values() {
    std::vector<storable<T>> unwrapped;
    unwrapped.reserve(results.size());
    for (auto& entry : results) unwrapped.push_back(std::move(*entry));
    return unwrapped;
  }
};

template <bool Any, class Operands>
class COSOCK_AWAITABLE join_awaiter final : public awaiter_of<join_awaiter<Any, Operands>>,
                                            task_group {
 public:
  template <class... Given>
  explicit join_awaiter(Given&&... given) : operands_(std::forward<Given>(given)...) {}
  join_awaiter(join_awaiter&& other) noexcept
      : task_group(), operands_(std::move(other.operands_)) {}

  ~join_awaiter() { leave(); }

  step start(std::coroutine_handle<> awaiting, cancel_node& outer) {
    enter(awaiting, outer);
    first_end_cancels_ = Any;
    operands_.for_each([this]<class A>(A&& operation, auto& slot, std::size_t i) {
      add(fill_slot<std::remove_cvref_t<A>>(std::forward<A>(operation), slot, i, first_));
    });
    return wait();
  }
  auto result() {
    rethrow_errors();
    if constexpr (Any) {
      if (first_ == no_winner && !is_cancelled_from_outside()) raise_empty_when_any();
      if (first_ == no_winner) raise(cancelled_failure());
      return any_result<decltype(operands_.results)>{first_, std::move(operands_.results)};
    } else {
      if (is_cancelled_from_outside()) raise(cancelled_failure());
      return operands_.values();
    }
  }
  failure fail() noexcept {
    if (has_errors()) return error_code();
    if (is_cancelled_from_outside() && (!Any || first_ == no_winner)) return cancelled_failure();
    return {0, nullptr};
  }
  bool has_details() const noexcept { return has_errors(); }

 private:
  Operands operands_;
  std::size_t first_ = no_winner;
};

}  // namespace detail
}  // namespace cosock
