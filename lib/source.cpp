// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#include <cosock/detail/source.hpp>

#include "detail/engine.hpp"
#include "detail/system.hpp"

#include <cosock/stream.hpp>

namespace cosock {

byte_stream::~byte_stream() = default;

namespace detail {

void source::ready(side which) noexcept {
  hint[which] = true;
  side_operation* op = waiter[which];
  if (op && !op->linked()) engine::of(*on).make_ready(*op);
}

void source::abandon(failure why) noexcept {
  for (side_operation* op : waiter)
    if (op) op->end_with(why);
}

bool side_operation::launch(source* where, side which) {
  if (!where) {
    failure_ = closed_failure();
    return false;
  }
  if (where->on != scope_->on) {
    failure_ = own_failure(where->on ? error::other_loop : error::closed);
    return false;
  }
  if (where->waiter[which]) {
    failure_ = own_failure(error::busy);
    return false;
  }
  core& loop = *where->on;
  side_ = which;
  const bool try_now = where->hint[which];
  if (try_now && loop.budget > 0) {
    --loop.budget;
    on_ = where;
    if (attempt()) {
      on_ = nullptr;
      return false;
    }
  }
  on_ = where;
  where->waiter[which] = this;
  suspend();
  if (try_now && loop.budget <= 0)
    engine::of(loop).make_ready_later(*this);
  else
    where->arm(which);
  return true;
}

void side_operation::fire() {
  if (on_) {
    if (!attempt()) {
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
  if (!linked()) engine::of(loop).make_ready(*this);
}

std::size_t stream_operation::pieces(piece* out, std::size_t most) const {
  return gather_(memory_, moved_, out, most);
}

bool stream_operation::moved(std::size_t bytes) noexcept {
  moved_ += bytes;
  switch (kind_) {
    case kind::receive:
    case kind::send_some:
      return true;
    case kind::receive_exactly:
      if (bytes == 0) {
        failure_ = own_failure(error::end_of_stream);
        return true;
      }
      break;
    case kind::send:
      break;
  }
  if (contiguous()) return moved_ == size_;
  piece rest;
  return pieces(&rest, 1) == 0;
}

bool stream_operation::attempt() {
  // A source that has moved a part knows best whether it can go on at once.
  while (!on_->transfer(*this))
    if (!on_->hint[side_]) return false;
  return true;
}

bool stream_operation::start_operation(std::coroutine_handle<> awaiting, scope& where) {
  if (!enter(awaiting, where)) return false;
  piece first;
  const bool empty = contiguous() ? size_ == 0 : pieces(&first, 1) == 0;
  if (empty && of_) return false;
  return launch(of_, which());
}

void stream_operation::raise_failure() const {
  if (moved_ != 0) throw transfer_error(to_error_code(failure_), moved_);
  raise(failure_);
}

bool ready_operation::start(std::coroutine_handle<> awaiting, scope& where) {
  return enter(awaiting, where) && launch(of_, which_);
}

bool ready_operation::attempt() { return on_->is_ready(side_); }

}  // namespace detail
}  // namespace cosock
