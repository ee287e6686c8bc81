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
#include <cosock/tcp_options.hpp>

#include <netinet/in.h>
#include <netinet/tcp.h>

#include <algorithm>
#include <climits>

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

/// The time in units of `Unit`, rounded up, as the system's options take it.
template <class Unit>
std::optional<int> whole(std::optional<time_span> span) {
  if (!span) return std::nullopt;
  const auto units = std::chrono::ceil<Unit>(std::chrono::nanoseconds(*span)).count();
  return static_cast<int>(std::clamp<std::int64_t>(units, INT_MIN, INT_MAX));
}

descriptor* listen(scheduler& loop, const endpoint& at, const tcp_acceptor_options& options) {
  unique_descriptor socket = detail::bind_tcp(at, options);
  check(detail::system::listen(socket.get(), detail::not_negative("backlog", options.backlog)), at);
  return descriptor::open(loop, socket.release(), fd_kind::socket, false);
}

}  // namespace

unique_descriptor detail::bind_tcp(const endpoint& at, const tcp_acceptor_options& options) {
  unique_descriptor socket = detail::internet_socket(at, SOCK_STREAM, options);
  if (options.fast_open)
    check(detail::system::setsockopt(socket.get(), IPPROTO_TCP, TCP_FASTOPEN, &options.fast_open,
                                     sizeof options.fast_open),
          at);
  options.configure(socket.get());
  detail::system_address name(at);
  check(detail::system::bind(socket.get(), name.get(), name.size), at);
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
    detail::system::setsockopt(handle_of(object_), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
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

void tcp_socket::set_keep_alive(const keep_alive_options& probes) {
  const auto set_number = [fd = handle_of(object_)](int name, std::optional<int> value,
                                                    const char* option, const char* range) {
    if (!value) return;
    if (*value < 1) errno = EINVAL;  // the system has no other meaning for it
    if (*value < 1 ||
        detail::system::setsockopt(fd, IPPROTO_TCP, name, &*value, sizeof *value) != 0)
      detail::raise(system_failure(errno), "keep_alive_options::" + std::string(option) + ' ' +
                                               std::to_string(*value) + range);
  };
  set_number(TCP_KEEPIDLE, whole<std::chrono::seconds>(probes.idle), "idle",
             " s is not from 1 to 32767 s");
  set_number(TCP_KEEPINTVL, whole<std::chrono::seconds>(probes.interval), "interval",
             " s is not from 1 to 32767 s");
  set_number(TCP_KEEPCNT, probes.count, "count", " is not from 1 to 127");
  set<int>(object_, SOL_SOCKET, SO_KEEPALIVE, probes.enabled);
}
keep_alive_options tcp_socket::keep_alive() const {
  return {get(object_, SOL_SOCKET, SO_KEEPALIVE) != 0,
          std::chrono::seconds(get(object_, IPPROTO_TCP, TCP_KEEPIDLE)),
          std::chrono::seconds(get(object_, IPPROTO_TCP, TCP_KEEPINTVL)),
          get(object_, IPPROTO_TCP, TCP_KEEPCNT)};
}

void tcp_socket::set_linger(std::optional<time_span> limit) {
  const std::optional<int> seconds = whole<std::chrono::seconds>(limit);
  set(object_, SOL_SOCKET, SO_LINGER,
      ::linger{seconds.has_value(), detail::not_negative("linger", seconds.value_or(0))});
}
std::optional<time_span> tcp_socket::linger() const {
  const auto how = get<::linger>(object_, SOL_SOCKET, SO_LINGER);
  if (!how.l_onoff) return std::nullopt;
  return std::chrono::seconds(how.l_linger);
}

void tcp_socket::set_user_timeout(std::optional<time_span> limit) {
  const std::optional<int> milliseconds = whole<std::chrono::milliseconds>(limit);
  if (milliseconds && *milliseconds < 1)
    detail::raise(system_failure(EINVAL),
                  "user_timeout " + std::to_string(*milliseconds) + " ms is not positive");
  set(object_, IPPROTO_TCP, TCP_USER_TIMEOUT, milliseconds.value_or(0));
}
std::optional<time_span> tcp_socket::user_timeout() const {
  const int milliseconds = get(object_, IPPROTO_TCP, TCP_USER_TIMEOUT);
  if (milliseconds == 0) return std::nullopt;
  return std::chrono::milliseconds(milliseconds);
}

tcp_acceptor::tcp_acceptor(const endpoint& at, const tcp_acceptor_options& options)
    : basic_acceptor(listen(scheduler::required(), at, options)) {}

tcp_acceptor::tcp_acceptor(loop& loop, const endpoint& at, const tcp_acceptor_options& options)
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
                                   &detail::system::getsockname);
}

}  // namespace detail
}  // namespace cosock
