// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cosock/detail/ring.hpp>
#include <cosock/detail/waiter.hpp>

#include <memory>
#include <mutex>
#include <optional>

namespace cosock {

namespace detail {

class loop_handle;

/// The part of a mailbox that its senders share with it.
class COSOCK_API mailbox_base : public std::enable_shared_from_this<mailbox_base> {
 public:
  mailbox_base(const mailbox_base&) = delete;
  mailbox_base& operator=(const mailbox_base&) = delete;
  virtual ~mailbox_base();

  void close() noexcept;
  bool is_closed() const noexcept {
    const std::lock_guard<std::mutex> lock(mutex_);
    return closed_;
  }

 protected:
  mailbox_base();
  /// Makes sure that a receiver that waits will look. False if the loop is gone. With the mutex
  /// held.
  bool wake() noexcept;
  /// Whether the mailbox can be received from on this loop.
  bool is_on(loop_state& loop) const noexcept;
  /// On the loop: hands over the values that have arrived, with the mutex held.
  virtual void deliver() noexcept = 0;

  mutable std::mutex mutex_;
  bool waiting_ = false;  // someone waits in receivers_
  bool closed_ = false;
  wait_list receivers_;  // for the thread of the loop only

 private:
  struct wake_up;
  std::shared_ptr<loop_handle> loop_;
  std::unique_ptr<wake_up> wake_up_;
  bool woken_ = false;  // wake_up_ is on its way
};

template <class T>
class mailbox_state;
template <class T>
class mailbox_receive_operation;

}  // namespace detail

/// A bounded queue into which any thread sends. Tasks of the loop on which it was made receive from
/// it. Without Asio, it and loop::post are the only ways into a loop from another thread. Its
/// memory is allocated once, and sending allocates nothing. Moving a T must not throw.
///
/// Threads send through sender objects, which may outlive the mailbox and its loop; the mailbox may
/// outlive the loop too. Values that were not received are destroyed with the mailbox.
template <class T>
class mailbox {
 public:
  /// Sends to the mailbox. Copies send to the same mailbox. Each object may be used by any thread,
  /// by one at a time.
  class sender {
   public:
    /// Queues the value, and wakes a receiver. Never waits, except for a lock that is held for
    /// moments. Returns false, and leaves the value unchanged, if the mailbox is full, closed or
    /// destroyed, or if its loop is known to be destroyed. A true result does not guarantee that
    /// the value is received.
    [[nodiscard]] bool try_send(T&& value) const noexcept { return state_->give(value); }
    [[nodiscard]] bool try_send(const T& value) const
      requires std::copy_constructible<T>
    {
      T copy(value);
      return state_->give(copy);
    }
    /// Closes the mailbox for all senders. Idempotent.
    void close() const noexcept { state_->close(); }
    /// Whether every later send will fail.
    [[nodiscard]] bool is_closed() const noexcept { return state_->is_closed(); }

   private:
    friend class mailbox;
    explicit sender(std::shared_ptr<detail::mailbox_state<T>> state) noexcept
        : state_(std::move(state)) {}
    std::shared_ptr<detail::mailbox_state<T>> state_;
  };

  /// Has room for `capacity` values; 0 counts as 1. Belongs to the loop that runs on this thread.
  /// Throws std::logic_error if no loop runs here; std::invalid_argument for a capacity of more
  /// values than memory can hold (PTRDIFF_MAX bytes); std::bad_alloc.
  explicit mailbox(std::size_t capacity)
      : state_(std::make_shared<detail::mailbox_state<T>>(capacity)) {}
  mailbox(const mailbox&) = delete;
  mailbox& operator=(const mailbox&) = delete;
  /// On the thread of the loop. Receives that are pending end with `error::closed`.
  ~mailbox() { state_->abandon(); }

  /// Returns a new sender, for another thread.
  [[nodiscard]] sender make_sender() const noexcept { return sender(state_); }

