// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// The operation behind accept(), without the type of the socket. The code is in lib/net/accept.cpp.
// It owns an accepted connection until the task takes it.

#include <cosock/detail/fd_kind.hpp>
#include <cosock/detail/stream_operation.hpp>
#include <cosock/socket.hpp>

#include <optional>

namespace cosock {

class endpoint;

namespace detail {

struct new_connection;

/// Waits for a connection on a listening descriptor: what the accept() of every acceptor shares.
class COSOCK_API basic_accept_operation : public io_operation {
 public:
  step start(std::coroutine_handle<> awaiting, cancel_node& parent);
  failure fail() noexcept { return failure_; }
  void describe_operation(wait_report& to) const override { to.operation("accept()"); }
  /// Accepts without waiting. False if there is no connection; throws the errors of accept().
  bool accept_now();
  /// Accepts what other loops have passed, and only that; see tcp_acceptor::accept_rest().
  bool accept_rest();

 protected:
  basic_accept_operation(io_object* const& target, fd_kind kind, endpoint* peer = nullptr) noexcept
      : target_(target), peer_(peer), kind_(kind) {}
  basic_accept_operation(basic_accept_operation&& other) noexcept
      : io_operation(), target_(other.target_), peer_(other.peer_), kind_(other.kind_) {}
  ~basic_accept_operation() {
    if (accepted_) [[unlikely]]
      discard();
  }
  /// The connection, or throws.
  io_object* take() {
    if (failure_) raise(failure_);
    return std::exchange(accepted_, nullptr);
  }

 private:
  step attempt() override;
  void discard() noexcept;
  step open(new_connection&) noexcept;
  void require_no_other() const;
  io_object* const& target_;
  endpoint* peer_;
  io_object* accepted_ = nullptr;
  fd_kind kind_;
};

template <class Socket>
class COSOCK_AWAITABLE accept_operation final : public awaiter_of<accept_operation<Socket>>,
                                                public basic_accept_operation {
 public:
  explicit accept_operation(io_object* const& target, endpoint* peer = nullptr) noexcept
      : basic_accept_operation(target, socket_access::kind<Socket>(), peer) {}
  accept_operation(accept_operation&&) noexcept = default;
  Socket result() { return socket_access::make<Socket>(take()); }
};

/// The result of accept_now().
template <class Socket>
std::optional<Socket> try_accept(io_object* const& target) {
  accept_operation<Socket> op(target);
  if (!op.accept_now()) return std::nullopt;
  return op.result();
}

}  // namespace detail
}  // namespace cosock
