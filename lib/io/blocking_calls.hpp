// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cosock/detail/stream_operation.hpp>

#include "loop/thread_pool.hpp"

#include <sys/uio.h>

#include <memory>

namespace cosock::detail {

class descriptor;

/// The reads and writes of a descriptor that would block the loop, on threads of the pool. Belongs
/// to the descriptor, which tells when it is readable or writable: a thread is occupied only by a
/// call that is expected to go on at once. If it blocks, another process was faster, or a terminal
/// has less room than it said. Such a call cannot be interrupted, so it outlives an operation that
/// was cancelled. What it has read is kept for the next receive; what it writes counts as sent.
///
/// A write to the master of a terminal might block until its last descriptor, that of the thread,
/// is closed. So it writes small pieces, for which there is room, and waits for room in poll(2).
class blocking_calls {
 public:
  /// Throws what making a descriptor does: the threads have some of their own.
  explicit blocking_calls(descriptor& descriptor);
  blocking_calls(const blocking_calls&) = delete;
  /// Calls that run go on, and close the descriptors in the end.
  ~blocking_calls();

  /// As readv(2) of a non-blocking descriptor.
  ssize_t read(const iovec* pieces, std::size_t count) noexcept;
  /// As io_object::transfer().
  step send(stream_operation&) noexcept;
  bool is_ready(io_direction) const noexcept;

 private:
  class call;
  struct handles;
  /// The calls of one direction, one at a time.
  struct lane final : job_waiter {
    lane(descriptor& descriptor, io_direction direction) noexcept
        : owner(descriptor), direction(direction) {}
    void job_completed() noexcept override;
    failure start(std::shared_ptr<call>) noexcept;

    descriptor& owner;
    const io_direction direction;
    std::shared_ptr<call> running;
    std::shared_ptr<call> finished;  // its result is still to be reported
  };

  step attempt(stream_operation&) noexcept;
  std::shared_ptr<call> make_call(io_direction, std::size_t size) const noexcept;

  descriptor& descriptor_;
  const std::shared_ptr<const handles> handles_;
  lane in_;
  lane out_;
};

}  // namespace cosock::detail