  /// Waits for a value, and returns it; empty once the mailbox is closed and all queued values have
  /// been received. Several tasks may receive: first come, first served. Throws `error::cancelled`:
  /// no value was taken; `error::wrong_loop` in a task of another loop. If the loop has handed over
  /// a value before the cancellation takes effect, it is returned; a value that is only queued
  /// stays for the next receive.
  detail::mailbox_receive_operation<T> receive() {
    return detail::mailbox_receive_operation<T>(*state_);
  }
  /// The next value; empty if the queue is empty, or if tasks wait in receive(). On the thread of
  /// the loop.
  [[nodiscard]] std::optional<T> try_receive() { return state_->take_one(); }

  /// Accepts no more values: those in the queue may still be received. Idempotent.
  void close() noexcept { state_->close(); }
  /// Whether it was closed, here or by a sender. Values may be left to receive.
  [[nodiscard]] bool is_closed() const noexcept { return state_->is_closed(); }

 private:
  std::shared_ptr<detail::mailbox_state<T>> state_;
};

// Implementation

namespace detail {

template <class T>
class mailbox_state final : public mailbox_base {
 public:
  explicit mailbox_state(std::size_t capacity)
      : queue_("the capacity of a mailbox", capacity ? capacity : 1) {}

  bool give(T& value) noexcept {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (closed_ || queue_.full()) return false;
    if (waiting_ && !wake()) return false;
    queue_.push(std::move(value));
    return true;
  }
  std::optional<T> take_one() {
    std::optional<T> value;
    const std::lock_guard<std::mutex> lock(mutex_);
    if (queue_.size() != 0 && receivers_.empty()) value.emplace(queue_.pop());
    return value;
  }
  void abandon() noexcept {
    detail::ring<T> dropped;
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      closed_ = true;
      queue_.swap(dropped);
    }
    receivers_.close_all();
  }

 private:
  friend class mailbox_receive_operation<T>;
  /// Done: it has the value, or the end.
  step wait_or_take(mailbox_receive_operation<T>& op);
  void deliver() noexcept override;
  ring<T> queue_;
};

template <class T>
class COSOCK_AWAITABLE mailbox_receive_operation final
    : public awaiter_of<mailbox_receive_operation<T>>,
      public outside_waiter {
 public:
  explicit mailbox_receive_operation(mailbox_state<T>& state) noexcept : state_(state) {}
  mailbox_receive_operation(mailbox_receive_operation&& other) noexcept
      : outside_waiter(), state_(other.state_) {}

  step start(std::coroutine_handle<> awaiting, cancel_node& parent) {
    if (!enter(awaiting, parent)) return complete_or_yield();
    return state_.wait_or_take(*this);
  }
  std::optional<T> result() {
    if (failure_) raise(failure_);
    return std::move(value_);
  }
  failure fail() noexcept { return failure_; }
  void describe_operation(wait_report& to) const override { to.operation("mailbox::receive()"); }

 private:
  friend class mailbox_state<T>;
  mailbox_state<T>& state_;
  std::optional<T> value_;
};

template <class T>
step mailbox_state<T>::wait_or_take(mailbox_receive_operation<T>& op) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (!is_on(*op.scope_->loop)) return op.fail_wrong_loop();
  const bool free = receivers_.empty();
  if (free && queue_.size() != 0) {
    op.value_.emplace(queue_.pop());
    return op.complete_or_yield();
  }
  if (free && closed_) return op.complete_or_yield();
  waiting_ = true;
  return op.wait_in(receivers_.end());
}

template <class T>
void mailbox_state<T>::deliver() noexcept {
  while (!receivers_.empty() && (queue_.size() != 0 || closed_)) {
    auto& receiver = static_cast<mailbox_receive_operation<T>&>(receivers_.first());
    if (queue_.size() != 0) receiver.value_.emplace(queue_.pop());
    receiver.complete();
  }
  waiting_ = !receivers_.empty();
}

}  // namespace detail
}  // namespace cosock
