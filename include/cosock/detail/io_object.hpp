// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cosock/detail/core.hpp>

namespace cosock::detail {

enum io_direction : unsigned char { reading, writing };

struct byte_counter;
class kept_io_object;
class datagram_operation;
class stream_operation;
class io_operation;

/// Something that has two directions, in each of which one operation can wait until it
/// is ready: a descriptor, or a stream in memory.
class COSOCK_API io_object {
 public:
  loop_state* loop = nullptr;
  io_operation* waiter[2] = {};
  /// Whether an attempt is likely to succeed. Where it is false, readiness will be reported.
  bool maybe_ready[2] = {false, true};
  /// Whether each send is a message of its own, which is not to be joined with others.
  bool keeps_messages = false;
  /// The end was received, or nobody wants what arrives any more: finish() has nothing to wait for.
  bool input_ended = false;
  /// The end has to be sent before the stream is closed: close_notify.
  bool needs_close_notify = false;

  /// Makes sure that ready() will be called when the direction becomes ready.
  virtual void arm(io_direction) = 0;
  /// Moves bytes until the operation has ended, or has to wait for that.
  virtual step transfer(stream_operation&) = 0;
  /// Moves a datagram, or a batch, or has to wait.
  virtual step transfer_datagrams(datagram_operation&);
  /// Has what is moved from now on counted, if it can be.
  virtual void count_into(byte_counter&) noexcept {}
  /// Whether the direction is ready, and sets maybe_ready.
  virtual bool is_ready(io_direction) noexcept = 0;

  /// Whether everything that was sent, and the end if shutdown_send() was called, has left the
  /// stream; true with a failure where it cannot. After false, ready(writing) is called when it has.
  virtual bool is_flushed(failure&) noexcept { return true; }
  /// Whether closing in order can help: not where the connection is lost, or a reset is wanted.
  virtual bool may_finish() noexcept { return !input_ended; }
  /// From now on a stream that is destroyed leaves its object there instead of closing it; null ends
  /// that. False where it cannot be done.
  virtual bool leave_to(kept_io_object*) noexcept { return false; }
  /// For an io_object that was left: closes it.
  virtual void close_left() noexcept {}

  /// Reports that a direction is ready.
  void ready(io_direction) noexcept;
  /// Ends what waits with this failure.
  void abandon(failure) noexcept;

 protected:
  io_object() = default;
  io_object(const io_object&) = delete;
  io_object& operator=(const io_object&) = delete;
  ~io_object() = default;
};

/// Where a stream leaves its object when it is destroyed: what serve() closes in order. Closes what
/// was left when it is destroyed itself.
class COSOCK_API kept_io_object {
 public:
  /// Without `keeps` it only knows the object: a stream that is destroyed closes it.
  kept_io_object(io_object* object, bool keeps) noexcept;
  ~kept_io_object();
  kept_io_object(const kept_io_object&) = delete;
  kept_io_object& operator=(const kept_io_object&) = delete;

  /// The object as long as it is open, left here or not; null after that, or if it cannot be left.
  io_object* current() const noexcept { return left_ ? left_ : object_; }
  /// What was left here, or null.
  io_object*& left() noexcept { return left_; }

  bool keeps() const noexcept { return keeps_; }
  /// By the object: its stream is destroyed.
  void leave() noexcept { left_ = std::exchange(object_, nullptr); }
  /// By the object: it is closed, or released.
  void forget() noexcept { object_ = nullptr; }

 private:
  io_object* object_;
  io_object* left_ = nullptr;
  bool keeps_;
};

}  // namespace cosock::detail
