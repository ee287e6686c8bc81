// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// The operations of local sockets, and how they construct a socket of each type. The code is in
// lib/net/local.cpp. An operation owns a connected descriptor until the task takes it.

#include <cosock/detail/accept.hpp>
#include <cosock/detail/timer.hpp>
#include <cosock/local_endpoint.hpp>
#include <cosock/receive_result.hpp>

#include <exception>
#include <utility>

namespace cosock::detail {

/// The two sockets of a new pair, on the running loop.
struct object_pair {
  io_object* first;
  io_object* second;
};
COSOCK_API object_pair make_local_pair(fd_kind kind);

/// Tries to connect until there is room in the backlog: the system has no way to wait for that.
class COSOCK_API basic_local_connect_operation : public awaited_operation, public timer {
 public:
  step start(std::coroutine_handle<> awaiting, cancel_node& parent);
  failure fail() noexcept { return failure_; }
  void describe_operation(wait_report& to) const override {
    to.operation("connect() to a local socket");
  }
  bool has_details() const noexcept { return !is_cancelled(failure_); }
  void fire() override;
  void cancel() noexcept override;
  void expire() noexcept override;

 protected:
  basic_local_connect_operation(const local_endpoint& peer, fd_kind kind,
                                const socket_hook& configure) noexcept
      : peer_(peer), configure_(configure), kind_(kind) {}
  basic_local_connect_operation(basic_local_connect_operation&& other) noexcept
      : awaited_operation(),
        timer(),
        peer_(other.peer_),
        configure_(other.configure_),
        kind_(other.kind_) {}
  ~basic_local_connect_operation();
  /// The connection, or throws.
  io_object* take();

 private:
  void open_socket() noexcept;
  step attempt() noexcept;
  void pause() noexcept;
  void close_socket() noexcept;

  local_endpoint peer_;
  socket_hook configure_;
  std::exception_ptr hook_exception_;
  fd_kind kind_;
  bool ended_ = false;
  int socket_ = -1;
  std::int64_t delay_ = 1'000'000;
  io_object* connected_ = nullptr;
};

template <class Socket>
class COSOCK_AWAITABLE local_connect_operation final
    : public awaiter_of<local_connect_operation<Socket>>,
      public basic_local_connect_operation {
 public:
  local_connect_operation(const local_endpoint& peer, const socket_hook& configure) noexcept
      : basic_local_connect_operation(peer, socket_access::kind<Socket>(), configure) {}
  local_connect_operation(local_connect_operation&&) noexcept = default;
  Socket result() { return socket_access::make<Socket>(take()); }
};

/// Receives one message.
class COSOCK_AWAITABLE message_receive_operation final
    : public awaiter_of<message_receive_operation>,
      public io_operation {
 public:
  message_receive_operation(io_object* const& target, mutable_buffer into) noexcept
      : target_(target), into_(into) {}
  message_receive_operation(message_receive_operation&& other) noexcept
      : io_operation(), target_(other.target_), into_(other.into_) {}
  step start(std::coroutine_handle<> awaiting, cancel_node& parent);
  receive_result result() {
    if (failure_) raise(failure_);
    return result_;
  }
  failure fail() noexcept { return failure_; }
  void describe_operation(wait_report& to) const override { to.operation("receive_message()"); }

 private:
  step attempt() override;
  io_object* const& target_;
  mutable_buffer into_;
  receive_result result_;
};

}  // namespace cosock::detail
