// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cosock/detail/ring.hpp>
#include <cosock/detail/waiter.hpp>

#include <optional>

namespace cosock {

namespace detail {
template <class T>
class channel_receive_operation;
template <class T>
class basic_channel_send_operation;
template <class T, bool Copies>
class channel_send_operation;
}  // namespace detail

/// A bounded queue of values between the tasks of one loop. Senders wait while it is full,
/// receivers while it is empty, first come, first served. Any number of tasks may send and receive;
/// each value goes to one receiver. It belongs to its loop. For values from other threads use a
/// mailbox (mailbox.hpp), for values to many receivers a broadcast.
///
/// T may be move-only; moving it must not throw. The memory is allocated once; sending and
/// receiving allocate nothing. When a channel is destroyed, pending sends and receives fail with
/// `error::closed`.
///
/// On GCC 12, make a value of an aggregate class with a destructor a named variable before the
/// `co_await` that sends it: that compiler destroys such a temporary twice.
template <class T>
class channel {
 public:
  /// With a capacity of 0, send() completes only when a receiver takes the value. Throws
  /// std::invalid_argument for a capacity of more values than memory can hold (PTRDIFF_MAX bytes);
  /// std::bad_alloc.
  explicit channel(std::size_t capacity) : queue_("the capacity of a channel", capacity) {}

  /// Waits for room, and queues the value. Throws `error::closed` if the channel is closed, now or
  /// while it waits, and `error::cancelled`. An rvalue is moved from only when it is queued: after
  /// an error the caller still has it, unchanged. Like every argument that is passed by reference,
  /// it must outlive the `co_await`.
  detail::channel_send_operation<T, false> send(T&& value) { return {*this, std::move(value)}; }
  detail::channel_send_operation<T, true> send(const T& value)
    requires std::copy_constructible<T>
  {
    return {*this, value};
  }

  /// Waits for a value, and returns it; empty once the channel is closed and all queued values have
  /// been received: `while (auto value = co_await channel.receive())`. Throws `error::cancelled`:
  /// no value was taken. A value that arrived before the cancellation is returned. If the task is
  /// destroyed after the value has arrived and before it runs, the value is destroyed too.
  detail::channel_receive_operation<T> receive() {
    return detail::channel_receive_operation<T>(*this);
  }

  /// Queues the value if there is room. Returns false, and leaves the value unchanged, if the
  /// channel is full or closed.
  [[nodiscard]] bool try_send(T&& value) { return !closed_ && give(value); }
  [[nodiscard]] bool try_send(const T& value)
    requires std::copy_constructible<T>
  {
    if (closed_ || !has_room()) return false;
    T copy(value);
    return give(copy);
  }
  /// The next value, also that of a sender that waits; otherwise empty.
  [[nodiscard]] std::optional<T> try_receive() {
    std::optional<T> value;
    take(value);
    return value;
  }

  /// Accepts no more values: those in the queue may still be received, and senders that wait fail.
  /// Idempotent.
  void close() noexcept {
    closed_ = true;
    senders_.close_all();
    receivers_.complete_all();
  }
  /// Whether it was closed. Values may be left to receive.
  [[nodiscard]] bool is_closed() const noexcept { return closed_; }
  /// The number of queued values. Those of senders that wait do not count.
  [[nodiscard]] std::size_t size() const noexcept { return queue_.size(); }
  /// The number of values that fit.
  [[nodiscard]] std::size_t capacity() const noexcept { return queue_.capacity(); }

 private:
  friend class detail::channel_receive_operation<T>;
  friend class detail::channel_send_operation<T, false>;
  friend class detail::channel_send_operation<T, true>;
  bool has_room() const noexcept { return !receivers_.empty() || !queue_.full(); }
  bool give(T& value) noexcept;
  bool take(std::optional<T>& into) noexcept;

  detail::ring<T> queue_;
  detail::wait_list senders_;    // none unless the queue is full
  detail::wait_list receivers_;  // none unless it is empty
  bool closed_ = false;
};

// Implementation

namespace detail {

template <class T>
class COSOCK_AWAITABLE channel_receive_operation final
    : public awaiter_of<channel_receive_operation<T>>,
      public waiter {
 public:
  explicit channel_receive_operation(channel<T>& channel) noexcept : channel_(channel) {}
  channel_receive_operation(channel_receive_operation&& other) noexcept
      : waiter(), channel_(other.channel_) {}

  step start(std::coroutine_handle<> awaiting, cancel_node& parent) {
    if (!enter(awaiting, parent)) return complete_or_yield();
    if (channel_.take(value_) || channel_.closed_) return complete_or_yield();
    return wait_in(channel_.receivers_.end());
  }
  std::optional<T> result() {
    if (failure_) raise(failure_);
    return std::move(value_);
  }
  failure fail() noexcept { return failure_; }
  void describe_operation(wait_report& to) const override {
    to.operation("channel::receive()");
    if (!completed_) to.detail("the channel is empty", 20);
  }

 private:
  friend class channel<T>;
  channel<T>& channel_;
  std::optional<T> value_;
};

template <class T>
class basic_channel_send_operation : public waiter {
 public:
  /// The value that it waits to send.
  T& value() noexcept { return *value_; }
  void describe_operation(wait_report& to) const override {
    to.operation("channel::send()");
    if (!completed_) to.detail("the channel is full", 19);
  }

 protected:
  basic_channel_send_operation() noexcept {}
  ~basic_channel_send_operation() = default;
  T* value_ = nullptr;
};

template <class T, bool Copies>
class COSOCK_AWAITABLE channel_send_operation final
    : public awaiter_of<channel_send_operation<T, Copies>>,
      public basic_channel_send_operation<T> {
 public:
  template <class U>
  channel_send_operation(channel<T>& channel, U&& value)
      : channel_(channel), value_to_send_(std::forward<U>(value)) {}
  channel_send_operation(channel_send_operation&& other) noexcept
      : basic_channel_send_operation<T>(),
        channel_(other.channel_),
        value_to_send_(std::forward<stored>(other.value_to_send_)) {}

  step start(std::coroutine_handle<> awaiting, cancel_node& parent) {
    if (!this->enter(awaiting, parent)) return this->complete_or_yield();
    if (channel_.closed_) return this->fail_closed();
    if (channel_.give(value_to_send_)) return this->complete_or_yield();
    this->value_ = &value_to_send_;
    return this->wait_in(channel_.senders_.end());
  }
  void result() {
    if (this->failure_) raise(this->failure_);
  }
  failure fail() noexcept { return this->failure_; }

 private:
  using stored = std::conditional_t<Copies, T, T&&>;
  channel<T>& channel_;
  stored value_to_send_;
};

}  // namespace detail

template <class T>
bool channel<T>::give(T& value) noexcept {
  if (!receivers_.empty()) {
    auto& receiver = static_cast<detail::channel_receive_operation<T>&>(receivers_.first());
    receiver.value_.emplace(std::move(value));
    receiver.complete();
    return true;
  }
  if (queue_.full()) return false;
  queue_.push(std::move(value));
  return true;
}

template <class T>
bool channel<T>::take(std::optional<T>& into) noexcept {
  auto* sender = senders_.empty()
                     ? nullptr
                     : &static_cast<detail::basic_channel_send_operation<T>&>(senders_.first());
  if (queue_.size() != 0) {
    into.emplace(queue_.pop());
    if (sender) queue_.push(std::move(sender->value()));
  } else if (sender) {
    into.emplace(std::move(sender->value()));
  } else {
    return false;
  }
  if (sender) sender->complete();
  return true;
}

}  // namespace cosock
