// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#include <cosock/detail/source.hpp>

#include "core/scheduler.hpp"

#include <cosock/stream.hpp>

namespace cosock {

byte_stream::~byte_stream() = default;

namespace detail {

void source::ready(side which) noexcept {
  hint[which] = true;
  io_operation* op = waiter[which];
  if (op && !op->linked()) scheduler::of(*loop).make_ready(*op);
}

void source::abandon(failure why) noexcept {
  for (io_operation* op : waiter)
    if (op) op->end_with(why);
}

kept_source::kept_source(source* of, bool keeps) noexcept
    : of_(of && of->leave_to(this) ? of : nullptr), keeps_(keeps) {}

kept_source::~kept_source() {
  if (left_)
    left_->close_left();
  else if (of_)
    of_->leave_to(nullptr);
}

}  // namespace detail
}  // namespace cosock
