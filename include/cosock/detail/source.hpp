// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cosock/buffer.hpp>
#include <cosock/detail/core.hpp>

namespace cosock::detail {

enum side : unsigned char { reading, writing };

struct byte_counter;
class kept_source;
class message_operation;
class stream_operation;
class side_operation;

/// Something that has a reading and a writing side, on each of which one operation can wait until it
/// is ready: a descriptor, or a stream in memory.
class COSOCK_API source {
 public:
  core* on = nullptr;
  side_operation* waiter[2] = {};
  /// Whether an attempt is likely to succeed. Where it is false, readiness will be reported.
  bool hint[2] = {false, true};
  /// Whether each send is a message of its own, which is not to be joined with others.
  bool keeps_messages = false;
  /// The end was received, or nobody wants what arrives any more: finish() has nothing to wait for.
  bool input_ended = false;
  /// The end has to be sent before the stream is closed: close_notify.
  bool says_end = false;

  /// Makes sure that ready() will be called when the side becomes ready.
  virtual void arm(side) = 0;
  /// Moves bytes until the operation has ended: false where it has to wait for that.
  virtual bool transfer(stream_operation&) = 0;
  /// Moves a datagram, or a batch: false where the operation has to wait.
  virtual bool transfer(message_operation&);
  /// Has what is moved from now on counted, if it can be.
  virtual void count_into(byte_counter&) noexcept {}
  /// Whether the side is ready, and sets the hint.
  virtual bool is_ready(side) noexcept = 0;

  /// Whether everything that was sent, and the end if shutdown_send() was called, has left the
  /// stream; true with a failure where it cannot. After false, ready(writing) is called when it has.
  virtual bool is_flushed(failure&) noexcept { return true; }
  /// Whether closing in order can help: not where the connection is lost, or a reset is wanted.
  virtual bool may_finish() noexcept { return !input_ended; }
  /// From now on a stream that is destroyed leaves its source there instead of closing it; null ends
  /// that. False where it cannot be done.
  virtual bool leave_to(kept_source*) noexcept { return false; }
  /// For a source that was left: closes it.
  virtual void close_left() noexcept {}

  /// Reports that a side is ready.
  void ready(side) noexcept;
  /// Ends what waits with this failure.
  void abandon(failure) noexcept;

 protected:
  source() = default;
  source(const source&) = delete;
  source& operator=(const source&) = delete;
  ~source() = default;
};

/// An operation on one side of a source.
class COSOCK_API side_operation : public awaited {
 public:
  void fire() override;
  void cancel() noexcept override;
  void end_with(failure) noexcept;

 protected:
  side_operation() noexcept {}
  ~side_operation() {
    if (scope_) [[unlikely]]
      leave();
  }

  /// One attempt: true if the operation has ended, with a result or a failure_.
  virtual bool attempt() = 0;
  /// Attempts or waits; true if the coroutine has to wait.
  bool launch(source* where, side which);
  /// Whether an operation may begin there; otherwise it has failed.
  bool may_begin(source* where, side which) noexcept {
    if (where && where->on == scope_->on && !where->waiter[which]) [[likely]] return true;
    refuse(where, which);
    return false;
  }
  void refuse(source* where, side which) noexcept;
  bool wait(source* where, side which, bool yields);
  /// For start(): has ended without a wait; lets the others have their turn if this one has had its
  /// own.
  bool end_at_once() noexcept;
  void leave() noexcept {
    if (on_) on_->waiter[side_] = nullptr;
    on_ = nullptr;
  }

  source* on_ = nullptr;
  side side_;
};

/// Moves bytes between memory and a stream. Refers to the stream, not to its source, until it starts:
/// the stream may be closed before that.
class COSOCK_API stream_operation : public side_operation {
 public:
  enum class kind : unsigned char { receive, receive_exactly, send, send_some };

  /// What is left to move, as pieces; at most `most` of them.
  std::size_t pieces(piece* out, std::size_t most) const;
  /// For the one contiguous buffer that most operations have.
  bool contiguous() const noexcept { return gather_ == nullptr; }
  void* data() const noexcept { return static_cast<char*>(const_cast<void*>(memory_)) + moved_; }
  std::size_t left() const noexcept { return size_ - moved_; }
  kind what() const noexcept { return kind_; }
  side which() const noexcept { return kind_ < kind::send ? reading : writing; }
  bool has_details() const noexcept { return moved_ != 0; }

