// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cosock/detail/ring.hpp>
#include <cosock/detail/waiter.hpp>

#include <cstdint>
#include <optional>
#include <utility>

namespace cosock {

namespace detail {
template <class T>
class broadcast_receive_operation;
}

/// Delivers values to all subscriptions. Sending never waits: the last values are stored, up to a
/// capacity, and a subscription that falls further behind is told how many it has missed. Belongs
/// to one loop. For values that must not be lost, use a channel for each receiver.
///
/// T is copied for every receiver; a `std::shared_ptr<const X>` is cheap to copy. The memory is
/// allocated once. Values stay in it until newer ones replace them.
template <class T>
class broadcast {
 public:
  /// A receiver of a broadcast: it receives the values that are sent after it subscribed, in order.
  /// If it is too slow, it loses the oldest.
  class subscription : private detail::link {
   public:
    subscription(subscription&& other) noexcept;
    subscription& operator=(subscription&&) = delete;
    /// Ends a receive that is pending with `error::closed`.
    ~subscription();

    /// Waits for the next value, and returns a copy; empty once the broadcast is closed and all
    /// values have been received. If this subscription was too slow, the next value is the oldest
    /// that is still stored, and missed() returns the number of lost values. Throws
    /// `error::cancelled`: no value was taken; `error::busy` while another task receives from the
    /// same subscription; `error::closed` if the broadcast was destroyed; and any exception of the
    /// copy constructor of T, in which case the value stays available.
    detail::broadcast_receive_operation<T> receive() {
      return detail::broadcast_receive_operation<T>(*this);
    }
    /// The number of values that were lost immediately before the value that was received last.
    [[nodiscard]] std::uint64_t missed() const noexcept { return missed_; }

   private:
    friend class broadcast;
    friend class detail::broadcast_receive_operation<T>;
    explicit subscription(cosock::broadcast<T>& broadcast) noexcept;
    bool available() const noexcept { return next_ != broadcast_->sent_; }
    std::optional<T> take();

    cosock::broadcast<T>* broadcast_;
    detail::broadcast_receive_operation<T>* receiving_ = nullptr;
    std::uint64_t next_;
    std::uint64_t missed_ = 0;
  };

  /// Keeps the last `capacity` values; 0 counts as 1. Throws std::invalid_argument for a capacity of
  /// more values than memory can hold (PTRDIFF_MAX bytes), std::bad_alloc.
  explicit broadcast(std::size_t capacity)
      : kept_("the capacity of a broadcast", capacity ? capacity : 1) {
    subscriptions_.previous = subscriptions_.following = &subscriptions_;
  }
  broadcast(const broadcast&) = delete;
  broadcast& operator=(const broadcast&) = delete;
  /// Receives that are pending end with `error::closed`; so do later ones.
  ~broadcast();

  /// Sends a value to every subscription. Returns false if the broadcast is closed.
  bool send(T value) noexcept {
    if (closed_) return false;
    if (kept_.full()) kept_.drop();
    kept_.push(std::move(value));
    ++sent_;
    waiting_.complete_all();
    return true;
  }
  /// Returns a new subscription, for values that are sent from now on.
  [[nodiscard]] subscription subscribe() noexcept { return subscription(*this); }

  /// Accepts no more values: receivers receive the stored ones, and then the end. Idempotent.
  void close() noexcept {
    closed_ = true;
    waiting_.complete_all();
  }
  /// Whether it was closed. Values may be left to receive.
  [[nodiscard]] bool is_closed() const noexcept { return closed_; }

 private:
  friend class detail::broadcast_receive_operation<T>;
  detail::ring<T> kept_;
  std::uint64_t sent_ = 0;
  detail::wait_list waiting_;
  detail::link subscriptions_;
  bool closed_ = false;
};

// Implementation

template <class T>
class COSOCK_AWAITABLE detail::broadcast_receive_operation final
    : public awaiter_of<broadcast_receive_operation<T>>,
      public waiter {
  using subscription = typename broadcast<T>::subscription;

 public:
  explicit broadcast_receive_operation(subscription& from) noexcept : subscription_(&from) {}
  broadcast_receive_operation(broadcast_receive_operation&& other) noexcept
      : waiter(), subscription_(other.subscription_) {}
  ~broadcast_receive_operation() {
    if (scope_) leave();
  }

  step start(std::coroutine_handle<> awaiting, cancel_node& parent) {
    // Null until the subscription knows this operation: it may be destroyed while a failure waits.
    subscription* const own = std::exchange(subscription_, nullptr);
    if (!enter(awaiting, parent)) return complete_or_yield();
    if (own->receiving_) return fail_busy();
    if (!own->broadcast_) return fail_closed();
    subscription_ = own;
    const bool now = subscription_->available() || subscription_->broadcast_->closed_;
    const step reached =
        now ? complete_or_yield() : wait_in(subscription_->broadcast_->waiting_.end());
    if (reached == step::pending) subscription_->receiving_ = this;
    return reached;
  }
  std::optional<T> result() {
    if (failure_) raise(failure_);
    return subscription_->take();
  }
  failure fail() noexcept { return failure_; }
  void describe_operation(wait_report& to) const override {
    to.operation("subscription::receive()");
  }
  void fire() override {
    leave();
    resume();
  }

  /// The subscription is gone, or its broadcast.
  void end() noexcept {
    if (!completed_)
      complete_closed();
    else if (!failure_)
      fail_later();
  }

 private:
  friend subscription;
  void leave() noexcept {
    if (subscription_ && subscription_->receiving_ == this) subscription_->receiving_ = nullptr;
  }
  subscription* subscription_;
};

template <class T>
broadcast<T>::subscription::subscription(cosock::broadcast<T>& broadcast) noexcept
    : broadcast_(&broadcast), next_(broadcast.sent_) {
  insert_before(broadcast.subscriptions_);
}

template <class T>
broadcast<T>::subscription::subscription(subscription&& other) noexcept
    : link(),
      broadcast_(std::exchange(other.broadcast_, nullptr)),
      receiving_(std::exchange(other.receiving_, nullptr)),
      next_(other.next_),
      missed_(other.missed_) {
  if (broadcast_) insert_before(other);
  other.unlink();
  if (receiving_) receiving_->subscription_ = this;
}

template <class T>
broadcast<T>::subscription::~subscription() {
  unlink();
  if (!receiving_) return;
  receiving_->subscription_ = nullptr;
  receiving_->end();
}

template <class T>
std::optional<T> broadcast<T>::subscription::take() {
  const std::uint64_t oldest = broadcast_->sent_ - broadcast_->kept_.size();
  const std::uint64_t next = next_ < oldest ? oldest : next_;
  if (next == broadcast_->sent_) return std::nullopt;
  std::optional<T> value(std::in_place, std::as_const(broadcast_->kept_)[next - oldest]);
  missed_ = next - next_;
  next_ = next + 1;
  return value;
}

template <class T>
broadcast<T>::~broadcast() {
  while (subscriptions_.following != &subscriptions_) {
    auto& receiver = static_cast<subscription&>(*subscriptions_.following);
    receiver.unlink();
    receiver.broadcast_ = nullptr;
    if (receiver.receiving_) receiver.receiving_->end();
  }
}

}  // namespace cosock
