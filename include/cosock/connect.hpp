// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cosock/connect_options.hpp>
#include <cosock/resolve.hpp>
#include <cosock/tcp.hpp>

#include <exception>

namespace cosock {

namespace detail {
class tcp_connect_operation;
}

/// Connects to an endpoint. Returns a tcp_socket. To an IPv4-mapped address it connects with an IPv4
/// socket, unless options.local is an IPv6 address. Throws system_error with the endpoint in what():
/// connection_refused, and so on; no_such_device for a scope id that names no interface; a socket
/// that would be connected to itself (with the same local and remote endpoint) fails with
/// connection_refused too; `error::address_denied` if the filter of the options does not permit the
/// address. Of the options, `timeout`, `attempt_delay` and `family` do not apply:
/// see with_timeout. On cancellation the socket is closed, even if the connection was established
/// already.
detail::tcp_connect_operation connect(const endpoint& peer, const connect_options& options = {});

/// Looks up a host and connects to it: Happy Eyeballs, RFC 8305. IPv4 and IPv6 addresses are looked
/// up concurrently. The first attempt begins when the IPv6 addresses arrive, but at most 50 ms
/// after the IPv4 addresses. Addresses that arrive later are tried too. If gai.conf(5) prefers
/// IPv4, this rule has IPv4 and IPv6 exchanged. The families alternate, the next address is tried
/// after `attempt_delay` or as soon as one fails, and the first connection wins. Addresses that the
/// filter of the options does not permit are not tried.
///
/// An exception of the hook `configure` ends all attempts, and is thrown unchanged. Otherwise throws
/// system_error with the code of the first failure that is not permanent (is_permanent,
/// error.hpp), or of the first failure if all are, and with every address that was tried and its
/// error in what(); `error::timed_out`, with the same list, for the limit; `error::host_not_found`
/// if the options exclude every address; `error::address_denied`, with the host and its addresses, if
/// the filter of the options permits none of them; the errors of resolve() if the look-up finds none.
/// Cancelled: all sockets are closed.
COSOCK_API task<tcp_socket> connect(std::string host, std::string service,
                                    connect_options options = {});
COSOCK_API task<tcp_socket> connect(std::string host, std::uint16_t port,
                                    connect_options options = {});
/// Connects to one of several endpoints in the same way. They are tried in this order, but
/// alternating between the families, beginning with the family of the first. IPv4-mapped addresses
/// belong to the family IPv4.
COSOCK_API task<tcp_socket> connect(std::vector<endpoint> peers, connect_options options = {});

// Implementation

class COSOCK_AWAITABLE detail::tcp_connect_operation final
    : public awaiter_of<tcp_connect_operation>,
      public io_operation {
 public:
  tcp_connect_operation(const endpoint& peer, const connect_options& options) noexcept
      : peer_(peer), options_(options) {}
  tcp_connect_operation(tcp_connect_operation&& other) noexcept
      : io_operation(), peer_(other.peer_), options_(other.options_) {}
  step start(std::coroutine_handle<> awaiting, cancel_node& parent);
  tcp_socket result();
  failure fail() noexcept { return failure_; }
  void describe_operation(wait_report& to) const override { to.operation("connect()"); }
  bool has_details() const noexcept { return !is_cancelled(failure_); }

 private:
  step attempt() override;
  step give_up(int error) noexcept;
  endpoint peer_;
  connect_options options_;
  std::exception_ptr hook_exception_;
  tcp_socket connected_;
};

inline detail::tcp_connect_operation connect(const endpoint& peer, const connect_options& options) {
  return {peer, options};
}

}  // namespace cosock
