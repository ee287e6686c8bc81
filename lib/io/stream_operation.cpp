// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#include <cosock/detail/stream_operation.hpp>

#include "core/failure.hpp"
#include "core/scheduler.hpp"

namespace cosock::detail {

void io_operation::refuse(io_object* where, side which) noexcept {
  if (!where || !where->loop)
    failure_ = closed_failure();
  else
    failure_ = own_failure(where->waiter[which] && where->loop == scope_->loop ? error::busy
                                                                           : error::other_loop);
}

step io_operation::wait(io_object* where, side which, bool yields) {
  on_ = where;
  side_ = which;
  where->waiter[which] = this;
  suspend();
  if (yields)
    scheduler::of(*where->loop).make_ready_later(*this);
  else
    where->arm(which);
  return step::pending;
}

step io_operation::launch(io_object* where, side which) {
  if (!may_begin(where, which)) return complete_or_yield();
  if (where->maybe_ready[which]) {
    if (!where->loop->take_turn()) return wait(where, which, true);
    on_ = where;
    side_ = which;
    const step reached = attempt();
    on_ = nullptr;
    if (reached == step::done) return done();
  }
  return wait(where, which, where->maybe_ready[which]);
}

void io_operation::fire() {
  if (on_) {
    if (attempt() == step::pending) {
      if (on_->maybe_ready[side_])  // could go on, but has had its turn
        scheduler::of(*on_->loop).make_ready_later(*this);
      else
        on_->arm(side_);
      return;
    }
    leave();
  }
  resume();
}

void io_operation::cancel() noexcept { end_with(cancelled_failure()); }

void io_operation::end_with(failure why) noexcept {
  if (!on_) return;  // has ended already, and will be resumed
  loop_state& loop = *on_->loop;
  failure_ = why;
  leave();
  if (!linked()) scheduler::of(loop).make_ready(*this);
}

std::size_t stream_operation::pieces(piece* out, std::size_t most) const {
  return gather_(memory_, moved_, out, most);
}

/// The rarer half of moved(): a sequence of buffers, or the end of the stream.
step stream_operation::ended_without(std::size_t bytes) noexcept {
  if (bytes == 0 && kind_ == kind::receive_exactly) {
    failure_ = own_failure(error::end_of_stream);
    return step::done;
  }
  if (contiguous()) return moved_ == size_ ? step::done : step::pending;
  piece rest;
  return pieces(&rest, 1) == 0 ? step::done : step::pending;
}

step stream_operation::start_operation(std::coroutine_handle<> awaiting, cancel_node& parent) {
  if (!enter(awaiting, parent)) return complete_or_yield();
  io_object* const of = of_;
  const side which = this->which();
  if (!may_begin(of, which)) return complete_or_yield();
  piece first;
  if (contiguous() ? size_ == 0 : pieces(&first, 1) == 0) return complete_or_yield();
  if (of->maybe_ready[which]) {
    if (!of->loop->take_turn()) return wait(of, which, true);
    if (of->transfer(*this) == step::done) return done();
  }
  return wait(of, which, of->maybe_ready[which]);
}

void stream_operation::raise_failure() const {
  if (moved_ != 0) throw transfer_error(to_error_code(failure_), moved_);
  raise(failure_);
}

step stream_ready_operation::start(std::coroutine_handle<> awaiting, cancel_node& parent) {
  return enter(awaiting, parent) ? launch(of_, which_) : complete_or_yield();
}

step stream_flush_operation::start(std::coroutine_handle<> awaiting, cancel_node& parent) {
  if (!enter(awaiting, parent)) return complete_or_yield();
  io_object* const of = of_;
  if (!may_begin(of, writing)) return complete_or_yield();
  if (of->is_flushed(failure_)) return complete_or_yield();
  return wait(of, writing, false);
}

step stream_ready_operation::attempt() {
  return on_->is_ready(side_) ? step::done : step::pending;
}

}  // namespace cosock::detail
