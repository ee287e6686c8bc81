// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// The part of an io_object that is the same for all kinds: how readiness and closing reach the
// operations that wait. Called by descriptor, by stream adapters and by kept_io_object.

#include <cosock/detail/io_object.hpp>

#include "core/scheduler.hpp"

#include <cosock/stream.hpp>

namespace cosock {

byte_stream::~byte_stream() = default;

namespace detail {

void io_object::ready(io_direction direction) noexcept {
  maybe_ready[direction] = true;  // also without a waiter: this edge is not reported again
  io_operation* op = waiter[direction];
  if (op && !op->linked()) scheduler::get(*loop).schedule(*op);  // it may wait for its turn already
}

void io_object::abandon(failure why) noexcept {
  // end_with() clears waiter[], so that the operations do not refer to this object any more.
  for (io_operation* op : waiter)
    if (op) op->end_with(why);
}

kept_io_object::kept_io_object(io_object* object, bool keeps) noexcept
    : object_(object && object->leave_to(this) ? object : nullptr), keeps_(keeps) {}

void kept_io_object::set_client(std::string name) const {
  client_.reset(new const std::string(std::move(name)));
}

kept_io_object::~kept_io_object() {
  if (left_)
    left_->close_left();
  else if (object_)
    object_->leave_to(nullptr);
}

}  // namespace detail
}  // namespace cosock
