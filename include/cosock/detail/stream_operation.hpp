// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// The operations of a stream, and the base of all operations on an io_object. They own neither the
// object nor the buffers. io_object::transfer moves the bytes; the functions here keep account of
// them.

#include <cosock/buffer.hpp>
#include <cosock/detail/io_object.hpp>

namespace cosock::detail {

/// An operation in one direction of an io_object. While it waits, the object points to it
/// (`waiter`), and it points to the object; both pointers are cleared when it ends, by leave().
class COSOCK_API io_operation : public awaited_operation {
 public:
  void fire() override;
  void cancel() noexcept override;
  void describe(wait_report& to) const override {
    awaited_operation::describe(to);
    if (object_) object_->describe(to, direction_);
  }
  void end_with(failure) noexcept;
  /// This, if it only moves bytes between its memory and the object for which it waits: the object may do that
  /// while it waits, without an attempt. Otherwise null.
  virtual stream_operation* as_transfer() noexcept { return nullptr; }
  /// Waits for another object from now on, in the same direction: that of a stream below.
  void move_to(io_object& other);

 protected:
  io_operation() noexcept {}
  ~io_operation() {
    if (scope_) [[unlikely]]
      leave();
  }

  /// Makes one attempt. Done: there is a result, or failure_ is set. It does not throw: an
  /// exception would leave the loop.
  virtual step attempt() = 0;
  /// For start(): attempts if the object may be ready, and waits otherwise.
  step launch(io_object* object, io_direction direction);
  /// Whether an operation may begin in this direction. If not, failure_ is set.
  bool may_begin(io_object* object, io_direction direction) noexcept {
    if (object && object->loop == scope_->loop && !object->waiter[direction]) [[likely]]
      return true;
    refuse(object, direction);
    return false;
  }
  void refuse(io_object* object, io_direction direction) noexcept;
  /// Registers the operation with the object, and suspends it. `yields`: the object may be ready,
  /// and only the budget is used up, so the next turn tries again without an event.
  step wait(io_object* object, io_direction direction, bool yields);
  void leave() noexcept {
    if (object_) object_->waiter[direction_] = nullptr;
    object_ = nullptr;
  }

  io_object* object_ = nullptr;  // set while it waits, and during attempt()
  io_direction direction_;
};

/// Moves bytes between memory and a stream. Refers to the stream, not to its object, until it
/// starts: the stream may be closed before that.
class COSOCK_API stream_operation : public io_operation {
 public:
  enum class kind : unsigned char { receive, receive_exactly, send, send_some };

  void describe_operation(wait_report& to) const override {
    to.operation(direction() == writing   ? "send()"
                 : kind_ == kind::receive ? "receive()"
                                          : "receive_exactly()");
  }
  /// The memory that is left to move, as at most `max_pieces` pieces.
  std::size_t pieces(piece* out, std::size_t max_pieces) const;
  /// For the one contiguous buffer that most operations have.
  bool contiguous() const noexcept { return gather_ == nullptr; }
  void* data() const noexcept { return static_cast<char*>(const_cast<void*>(memory_)) + moved_; }
  std::size_t left() const noexcept { return size_ - moved_; }
  kind requested() const noexcept { return kind_; }
  io_direction direction() const noexcept { return kind_ < kind::send ? reading : writing; }
  bool has_details() const noexcept { return moved_ != 0; }

  /// For the object's transfer(): reports that so many bytes were moved, 0 for the end of the
  /// stream. Done if this ends the operation.
  step moved(std::size_t bytes) noexcept {
    moved_ += bytes;
    // The common cases are inline; the others are in ended_without().
    if (kind_ == kind::receive || kind_ == kind::send_some) return step::done;
    if (bytes == 0 || !contiguous()) return ended_without(bytes);
    return moved_ == size_ ? step::done : step::pending;
  }
  /// For the object's transfer(): how many bytes the operation has moved.
  std::size_t bytes_moved() const noexcept { return moved_; }
  /// For the object's transfer(): so many of the bytes reported to moved() were not moved.
  void take_back(std::size_t bytes) noexcept { moved_ -= bytes; }
  /// For the object's transfer(): ends the operation with an error. Always done.
  step failed(failure why) noexcept {
    failure_ = why;
    return step::done;
  }

 protected:
  stream_operation(kind requested, io_object* const& target, const void* data,
                   std::size_t size) noexcept
      : target_(target), memory_(data), size_(size), kind_(requested) {}
  stream_operation(kind requested, io_object* const& target, const void* sequence,
                   gather_function gather) noexcept
      : target_(target),
        memory_(sequence),
        size_(static_cast<std::size_t>(-1)),
        gather_(gather),
        kind_(requested) {}
  // Copies the arguments only: an operation is moved before it starts, never after.
  stream_operation(stream_operation&& other) noexcept
      : target_(other.target_),
        memory_(other.memory_),
        size_(other.size_),
        gather_(other.gather_),
        kind_(other.kind_) {}
  ~stream_operation() = default;

