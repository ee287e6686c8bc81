// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// The object behind a stream or socket, as its operations see it. Sockets point to it, and moving a
// socket leaves it in place, so that pending operations go on.

#include <cosock/detail/core.hpp>
#include <cosock/detail/owner.hpp>

#include <string>

namespace cosock::detail {

enum io_direction : unsigned char { reading, writing };

enum class peer_state : unsigned char { open, closed, unknown };

struct byte_counter;
class kept_io_object;
class datagram_operation;
class passed_descriptors;
class stream_operation;
class io_operation;

/// An object with two directions, in each of which one operation can wait: a descriptor, or a
/// stream in memory. It does not own the operations; they belong to the frames that await them.
class COSOCK_API io_object {
 public:
  loop_state* loop = nullptr;  // null: closed, or the loop is gone
  io_operation* waiter[2] = {};
  /// Whether an attempt is likely to succeed. An edge is reported once, so it is stored here until
  /// the system says that nothing is left. If it is false, ready() will be called, at the latest
  /// after arm(); otherwise an operation would wait without end. Writing begins as true: sockets
  /// have room.
  bool maybe_ready[2] = {false, true};
  /// Whether each send is a message of its own, which must not be joined with others.
  bool keeps_messages = false;
  /// The end was received, or input is not wanted any more: finish() has nothing to wait for.
  bool input_ended = false;
  /// The end has to be sent before the stream is closed: close_notify.
  bool needs_close_notify = false;

  /// Makes sure that ready() will be called when the direction becomes ready.
  virtual void arm(io_direction) = 0;
  /// Moves bytes until the operation has ended, or would block.
  virtual step transfer(stream_operation&) = 0;
  /// transfer() for an operation that does not wait after that.
  virtual step try_transfer(stream_operation& op) { return transfer(op); }
  /// transfer() of a receive that keeps the descriptors which arrive with the bytes.
  virtual step transfer_with_descriptors(stream_operation& op, passed_descriptors&) {
    return transfer(op);
  }
  /// Whether the peer has ended its direction or the connection is lost, whatever is left to receive.
  virtual peer_state peer() noexcept { return peer_state::unknown; }
  /// Moves a datagram or a batch, unless it would block.
  virtual step transfer_datagrams(datagram_operation&);
  /// Adds the bytes that are moved from now on to the counter, if the object can count them.
  virtual void count_into(byte_counter&) noexcept {}
  /// Whether the direction is ready, and sets maybe_ready.
  virtual bool is_ready(io_direction) noexcept = 0;

  /// Whether all data that was sent, and the end if shutdown_send() was called, has left the
  /// stream; true with a failure if it cannot. After false, ready(writing) is called when it has.
  virtual bool is_flushed(failure&) noexcept { return true; }
  /// Whether closing in order can help. False if the connection is lost, or a reset is wanted.
  virtual bool may_finish() noexcept { return !input_ended; }
  /// Whether finish() returns false if the peer has gone, instead of throwing the error.
  virtual bool forgives_lost_peer() const noexcept { return false; }
  /// From now on a stream that is destroyed leaves its object to the keeper instead of closing it;
  /// null ends that. False if the object does not support it.
  virtual bool leave_to(kept_io_object*) noexcept { return false; }
  /// Closes an object that was left to a keeper.
  virtual void close_left() noexcept {}

  /// Tells what it is, for an operation that waits for it.
  virtual void describe(wait_report&, io_direction) const {}

  /// Reports that a direction is ready: schedules the operation that waits there.
  void ready(io_direction) noexcept;
  /// Ends the pending operations with this failure.
  void abandon(failure) noexcept;
  /// Whether an operation waits.
  virtual bool is_busy() const noexcept { return waiter[reading] || waiter[writing]; }

 protected:
  io_object() = default;
  io_object(const io_object&) = delete;
  io_object& operator=(const io_object&) = delete;
  ~io_object() = default;
};

/// Takes over the object of a stream that a handler destroys, so that serve() can end the
/// connection in order. It owns the object from then on, and its destructor closes it.
class COSOCK_API kept_io_object {
 public:
  /// If `keeps` is false, it only observes the object: a stream that is destroyed closes it.
  kept_io_object(io_object* object, bool keeps) noexcept;
  ~kept_io_object();
  kept_io_object(const kept_io_object&) = delete;
  kept_io_object& operator=(const kept_io_object&) = delete;

  /// The object while it is open, left here or not; null after that, or if it cannot be left.
  io_object* current() const noexcept { return left_ ? left_ : object_; }
  /// The object that was left here, or null.
  io_object*& left() noexcept { return left_; }

  bool keeps() const noexcept { return keeps_; }

  /// Who the connection is for, if that is not its peer: for the report of an error. Null: the peer.
  const std::string* client() const noexcept { return client_.get(); }
  void set_client(std::string name) const;
  /// Called by the object when its stream is destroyed.
  void leave() noexcept { left_ = std::exchange(object_, nullptr); }
  /// Called by the object when it is closed or released.
  void forget() noexcept { object_ = nullptr; }

 private:
  io_object* object_;
  io_object* left_ = nullptr;
  mutable owner<const std::string> client_;
  bool keeps_;
};

}  // namespace cosock::detail
