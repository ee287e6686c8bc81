// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#include <cosock/detail/io_object.hpp>

#include "core/scheduler.hpp"

#include <cosock/stream.hpp>

namespace cosock {

byte_stream::~byte_stream() = default;

namespace detail {

void io_object::ready(io_direction direction) noexcept {
  maybe_ready[direction] = true;
  io_operation* op = waiter[direction];
  if (op && !op->linked()) scheduler::get(*loop).schedule(*op);
}

void io_object::abandon(failure why) noexcept {
  for (io_operation* op : waiter)
    if (op) op->end_with(why);
}

kept_io_object::kept_io_object(io_object* object, bool keeps) noexcept
    : object_(object && object->leave_to(this) ? object : nullptr), keeps_(keeps) {}

kept_io_object::~kept_io_object() {
  if (left_)
    left_->close_left();
  else if (object_)
    object_->leave_to(nullptr);
}

}  // namespace detail
}  // namespace cosock
