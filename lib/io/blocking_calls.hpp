// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// Reads and writes that only a thread can make, for descriptors that must not be put into
// non-blocking mode and do not support RWF_NOWAIT. Made by `descriptor` when RWF_NOWAIT is refused.

#include <cosock/detail/stream_operation.hpp>

#include "loop/thread_pool.hpp"

#include <sys/uio.h>

#include <memory>

namespace cosock::detail {

class descriptor;

/// Makes the reads and writes of a descriptor on threads of the pool. Belongs to the descriptor,
/// whose events tell when it is readable or writable: a thread is occupied only by a call that is
/// expected to return at once. If it blocks, another process was faster, or a terminal has less
/// room than it said. Such a call cannot be interrupted, so it outlives an operation that was
/// cancelled. The bytes that it reads are kept for the next receive; the bytes that it writes count
/// as sent.
///
/// A write to the master of a terminal might block until the last descriptor of the master is
/// closed, which is that of the thread itself. So it writes small pieces, for which there is room,
/// and waits for room in poll(2), which an eventfd ends.
class blocking_calls {
 public:
  /// Throws system_error: it makes descriptors for the threads.
  explicit blocking_calls(descriptor& descriptor);
  blocking_calls(const blocking_calls&) = delete;
  /// Does not wait: running calls go on, and the last one closes the descriptors.
  ~blocking_calls();

  /// Like readv(2) of a non-blocking descriptor.
  ssize_t read(const iovec* pieces, std::size_t count) noexcept;
  /// Like io_object::transfer().
  step send(stream_operation&) noexcept;
  bool is_ready(io_direction) const noexcept;

 private:
  class call;
  struct handles;
  /// The calls of one direction, one at a time. A direction of its own, because a blocked read must
  /// not delay writes.
  struct lane final : job_waiter {
    lane(descriptor& descriptor, io_direction direction) noexcept
        : owner(descriptor), direction(direction) {}
    void job_completed() noexcept override;
    failure start(std::shared_ptr<call>) noexcept;

    descriptor& owner;
    const io_direction direction;
    std::shared_ptr<call> running;
    std::shared_ptr<call> finished;  // its result was not reported yet
  };

  step attempt(stream_operation&) noexcept;
  std::shared_ptr<call> make_call(io_direction, std::size_t size) const noexcept;

  descriptor& descriptor_;
  const std::shared_ptr<const handles> handles_;
  lane in_;
  lane out_;
};

}  // namespace cosock::detail
