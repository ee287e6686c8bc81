// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#include <cosock/detail/source.hpp>

#include "core/failure.hpp"
#include "core/scheduler.hpp"

#include <cosock/stream.hpp>

namespace cosock {

byte_stream::~byte_stream() = default;

namespace detail {

void source::ready(side which) noexcept {
  hint[which] = true;
  side_operation* op = waiter[which];
  if (op && !op->linked()) scheduler::of(*on).make_ready(*op);
}

void source::abandon(failure why) noexcept {
  for (side_operation* op : waiter)
    if (op) op->end_with(why);
}

void side_operation::refuse(source* where, side which) noexcept {
  if (!where || !where->on)
    failure_ = closed_failure();
  else
    failure_ = own_failure(where->waiter[which] && where->on == scope_->on ? error::busy
                                                                           : error::other_loop);
}

bool side_operation::wait(source* where, side which, bool yields) {
  on_ = where;
  side_ = which;
  where->waiter[which] = this;
  suspend();
  if (yields)
    scheduler::of(*where->on).make_ready_later(*this);
  else
    where->arm(which);
  return true;
}

bool side_operation::end_at_once() noexcept {
  core& loop = *scope_->on;
  if (loop.budget-- > 0) return ended();
  suspend();
  scheduler::of(loop).make_ready_later(*this);
  return true;
}

bool side_operation::launch(source* where, side which) {
  if (!may_begin(where, which)) return end_at_once();
  if (where->hint[which]) {
    if (where->on->budget-- <= 0) return wait(where, which, true);
    on_ = where;
    side_ = which;
    const bool done = attempt();
    on_ = nullptr;
    if (done) return ended();
  }
  return wait(where, which, where->hint[which]);
}

void side_operation::fire() {
  if (on_) {
    if (!attempt()) {
      if (on_->hint[side_])  // could go on, but has had its turn
        scheduler::of(*on_->on).make_ready_later(*this);
      else
        on_->arm(side_);
      return;
    }
    leave();
  }
  resume();
}

void side_operation::cancel() noexcept { end_with(cancelled_failure()); }

void side_operation::end_with(failure why) noexcept {
  if (!on_) return;  // has ended already, and will be resumed
  core& loop = *on_->on;
  failure_ = why;
  leave();
  if (!linked()) scheduler::of(loop).make_ready(*this);
}

std::size_t stream_operation::pieces(piece* out, std::size_t most) const {
  return gather_(memory_, moved_, out, most);
}

/// The rarer half of moved(): a sequence of buffers, or the end of the stream.
bool stream_operation::ended_without(std::size_t bytes) noexcept {
  if (bytes == 0 && kind_ == kind::receive_exactly) {
    failure_ = own_failure(error::end_of_stream);
    return true;
  }
  if (contiguous()) return moved_ == size_;
  piece rest;
  return pieces(&rest, 1) == 0;
}

bool stream_operation::start_operation(std::coroutine_handle<> awaiting, scope& where) {
  if (!enter(awaiting, where)) return false;
  source* const of = of_;
  const side which = this->which();
  if (!may_begin(of, which)) return end_at_once();
  piece first;
  if (contiguous() ? size_ == 0 : pieces(&first, 1) == 0) return end_at_once();
  if (of->hint[which]) {
    if (of->on->budget-- <= 0) return wait(of, which, true);
    if (of->transfer(*this)) return ended();
  }
  return wait(of, which, of->hint[which]);
}

void stream_operation::raise_failure() const {
  if (moved_ != 0) throw transfer_error(to_error_code(failure_), moved_);
  raise(failure_);
}

bool ready_operation::start(std::coroutine_handle<> awaiting, scope& where) {
  return enter(awaiting, where) && launch(of_, which_);
}

bool flush_operation::start(std::coroutine_handle<> awaiting, scope& where) {
  if (!enter(awaiting, where)) return false;
  source* const of = of_;
  if (!may_begin(of, writing)) return end_at_once();
  if (of->is_flushed(failure_)) return end_at_once();
  return wait(of, writing, false);
}

kept_source::kept_source(source* of, bool keeps) noexcept
    : of_(of && of->leave_to(this) ? of : nullptr), keeps_(keeps) {}

kept_source::~kept_source() {
  if (left_)
    left_->close_left();
  else if (of_)
    of_->leave_to(nullptr);
}

bool ready_operation::attempt() { return on_->is_ready(side_); }

}  // namespace detail
}  // namespace cosock
