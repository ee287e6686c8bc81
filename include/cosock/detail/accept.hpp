// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cosock/detail/fd_kind.hpp>
#include <cosock/detail/stream_operation.hpp>

namespace cosock {

class endpoint;

namespace detail {

class descriptor;

/// Waits for a connection on a listening descriptor: what the accept() of every acceptor shares.
class COSOCK_API basic_accept_operation : public io_operation {
 public:
  step start(std::coroutine_handle<> awaiting, cancel_node& parent);
  failure fail() noexcept { return failure_; }

 protected:
  basic_accept_operation(descriptor* const& target, fd_kind kind, endpoint* peer = nullptr) noexcept
      : target_(target), peer_(peer), kind_(kind) {}
  basic_accept_operation(basic_accept_operation&& other) noexcept
      : io_operation(), target_(other.target_), peer_(other.peer_), kind_(other.kind_) {}
  ~basic_accept_operation() {
    if (accepted_) [[unlikely]]
      discard();
  }
  /// The connection, or throws.
  descriptor* take() {
    if (failure_) raise(failure_);
    return std::exchange(accepted_, nullptr);
  }

 private:
  step attempt() override;
  void discard() noexcept;
  descriptor* const& target_;
  endpoint* peer_;
  descriptor* accepted_ = nullptr;
  fd_kind kind_;
};

}  // namespace detail
}  // namespace cosock
