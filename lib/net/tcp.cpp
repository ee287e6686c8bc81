// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
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
using detail::name_of;
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

tcp_socket::tcp_socket(descriptor* impl) noexcept : byte_stream(impl) {}
descriptor* tcp_socket::impl() const noexcept { return detail::impl_of(object_); }

tcp_socket& tcp_socket::operator=(tcp_socket&& other) noexcept {
  if (this != &other) {
    if (object_) impl()->leave();
    object_ = std::exchange(other.object_, nullptr);
  }
  return *this;
}

tcp_socket::~tcp_socket() {
  if (object_) impl()->leave();
}

tcp_socket tcp_socket::adopt(int fd) {
  auto taken = unique_descriptor::adopt(fd);
  scheduler& loop = scheduler::required();
  detail::prepare_adopted(fd, SOCK_STREAM, AF_UNSPEC);
  return tcp_socket(detail::tcp_descriptor::open(loop, taken.release(), true));
}

int tcp_socket::release() noexcept {
  descriptor* const open = impl();
  object_ = nullptr;
  return open ? open->release() : -1;
}

void tcp_socket::close() noexcept {
  descriptor* const open = impl();
  object_ = nullptr;
  if (open) open->close();
}

void tcp_socket::abort() noexcept {
  if (is_open()) {
    const ::linger at_once = {1, 0};
    ::setsockopt(impl()->fd(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
  }
  close();
}

void tcp_socket::shutdown_send() { detail::shut_down_sending(impl()); }

int tcp_socket::native_handle() const noexcept { return is_open() ? impl()->exposed_fd() : -1; }

endpoint tcp_socket::local_endpoint() const { return name_of(impl(), &::getsockname); }
endpoint tcp_socket::remote_endpoint() const {
  detail::handle_of(impl());
  std::optional<endpoint>& peer = static_cast<detail::tcp_descriptor*>(impl())->peer;
  if (!peer) peer = name_of(impl(), &::getpeername);
  return *peer;
}

void tcp_socket::set_no_delay(bool enabled) { set<int>(impl(), IPPROTO_TCP, TCP_NODELAY, enabled); }
bool tcp_socket::no_delay() const { return get(impl(), IPPROTO_TCP, TCP_NODELAY) != 0; }

void tcp_socket::set_keep_alive(const keep_alive& how) {
  const auto set_number = [fd = handle_of(impl())](int name, int value, const char* option) {
    if (value != 0 && ::setsockopt(fd, IPPROTO_TCP, name, &value, sizeof value) != 0)
      detail::raise(system_failure(errno),
                    "keep_alive::" + std::string(option) + ' ' + std::to_string(value));
  };
  set_number(TCP_KEEPIDLE, how.idle_seconds, "idle_seconds");
  set_number(TCP_KEEPINTVL, how.interval_seconds, "interval_seconds");
  set_number(TCP_KEEPCNT, how.count, "count");
  set<int>(impl(), SOL_SOCKET, SO_KEEPALIVE, how.enabled);
}
keep_alive tcp_socket::get_keep_alive() const {
  return {get(impl(), SOL_SOCKET, SO_KEEPALIVE) != 0, get(impl(), IPPROTO_TCP, TCP_KEEPIDLE),
          get(impl(), IPPROTO_TCP, TCP_KEEPINTVL), get(impl(), IPPROTO_TCP, TCP_KEEPCNT)};
}

void tcp_socket::set_receive_buffer(int bytes) { detail::set_buffer(impl(), SO_RCVBUF, bytes); }
int tcp_socket::receive_buffer() const { return get(impl(), SOL_SOCKET, SO_RCVBUF); }
void tcp_socket::set_send_buffer(int bytes) { detail::set_buffer(impl(), SO_SNDBUF, bytes); }
int tcp_socket::send_buffer() const { return get(impl(), SOL_SOCKET, SO_SNDBUF); }

void tcp_socket::set_linger(int seconds) {
  set(impl(), SOL_SOCKET, SO_LINGER, ::linger{seconds >= 0, seconds >= 0 ? seconds : 0});
}
int tcp_socket::linger() const {
  const auto how = get<::linger>(impl(), SOL_SOCKET, SO_LINGER);
  return how.l_onoff ? how.l_linger : -1;
}

void tcp_socket::set_user_timeout(int milliseconds) {
  set(impl(), IPPROTO_TCP, TCP_USER_TIMEOUT, milliseconds);
}
int tcp_socket::user_timeout() const { return get(impl(), IPPROTO_TCP, TCP_USER_TIMEOUT); }

tcp_acceptor::tcp_acceptor(const endpoint& at, const acceptor_options& options)
    : listener_(listen(scheduler::required(), at, options)) {}

tcp_acceptor::tcp_acceptor(loop& loop, const endpoint& at, const acceptor_options& options)
    : listener_(listen(detail::engine::get(loop), at, options)) {}

tcp_acceptor& tcp_acceptor::operator=(tcp_acceptor&& other) noexcept {
  if (this != &other) {
    close();
    listener_ = std::exchange(other.listener_, nullptr);
  }
  return *this;
}

tcp_acceptor::~tcp_acceptor() { close(); }

void tcp_acceptor::close() noexcept {
  if (listener_) std::exchange(listener_, nullptr)->close();
}

tcp_acceptor tcp_acceptor::adopt(int fd) {
  auto taken = unique_descriptor::adopt(fd);
  scheduler& loop = scheduler::required();
  detail::prepare_adopted_listener(fd, SOCK_STREAM, AF_UNSPEC);
  return tcp_acceptor(descriptor::open(loop, taken.release(), fd_kind::socket, true));
}

int tcp_acceptor::release() noexcept {
  return listener_ ? std::exchange(listener_, nullptr)->release() : -1;
}

void tcp_acceptor::set_backlog(int connections) { detail::set_backlog(listener_, connections); }

endpoint tcp_acceptor::local_endpoint() const { return name_of(listener_, &::getsockname); }
int tcp_acceptor::native_handle() const noexcept { return listener_ ? listener_->fd() : -1; }

namespace detail {

void ask_local(const kept_io_object& connection, endpoint& into) {
  into = name_of(dynamic_cast<const descriptor*>(connection.current()), &::getsockname);
}

tcp_accept_operation::tcp_accept_operation(descriptor* const& target, endpoint* peer) noexcept
    : basic_accept_operation(target, fd_kind::tcp, peer) {}

}  // namespace detail
}  // namespace cosock
