// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// The start, the waiting and the end of operations on an io_object. Which bytes move, and when an
// object is ready, is decided by the object. Every return of start() that does not wait ends with
// done() or complete_or_yield(), so that a task that never waits uses up its budget.

#include <cosock/detail/stream_operation.hpp>

#include "core/failure.hpp"
#include "core/scheduler.hpp"

namespace cosock::detail {

void io_operation::refuse(io_object* object, io_direction direction) noexcept {
  if (!object || !object->loop)
    failure_ = closed_failure();
  else
    failure_ =
        own_failure(object->waiter[direction] && object->loop == scope_->loop ? error::busy
                                                                              : error::wrong_loop);
}

step io_operation::wait(io_object* object, io_direction direction, bool yields) {
  object_ = object;
  direction_ = direction;
  object->waiter[direction] = this;
  suspend();
  // Registered before arm(), which may report readiness at once.
  if (yields)
    scheduler::get(*object->loop).yield(*this);
  else
    object->arm(direction);
  return step::pending;
}

step io_operation::launch(io_object* object, io_direction direction) {
  if (!may_begin(object, direction)) return complete_or_yield();
  // If the flag is false, the system would answer EAGAIN: the call is saved.
  if (object->maybe_ready[direction]) {
    if (!object->loop->take_turn()) return wait(object, direction, true);
    // For attempt() only; wait() sets it again.
    object_ = object;
    direction_ = direction;
    const step reached = attempt();
    object_ = nullptr;
    if (reached == step::done) return done();
    scope_->loop->has_to_wait();
  }
  return wait(object, direction, object->maybe_ready[direction]);
}

void io_operation::move_to(io_object& other) {
  leave();
  object_ = &other;
  other.waiter[direction_] = this;
  if (other.maybe_ready[direction_])  // could go on, but has had its turn
    scheduler::get(*other.loop).schedule_next_turn(*this);
  else
    other.arm(direction_);
}

void io_operation::fire() {
  // Null: end_with() has ended the operation, and only the coroutine has to be resumed.
  if (object_) {
    if (attempt() == step::pending) {
      if (object_->maybe_ready[direction_])  // could go on, but the budget is used up
        scheduler::get(*object_->loop).yield(*this);
      else
        object_->arm(direction_);
      return;
    }
    leave();
  }
  resume();
}

void io_operation::cancel() noexcept { end_with(cancelled_failure()); }

void io_operation::end_with(failure why) noexcept {
  if (!object_) return;  // has ended already, and will be resumed
  loop_state& loop = *object_->loop;
  failure_ = why;
  leave();  // now, because the object may be destroyed before the loop fires this operation
  if (!linked()) scheduler::get(loop).schedule(*this);
}

std::size_t stream_operation::pieces(piece* out, std::size_t max_pieces) const {
  return gather_(memory_, moved_, out, max_pieces);
}

/// The rare part of moved(): a sequence of buffers, or the end of the stream.
step stream_operation::ended_without(std::size_t bytes) noexcept {
  if (bytes == 0 && kind_ == kind::receive_exactly) {
    failure_ = own_failure(error::end_of_stream);
    return step::done;
  }
  if (contiguous()) return moved_ == size_ ? step::done : step::pending;
  piece rest;
  return pieces(&rest, 1) == 0 ? step::done : step::pending;
}

// As io_operation::launch() does, without its virtual call of attempt(): this is the path of most operations.
// The rare cases are functions of their own, so that the path saves few registers.

step stream_operation::start_operation(std::coroutine_handle<> awaiting, cancel_node& parent) {
  if (!enter(awaiting, parent)) [[unlikely]]
    return complete_or_yield();
  io_object* const target = target_;
  const io_direction side = direction();
  if (!target || target->loop != parent.loop || target->waiter[side]) [[unlikely]]
    return refuse_start();
  if (!contiguous() || size_ == 0) [[unlikely]]
    return start_sequence();
  return begin(*target, side);
}

inline step stream_operation::begin(io_object& target, io_direction side) {
  if (!target.maybe_ready[side]) return wait(&target, side, false);
  if (!target.loop->take_turn()) [[unlikely]]
    return wait(&target, side, true);
  if (target.transfer(*this) == step::done) return done();
  return wait_after_attempt(target);
}

step stream_operation::refuse_start() noexcept {
  refuse(target_, direction());
  return complete_or_yield();
}

/// A sequence of buffers, or no bytes.
step stream_operation::start_sequence() {
  piece first;
  if (contiguous() || pieces(&first, 1) == 0) return complete_or_yield();
  return begin(*target_, direction());
}

step stream_operation::wait_after_attempt(io_object& target) {
  scope_->loop->has_to_wait();
  return wait(&target, direction(), target.maybe_ready[direction()]);
}

void stream_operation::raise_failure() const {
  if (moved_ != 0) throw transfer_error(to_error_code(failure_), moved_);
  raise(failure_);
}

step stream_ready_operation::start(std::coroutine_handle<> awaiting, cancel_node& parent) {
  return enter(awaiting, parent) ? launch(target_, direction_) : complete_or_yield();
}

step stream_flush_operation::start(std::coroutine_handle<> awaiting, cancel_node& parent) {
  if (!enter(awaiting, parent)) return complete_or_yield();
  io_object* const target = target_;
  if (!may_begin(target, writing)) return complete_or_yield();
  // Not launch(): `maybe_ready` is about room in the buffers, not about their being empty.
  if (target->is_flushed(failure_)) return complete_or_yield();
  return wait(target, writing, target->maybe_ready[writing]);
}

step stream_peer_closed_operation::start(std::coroutine_handle<> awaiting, cancel_node& parent) {
  if (!enter(awaiting, parent)) return complete_or_yield();
  io_object* const target = target_;
  if (!may_begin(target, reading)) return complete_or_yield();
  const peer_state state = target->peer();
  if (state == peer_state::unknown) failure_ = system_failure(EOPNOTSUPP);
  if (state != peer_state::open) return complete_or_yield();
  target->maybe_ready[reading] = false;
  return wait(target, reading, false);
}

step stream_peer_closed_operation::attempt() {
  const bool open = object_->peer() == peer_state::open;
  object_->maybe_ready[reading] = !open;
  return open ? step::pending : step::done;
}

namespace {

/// An operation that nobody awaits.
class immediate_operation final : public stream_operation {
 public:
  immediate_operation(kind requested, io_object* const& target, const void* data,
                      std::size_t size) noexcept
      : stream_operation(requested, target, data, size) {}
  std::ptrdiff_t attempt_now(io_object& object) {
    const step reached = object.try_transfer(*this);
    if (failure_) raise_failure();
    return reached == step::done ? static_cast<std::ptrdiff_t>(moved_) : -1;
  }
};

}  // namespace

std::ptrdiff_t transfer_now(stream_operation::kind requested, io_object* target, const void* data,
                            std::size_t size) {
  if (!target || !target->loop) raise(closed_failure());
  immediate_operation op(requested, target, data, size);
  if (target->waiter[op.direction()]) raise(own_failure(error::busy));
  return size == 0 ? 0 : op.attempt_now(*target);
}

step stream_ready_operation::attempt() {
  return object_->is_ready(direction_) ? step::done : step::pending;
}

}  // namespace cosock::detail