  step attempt() override { return object_->transfer(*this); }
  step ended_without(std::size_t bytes) noexcept;
  [[noreturn]] void raise_failure() const;

  step start_operation(std::coroutine_handle<> awaiting, cancel_node& parent);

 private:
  step begin(io_object& target, io_direction side);
  [[gnu::noinline]] step refuse_start() noexcept;
  [[gnu::noinline]] step start_sequence();
  [[gnu::noinline]] step wait_after_attempt(io_object& target);

 protected:
  // A reference to the pointer of the stream, so that an operation that was made before the stream
  // is closed or moved from finds null.
  io_object* const& target_;
  const void* memory_;  // the buffer, or the sequence
  std::size_t size_;
  std::size_t moved_ = 0;
  gather_function gather_ = nullptr;
  kind kind_;
};

/// The awaitable that the functions of a stream return. Its result is the number of bytes.
class COSOCK_AWAITABLE stream_transfer_operation final
    : public awaiter_of<stream_transfer_operation>,
      public stream_operation {
 public:
  stream_transfer_operation(kind requested, io_object* const& target, const void* data,
                            std::size_t size) noexcept
      : stream_operation(requested, target, data, size) {}
  stream_transfer_operation(kind requested, io_object* const& target, const void* sequence,
                            gather_function gather) noexcept
      : stream_operation(requested, target, sequence, gather) {}
  stream_transfer_operation(stream_transfer_operation&& other) noexcept = default;

  step start(std::coroutine_handle<> awaiting, cancel_node& parent) {
    return start_operation(awaiting, parent);
  }
  stream_operation* as_transfer() noexcept override { return this; }
  std::size_t result() {
    if (failure_) raise_failure();
    return moved_;
  }
  failure fail() noexcept { return failure_; }
};

/// Waits until a direction of a stream is ready. Moves no byte.
class COSOCK_AWAITABLE stream_ready_operation final : public awaiter_of<stream_ready_operation>,
                                                      public io_operation {
 public:
  stream_ready_operation(io_object* const& target, io_direction direction) noexcept
      : target_(target) {
    direction_ = direction;
  }
  stream_ready_operation(stream_ready_operation&& other) noexcept
      : io_operation(), target_(other.target_) {
    direction_ = other.direction_;
  }
  step start(std::coroutine_handle<> awaiting, cancel_node& parent);
  void describe_operation(wait_report& to) const override {
    to.operation(direction_ == reading ? "wait_readable()" : "wait_writable()");
  }
  void result() {
    if (failure_) raise(failure_);
  }
  failure fail() noexcept { return failure_; }

 private:
  step attempt() override;
  io_object* const& target_;
};

/// Waits until the peer has gone. Takes the receiving direction. Its readiness is reported by edges, so
/// maybe_ready is false meanwhile, although bytes may be left to receive.
class COSOCK_AWAITABLE stream_peer_closed_operation final
    : public awaiter_of<stream_peer_closed_operation>,
      public io_operation {
 public:
  explicit stream_peer_closed_operation(io_object* const& target) noexcept : target_(target) {}
  stream_peer_closed_operation(stream_peer_closed_operation&& other) noexcept
      : io_operation(), target_(other.target_) {}
  ~stream_peer_closed_operation() { restore(); }
  step start(std::coroutine_handle<> awaiting, cancel_node& parent);
  void cancel() noexcept override {
    restore();
    io_operation::cancel();
  }
  void result() {
    if (failure_) raise(failure_);
  }
  failure fail() noexcept { return failure_; }
  void describe_operation(wait_report& to) const override { to.operation("wait_peer_closed()"); }

 private:
  step attempt() override;
  void restore() noexcept {
    if (object_) object_->maybe_ready[reading] = true;
  }
  io_object* const& target_;
};

/// Moves bytes without waiting. Returns their number, or -1 if it would have to wait. Throws the
/// errors of the operation, and `busy` while another one waits in this direction.
COSOCK_API std::ptrdiff_t transfer_now(stream_operation::kind requested, io_object* target,
                                       const void* data, std::size_t size);

/// Waits until all data that was sent has left the buffers of the stream. Counts as a send.
class COSOCK_AWAITABLE stream_flush_operation final : public awaiter_of<stream_flush_operation>,
                                                      public io_operation {
 public:
  explicit stream_flush_operation(io_object* const& target) noexcept : target_(target) {}
  stream_flush_operation(stream_flush_operation&& other) noexcept
      : io_operation(), target_(other.target_) {}
  step start(std::coroutine_handle<> awaiting, cancel_node& parent);
  void result() {
    if (failure_) raise(failure_);
  }
  failure fail() noexcept { return failure_; }
  void describe_operation(wait_report& to) const override {
    to.operation("the buffers of a stream to be sent");
  }

 private:
  step attempt() override { return object_->is_flushed(failure_) ? step::done : step::pending; }
  io_object* const& target_;
};

}  // namespace cosock::detail
