// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cosock/detail/stream_operation.hpp>
#include <cosock/receive_result.hpp>
#include <cosock/unique_descriptor.hpp>

#include <span>
#include <vector>

namespace cosock {

/// The largest number of descriptors in one send: the system's limit (SCM_MAX_FD).
inline constexpr std::size_t max_descriptors = 253;

/// The result of receiving bytes or a message with descriptors.
struct receive_descriptors_result : receive_result {
  receive_descriptors_result() noexcept {}  // GCC 12 destroys aggregates twice, see docs/gcc-12.md

  /// The descriptors in the order in which they were sent; close-on-exec.
  std::vector<unique_descriptor> descriptors;
  /// The number of descriptors that were sent beyond the requested number. They are closed.
  std::size_t refused = 0;
  /// True if the kernel discarded descriptors (MSG_CTRUNC), for example at RLIMIT_NOFILE. Their number
  /// is unknown.
  bool incomplete = false;
};

namespace detail {

/// Sends with descriptors, through any local socket.
class COSOCK_AWAITABLE descriptor_send_operation final
    : public awaiter_of<descriptor_send_operation>,
      public io_operation {
 public:
  descriptor_send_operation(io_object* const& target, const_buffer data,
                            std::span<const int> descriptors) noexcept
      : target_(target), data_(data), descriptors_(descriptors) {}
  descriptor_send_operation(descriptor_send_operation&& other) noexcept
      : io_operation(),
        target_(other.target_),
        data_(other.data_),
        descriptors_(other.descriptors_) {}
  step start(std::coroutine_handle<> awaiting, cancel_node& parent);
  std::size_t result();
  failure fail() noexcept { return failure_; }
  void describe_operation(wait_report& to) const override {
    to.operation("send_with_descriptors()");
  }
  bool has_details() const noexcept { return !is_cancelled(failure_); }

 private:
  step attempt() override;
  io_object* const& target_;
  const_buffer data_;
  std::span<const int> descriptors_;
  std::size_t moved_ = 0;
};

/// Receives with descriptors, from any local socket.
class COSOCK_AWAITABLE descriptor_receive_operation final
    : public awaiter_of<descriptor_receive_operation>,
      public io_operation {
 public:
  descriptor_receive_operation(io_object* const& target, mutable_buffer into,
                               std::size_t count) noexcept
      : target_(target),
        into_(into),
        max_count_(count < max_descriptors ? count : max_descriptors) {}
  descriptor_receive_operation(descriptor_receive_operation&& other) noexcept
      : io_operation(), target_(other.target_), into_(other.into_), max_count_(other.max_count_) {}
  step start(std::coroutine_handle<> awaiting, cancel_node& parent);
  receive_descriptors_result result() {
    if (failure_) raise(failure_);
    return std::move(result_);
  }
  failure fail() noexcept { return failure_; }
  void describe_operation(wait_report& to) const override {
    to.operation("receive_with_descriptors()");
  }

 private:
  step attempt() override;
  io_object* const& target_;
  mutable_buffer into_;
  std::size_t max_count_;
  receive_descriptors_result result_;
};

}  // namespace detail
}  // namespace cosock