  /// For the source's transfer(): so many bytes were moved, 0 for the end of the stream. True if
  /// that ends the operation.
  bool moved(std::size_t bytes) noexcept {
    moved_ += bytes;
    if (kind_ == kind::receive || kind_ == kind::send_some) return true;
    return bytes == 0 || !contiguous() ? ended_without(bytes) : moved_ == size_;
  }
  /// For the source's transfer(): how many bytes the operation has moved.
  std::size_t bytes_moved() const noexcept { return moved_; }
  /// For the source's transfer(): so many of the bytes reported to moved() were not moved.
  void take_back(std::size_t bytes) noexcept { moved_ -= bytes; }
  /// For the source's transfer(): ends the operation with an error. Always true.
  bool failed(failure why) noexcept {
    failure_ = why;
    return true;
  }

 protected:
  stream_operation(kind what, source* const& of, const void* data, std::size_t size) noexcept
      : of_(of), memory_(data), size_(size), kind_(what) {}
  stream_operation(kind what, source* const& of, const void* sequence, gather_function gather) noexcept
      : of_(of), memory_(sequence), size_(static_cast<std::size_t>(-1)), gather_(gather),
        kind_(what) {}
  stream_operation(stream_operation&& other) noexcept
      : of_(other.of_), memory_(other.memory_), size_(other.size_), gather_(other.gather_),
        kind_(other.kind_) {}
  ~stream_operation() = default;

  bool attempt() override { return on_->transfer(*this); }
  bool ended_without(std::size_t bytes) noexcept;
  [[noreturn]] void raise_failure() const;

  bool start_operation(std::coroutine_handle<> awaiting, scope& where);

  source* const& of_;   // null: closed
  const void* memory_;  // the buffer, or the sequence
  std::size_t size_;
  std::size_t moved_ = 0;
  gather_function gather_ = nullptr;
  kind kind_;
};

/// The awaitable that the functions of a stream return: gives the number of bytes.
class COSOCK_AWAITABLE byte_operation final : public awaiter_of<byte_operation>,
                                              public stream_operation {
 public:
  byte_operation(kind what, source* const& of, const void* data, std::size_t size) noexcept
      : stream_operation(what, of, data, size) {}
  byte_operation(kind what, source* const& of, const void* sequence, gather_function gather) noexcept
      : stream_operation(what, of, sequence, gather) {}
  byte_operation(byte_operation&& other) noexcept = default;

  bool start(std::coroutine_handle<> awaiting, scope& where) {
    return start_operation(awaiting, where);
  }
  std::size_t result() {
    if (failure_) raise_failure();
    return moved_;
  }
  failure fail() noexcept { return failure_; }
};

/// Waits until a side of a stream is ready.
class COSOCK_AWAITABLE ready_operation final : public awaiter_of<ready_operation>,
                                               public side_operation {
 public:
  ready_operation(source* const& of, side which) noexcept : of_(of), which_(which) {}
  ready_operation(ready_operation&& other) noexcept
      : side_operation(), of_(other.of_), which_(other.which_) {}
  bool start(std::coroutine_handle<> awaiting, scope& where);
  void result() {
    if (failure_) raise(failure_);
  }
  failure fail() noexcept { return failure_; }

 private:
  bool attempt() override;
  source* const& of_;
  side which_;
};

/// Waits until what was sent has left the stream, into the hands of the system. Takes the place of a
/// sender.
class COSOCK_AWAITABLE flush_operation final : public awaiter_of<flush_operation>,
                                               public side_operation {
 public:
  explicit flush_operation(source* const& of) noexcept : of_(of) {}
  flush_operation(flush_operation&& other) noexcept : side_operation(), of_(other.of_) {}
  bool start(std::coroutine_handle<> awaiting, scope& where);
  void result() {
    if (failure_) raise(failure_);
  }
  failure fail() noexcept { return failure_; }

 private:
  bool attempt() override { return on_->is_flushed(failure_); }
  source* const& of_;
};

/// Where a stream leaves its source when it is destroyed: what serve() closes in order. Closes what
/// was left when it is destroyed itself.
class COSOCK_API kept_source {
 public:
  /// Without `keeps` it only knows the source: a stream that is destroyed closes it.
  kept_source(source* of, bool keeps) noexcept;
  ~kept_source();
  kept_source(const kept_source&) = delete;
  kept_source& operator=(const kept_source&) = delete;

  /// The source as long as it is open, left here or not; null after that, or if it cannot be left.
  source* current() const noexcept { return left_ ? left_ : of_; }
  /// What was left here, or null.
  source*& left() noexcept { return left_; }

  bool keeps() const noexcept { return keeps_; }
  /// By the source: its stream is destroyed.
  void leave() noexcept { left_ = std::exchange(of_, nullptr); }
  /// By the source: it is closed, or released.
  void forget() noexcept { of_ = nullptr; }

 private:
  source* of_;
  source* left_ = nullptr;
  bool keeps_;
};

}  // namespace cosock::detail
