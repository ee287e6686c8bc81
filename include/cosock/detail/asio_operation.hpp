// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// The awaitable behind use_task. The task waits for a handler, which Asio owns and calls through
// loop_executor_impl, from any thread. So task and handler share a state, which the last of them
// destroys.

#include <cosock/detail/asio_loop_executor.hpp>
#include <cosock/error.hpp>

#include <boost/asio/async_result.hpp>
#include <boost/asio/cancellation_signal.hpp>

#include <atomic>
#include <optional>
#include <tuple>

namespace cosock {

struct use_task_t;

namespace detail {

class basic_asio_operation;

/// The state that a waiting task shares with the handler of its operation. Each may be gone before
/// the other; the last one destroys it. It is also the message that brings the result to the loop,
/// so a result from another thread needs no allocation.
class COSOCK_API asio_operation_state : public self_owned_message {
 public:
  explicit asio_operation_state(basic_asio_operation& waiter) noexcept;
  asio_operation_state(const asio_operation_state&) = delete;
  virtual ~asio_operation_state() = default;

  const loop_executor_impl& home() const noexcept { return executor_impl_; }
  asio::cancellation_slot slot() noexcept { return signal_.slot(); }

  /// Called by the handler, once, on any thread, when the result is stored.
  void completed() noexcept;
  /// Called by the handler, once, on any thread, if it is destroyed without a call.
  void dropped() noexcept;

  /// Called by the awaitable.
  void cancel() noexcept;
  bool is_cancelled() const noexcept { return cancelled_; }
  bool was_dropped() const noexcept { return dropped_; }
  /// Called by the awaitable when it is destroyed: cancels the operation, and ends its share.
  void abandon() noexcept;

 private:
  void post_result() noexcept;
  void deliver() noexcept override;
  void discard() noexcept override { drop(); }
  void drop() noexcept {
    // acq_rel: the side that destroys the state must see all that the other side has written to it.
    if (shares_.fetch_sub(1, std::memory_order_acq_rel) == 1) delete this;
  }

  loop_executor_impl executor_impl_;
  basic_asio_operation* waiter_;  // touched on the loop only; null: the awaitable is gone
  asio::cancellation_signal signal_;
  std::atomic<int> shares_ = 2;       // the awaitable and the handler
  std::atomic<bool> pending_ = true;  // the operation has not completed: it may be cancelled
  bool cancelled_ = false;
  bool dropped_ = false;
};

/// The part of the awaitable that is the same for all operations.
class COSOCK_API basic_asio_operation : public awaited_operation {
 public:
  void fire() override { resume(); }
  void describe_operation(wait_report& to) const override { to.operation("an operation of Asio"); }
  void cancel() noexcept override;
  /// Called by the state, on the loop, when the result has arrived.
  void arrive() noexcept;

 protected:
  basic_asio_operation() noexcept = default;
  ~basic_asio_operation() {
    if (state_) state_->abandon();
  }
  /// To be called when the initiation has returned. The result may have arrived inside it.
  step started(cancel_node& parent) noexcept;
  /// The failure for this code of Asio. operation_aborted becomes `cancelled` only if this scope
  /// was cancelled: the program may also have cancelled the operation itself.
  failure failure_of_code(const boost::system::error_code&) const noexcept;
  [[noreturn]] void rethrow(const std::exception_ptr&) const;

  asio_operation_state* state_ = nullptr;

 private:
  bool arrived_ = false;
  bool waiting_ = false;  // suspended, so arrive() has to schedule
};

template <class... Values>
class asio_result final : public asio_operation_state {
 public:
  using asio_operation_state::asio_operation_state;
  std::optional<std::tuple<Values...>> values;
};

/// The handler that is passed to Asio's operation. It owns one share of the state; a moved-from
/// handler owns nothing. If Asio destroys it without a call, the task learns of that.
template <class... Args>
class use_task_handler {
  using state = asio_result<std::decay_t<Args>...>;

 public:
  explicit use_task_handler(state& shared) noexcept : state_(&shared) {}
  use_task_handler(use_task_handler&& other) noexcept
      : state_(std::exchange(other.state_, nullptr)) {}
  ~use_task_handler() {
    if (state_) state_->dropped();
  }
  void operator()(Args... args) {
    state_->values.emplace(std::forward<Args>(args)...);
    std::exchange(state_, nullptr)->completed();
  }

  using executor_type = loop_executor_impl;
  executor_type get_executor() const noexcept { return state_->home(); }
  using cancellation_slot_type = asio::cancellation_slot;
  cancellation_slot_type get_cancellation_slot() const noexcept { return state_->slot(); }
  using allocator_type = frame_allocator<void>;
  allocator_type get_allocator() const noexcept { return {}; }

