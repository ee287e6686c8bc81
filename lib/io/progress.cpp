// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// with_progress(): a scope with a timer that looks at the byte counter of a stream once a period. It
// owns a share of the counter, and not the stream.

#include <cosock/progress.hpp>

#include "core/failure.hpp"
#include "core/text.hpp"
#include "io/byte_counter.hpp"

#include <stdexcept>

namespace cosock::detail {

progress_scope::progress_scope(const progress_options& options, const byte_stream& stream)
    : options_(options), stream_(stream) {
  if (options.bytes == 0)
    throw std::invalid_argument("cosock: progress_options::bytes is 0; it is at least 1");
  if (options.every.count() <= 0)
    throw std::invalid_argument("cosock: progress_options::every is " +
                                std::to_string(options.every.count()) + " ns; it is more than 0");
}

progress_scope::~progress_scope() {
  leave();
  if (counter_) counter_->drop();
}

void progress_scope::count() {
  io_object* const object = stream_access::object_of(stream_);
  if (!object || !object->loop) raise(closed_failure());
  counter_ = new byte_counter;
  object->count_into(*counter_);
}

void progress_scope::begin() noexcept {
  if (expired_ || inner_.cancelled) return;
  const std::int64_t grace = options_.grace.count() > 0 ? options_.grace.count() : 0;
  at_ = later(later(current_time(*inner_.loop), grace), options_.every.count());
  if (at_ != INT64_MAX) start_timer(*inner_.loop, at_);
}

void progress_scope::expire() noexcept {
  const std::uint64_t moved = counter_->all_in() + counter_->all_out();
  if (moved - seen_ < options_.bytes) return timeout_scope::expire();
  seen_ = moved;
  at_ = later(at_, options_.every.count());
  if (at_ != INT64_MAX) start_timer(*inner_.loop, at_);
}

}  // namespace cosock::detail
