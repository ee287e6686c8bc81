// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// tcp_socket and tcp_acceptor: options and ownership. The bytes move in io/descriptor.cpp,
// connecting is in connect.cpp, accepting in accept.cpp. A socket owns its descriptor, and its loop
// only refers to it.

#include <cosock/tcp.hpp>

#include "loop/engine.hpp"
#include "net/socket.hpp"
#include "net/tcp_descriptor.hpp"

#include <cosock/connection.hpp>
#include <cosock/loop.hpp>

#include <netinet/in.h>
#include <netinet/tcp.h>

namespace cosock {

using detail::check;
using detail::descriptor;
using detail::fd_kind;
using detail::get;
using detail::handle_of;
using detail::scheduler;
using detail::set;
using detail::system_failure;

namespace {

descriptor* listen(scheduler& loop, const endpoint& at, const acceptor_options& options) {
  unique_descriptor socket = detail::bind_tcp(at, options);
  check(::listen(socket.get(), detail::not_negative("backlog", options.backlog)), at);
  return descriptor::open(loop, socket.release(), fd_kind::socket, false);
}

}  // namespace

unique_descriptor detail::bind_tcp(const endpoint& at, const acceptor_options& options) {
  unique_descriptor socket = detail::internet_socket(at, SOCK_STREAM, options);
  if (options.fast_open)
    check(::setsockopt(socket.get(), IPPROTO_TCP, TCP_FASTOPEN, &options.fast_open,
                       sizeof options.fast_open),
          at);
  detail::system_address name(at);
  check(::bind(socket.get(), name.get(), name.size), at);
  return socket;
}

template class basic_socket<byte_stream, endpoint>;
template class descriptor_handle<acceptor_interface>;
template class basic_acceptor<endpoint>;

acceptor_interface::~acceptor_interface() = default;
tcp_acceptor::~tcp_acceptor() = default;
tcp_socket::~tcp_socket() = default;

tcp_socket tcp_socket::adopt(int fd) {
  auto taken = unique_descriptor::adopt(fd);
  scheduler& loop = scheduler::required();
  detail::prepare_adopted(fd, SOCK_STREAM, AF_UNSPEC);
  return tcp_socket(detail::tcp_descriptor::open(loop, taken.release(), true));
}

void tcp_socket::abort() noexcept {
  if (is_open()) {
    const ::linger at_once = {1, 0};
    ::setsockopt(handle_of(object_), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
  }
  close();
}

void tcp_socket::shutdown_send() { detail::shut_down_sending(object_); }

endpoint tcp_socket::remote_endpoint() const {
  handle_of(object_);
  std::optional<endpoint>& peer = static_cast<detail::tcp_descriptor*>(object_)->peer;
  if (!peer) peer = basic_socket::remote_endpoint();
  return *peer;
}

void tcp_socket::set_no_delay(bool enabled) {
  set<int>(object_, IPPROTO_TCP, TCP_NODELAY, enabled);
}
bool tcp_socket::no_delay() const { return get(object_, IPPROTO_TCP, TCP_NODELAY) != 0; }

void tcp_socket::set_keep_alive(const keep_alive& how) {
  const auto set_number = [fd = handle_of(object_)](int name, int value, const char* option) {
    if (value != 0 && ::setsockopt(fd, IPPROTO_TCP, name, &value, sizeof value) != 0)
      detail::raise(system_failure(errno),
                    "keep_alive::" + std::string(option) + ' ' + std::to_string(value));
  };
  set_number(TCP_KEEPIDLE, how.idle_seconds, "idle_seconds");
  set_number(TCP_KEEPINTVL, how.interval_seconds, "interval_seconds");
  set_number(TCP_KEEPCNT, how.count, "count");
  set<int>(object_, SOL_SOCKET, SO_KEEPALIVE, how.enabled);
}
keep_alive tcp_socket::get_keep_alive() const {
  return {get(object_, SOL_SOCKET, SO_KEEPALIVE) != 0, get(object_, IPPROTO_TCP, TCP_KEEPIDLE),
          get(object_, IPPROTO_TCP, TCP_KEEPINTVL), get(object_, IPPROTO_TCP, TCP_KEEPCNT)};
}

void tcp_socket::set_linger(int seconds) {
  set(object_, SOL_SOCKET, SO_LINGER, ::linger{seconds >= 0, seconds >= 0 ? seconds : 0});
}
int tcp_socket::linger() const {
  const auto how = get<::linger>(object_, SOL_SOCKET, SO_LINGER);
  return how.l_onoff ? how.l_linger : -1;
}

void tcp_socket::set_user_timeout(int milliseconds) {
  set(object_, IPPROTO_TCP, TCP_USER_TIMEOUT, milliseconds);
}
int tcp_socket::user_timeout() const { return get(object_, IPPROTO_TCP, TCP_USER_TIMEOUT); }

tcp_acceptor::tcp_acceptor(const endpoint& at, const acceptor_options& options)
    : basic_acceptor(listen(scheduler::required(), at, options)) {}

tcp_acceptor::tcp_acceptor(loop& loop, const endpoint& at, const acceptor_options& options)
    : basic_acceptor(listen(detail::engine::get(loop), at, options)) {}

tcp_acceptor tcp_acceptor::adopt(int fd) {
  auto taken = unique_descriptor::adopt(fd);
  scheduler& loop = scheduler::required();
  detail::prepare_adopted_listener(fd, SOCK_STREAM, AF_UNSPEC);
  return tcp_acceptor(descriptor::open(loop, taken.release(), fd_kind::socket, true));
}

namespace detail {

void ask_local(const kept_io_object& connection, endpoint& into) {
  into = detail::name_of<endpoint>(dynamic_cast<const descriptor*>(connection.current()),
                                   &::getsockname);
}

}  // namespace detail
}  // namespace cosock
