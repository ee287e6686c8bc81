// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#include <cosock/detail/forwarding_object.hpp>

#include "core/failure.hpp"

#include <cosock/detail/stream_operation.hpp>

namespace cosock::detail {

io_object* forwarding_object::open_below(io_direction direction) const noexcept {
  io_object* const stream = below(direction);
  return stream && stream->loop ? stream : nullptr;
}

/// An operation that began here has to wait. maybe_ready says true again, so that the next operation
/// begins here too.
void forwarding_object::arm(io_direction direction) {
  maybe_ready[direction] = true;
  io_object* const stream = open_below(direction);
  if (!stream)
    waiter[direction]->end_with(closed_failure());
  else if (stream->waiter[direction])
    waiter[direction]->end_with(own_failure(error::busy));
  else
    waiter[direction]->move_to(*stream);
}

step forwarding_object::transfer(stream_operation& op) { return forward(op, nullptr); }

step forwarding_object::transfer_with_descriptors(stream_operation& op,
                                                  passed_descriptors& passed) {
  return forward(op, &passed);
}

step forwarding_object::forward(stream_operation& op, passed_descriptors* passed) {
  const io_direction direction = op.direction();
  io_object* const stream = open_below(direction);
  if (!stream) return op.failed(closed_failure());
  if (stream->waiter[direction]) return op.failed(own_failure(error::busy));
  const step reached =
      passed ? stream->transfer_with_descriptors(op, *passed) : stream->transfer(op);
  if (direction == reading) input_ended = stream->input_ended;
  if (reached == step::pending) maybe_ready[direction] = false;  // so that arm() is called
  return reached;
}

step forwarding_object::try_transfer(stream_operation& op) {
  const step reached = transfer(op);
  maybe_ready[op.direction()] = true;  // no arm() follows
  return reached;
}

peer_state forwarding_object::peer() noexcept {
  io_object* const stream = open_below(reading);
  return stream ? stream->peer() : peer_state::unknown;
}

void forwarding_object::count_into(byte_counter& counter) noexcept {
  io_object* const in = open_below(reading);
  io_object* const out = open_below(writing);
  if (in) in->count_into(counter);
  if (out && out != in) out->count_into(counter);
}

bool forwarding_object::is_ready(io_direction direction) noexcept {
  io_object* const stream = open_below(direction);
  return maybe_ready[direction] = !stream || stream->is_ready(direction);
}

bool forwarding_object::is_flushed(failure& why) noexcept {
  io_object* const stream = open_below(writing);
  return maybe_ready[writing] = !stream || stream->is_flushed(why);
}

bool forwarding_object::may_finish() noexcept {
  io_object* const stream = open_below(reading);
  return stream && stream->may_finish();
}

bool forwarding_object::forgives_lost_peer() const noexcept {
  const io_object* const stream = open_below(reading);
  return stream && stream->forgives_lost_peer();
}

void forwarding_object::describe(wait_report& to, io_direction direction) const {
  if (const io_object* const o = below(direction)) o->describe(to, direction);
}

bool forwarding_object::is_busy() const noexcept {
  const auto waits = [this](io_direction direction) {
    const io_object* const stream = open_below(direction);
    return waiter[direction] || (stream && stream->waiter[direction]);
  };
  return waits(reading) || waits(writing);
}

void forwarding_object::end() noexcept {
  abandon(closed_failure());
  loop = nullptr;
}

}  // namespace cosock::detail