 private:
  state* state_;
};

/// The kind of the first argument in a signature: a code and an exception are thrown, not returned.
enum class first_argument : unsigned char { value, code, exception };
template <class...>
inline constexpr first_argument first_of = first_argument::value;
template <class... Rest>
inline constexpr first_argument first_of<boost::system::error_code, Rest...> = first_argument::code;
template <class... Rest>
inline constexpr first_argument first_of<std::exception_ptr, Rest...> = first_argument::exception;

/// An operation of Asio that has not begun. It keeps the initiation and its arguments until it is
/// awaited, because only then the scope and the loop are known.
template <class Initiation, class Bound, class... Args>
class COSOCK_AWAITABLE asio_operation final
    : public awaiter_of<asio_operation<Initiation, Bound, Args...>>,
      public basic_asio_operation {
  using state = asio_result<std::decay_t<Args>...>;
  static constexpr first_argument kind = first_of<std::decay_t<Args>...>;
  static constexpr std::size_t skipped = kind == first_argument::value ? 0 : 1;
  static constexpr std::size_t given = sizeof...(Args) - skipped;

 public:
  template <class F, class... B>
  explicit asio_operation(std::in_place_t, F&& initiation, B&&... bound)
      : initiation_(std::forward<F>(initiation)), bound_(std::forward<B>(bound)...) {}
  asio_operation(asio_operation&& other)
      : basic_asio_operation(),
        initiation_(std::move(other.initiation_)),
        bound_(std::move(other.bound_)) {}

  step start(std::coroutine_handle<> awaiting, cancel_node& parent) {
    if (!enter(awaiting, parent)) return complete_or_yield();
    auto* const made = new state(*this);
    state_ = made;
    // If the initiation throws, the handler has ended its share, or will; the destructor ends ours.
    try {
      use_task_handler<Args...> handler(*made);
      std::apply(
          [&](auto&... bound) { std::move(initiation_)(std::move(handler), std::move(bound)...); },
          bound_);
    } catch (...) {
      done();
      throw;
    }
    return started(parent);
  }

  decltype(auto) result() {
    if (const failure f = fail()) raise_failure(f);
    if constexpr (kind == first_argument::exception)
      if (std::get<0>(values())) rethrow(std::get<0>(values()));
    if constexpr (given == 0)
      return;
    else if constexpr (given == 1)
      return std::decay_t<decltype(std::get<skipped>(values()))>(
          std::get<skipped>(std::move(values())));
    else
      return rest(std::make_index_sequence<given>());
  }

  failure fail() noexcept {
    if (failure_) return failure_;
    if (state_->was_dropped()) return failure_of_code(asio::error::operation_aborted);
    if constexpr (kind == first_argument::code)
      if (std::get<0>(values())) return failure_of_code(std::get<0>(values()));
    if constexpr (kind == first_argument::exception)
      if (const failure f = failure_of(std::get<0>(values())))
        return failure_of_code(to_error_code(f));
    return {0, nullptr};
  }
  bool has_details() const noexcept { return !failure_ && !state_->was_dropped(); }

 private:
  auto& values() noexcept { return *static_cast<state*>(state_)->values; }
  template <std::size_t... Index>
  auto rest(std::index_sequence<Index...>) {
    return std::tuple<std::tuple_element_t<skipped + Index, std::tuple<std::decay_t<Args>...>>...>(
        std::get<skipped + Index>(std::move(values()))...);
  }
  /// If bytes were transferred before the error, throws transfer_error with their number.
  [[noreturn]] void raise_failure(const failure& f) {
    if constexpr (kind == first_argument::exception) {
      if (!failure_ && !state_->was_dropped()) rethrow(std::get<0>(values()));
    } else if constexpr (std::is_same_v<std::tuple<std::decay_t<Args>...>,
                                        std::tuple<boost::system::error_code, std::size_t>>) {
      if (!failure_ && !state_->was_dropped() && std::get<1>(values()) != 0)
        throw transfer_error(to_error_code(f), std::get<1>(values()));
    }
    raise(f);
  }

  Initiation initiation_;
  Bound bound_;
};

}  // namespace detail
}  // namespace cosock

template <class R, class... Args>
class boost::asio::async_result<cosock::use_task_t, R(Args...)> {
 public:
  template <class Initiation, class Token, class... Bound>
  static auto initiate(Initiation&& initiation, Token&&, Bound&&... bound) {
    return cosock::detail::asio_operation<std::decay_t<Initiation>,
                                          std::tuple<std::decay_t<Bound>...>, Args...>(
        std::in_place, std::forward<Initiation>(initiation), std::forward<Bound>(bound)...);
  }
};
