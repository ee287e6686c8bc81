// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cosock/socket.hpp>
#include <cosock/unique_descriptor.hpp>

#include "core/failure.hpp"
#include "core/standard_numbers.hpp"
#include "io/descriptor_handle.hpp"
#include "net/sockaddr.hpp"

#include <memory>

namespace cosock {
class local_endpoint;
struct tcp_acceptor_options;
struct local_acceptor_options;
}  // namespace cosock

// The common part of the socket classes: options, names, new sockets, adopted descriptors.

namespace cosock::detail {

class local_binding;

template <class T>
void set(const io_object* socket, int level, int name, const T& value) {
  if (system::setsockopt(handle_of(socket), level, name, &value, sizeof value) != 0)
    raise(system_failure(errno));
}

/// Refuses a number that the system would take for a very large one.
inline int not_negative(const char* option, int value) {
  if (value < 0)
    raise(system_failure(EINVAL),
          std::string(option) + ' ' + std::to_string(value) + " is negative");
  return value;
}

template <class T = int>
T get(int fd, int level, int name) {
  T value{};
  socklen_t size = sizeof value;
  if (system::getsockopt(fd, level, name, &value, &size) != 0) raise(system_failure(errno));
  return value;
}

template <class T = int>
T get(const io_object* socket, int level, int name) {
  return get<T>(handle_of(socket), level, name);
}

/// The type that has an endpoint's address as the system has it.
template <class Endpoint>
struct system_name;
template <>
struct system_name<endpoint> {
  using type = system_address;
};

/// The address that getsockname(2) or getpeername(2) returns.
template <class Endpoint>
Endpoint name_of(const io_object* socket, int (*ask)(int, sockaddr*, socklen_t*)) {
  typename system_name<Endpoint>::type name;
  if (ask(handle_of(socket), name.get(), &name.size) != 0) raise(system_failure(errno));
  return name.to_endpoint();
}

/// Throws errno, with the address in front, for a result that is not 0.
inline void check(int result, const endpoint& at) {
  if (result != 0) raise(system_failure(errno), at.to_string());
}

/// A socket for this endpoint, not yet bound to it, with the options that TCP and UDP share.
template <class Options>
unique_descriptor internet_socket(const endpoint& at, int type, const Options& options) {
  const bool v6 = !is_for_v4_socket(at.address());
  auto socket = unique_descriptor::adopt(system::socket(v6 ? AF_INET6 : AF_INET, type));
  check(socket.get() < 0 ? -1 : 0, at);
  const auto set_int = [&](int level, int name, int value) {
    check(system::setsockopt(socket.get(), level, name, &value, sizeof value), at);
  };
  if (options.reuse_address) set_int(SOL_SOCKET, SO_REUSEADDR, 1);
  if (options.reuse_port) set_int(SOL_SOCKET, SO_REUSEPORT, 1);
  if (v6) set_int(IPPROTO_IPV6, IPV6_V6ONLY, options.v6_only);
  if (const int error = use_interface_of(socket.get(), at.address()))
    raise(system_failure(error), at.to_string());
  if (options.receive_buffer)
    set_int(SOL_SOCKET, SO_RCVBUF, not_negative("receive_buffer", *options.receive_buffer));
  if (options.send_buffer)
    set_int(SOL_SOCKET, SO_SNDBUF, not_negative("send_buffer", *options.send_buffer));
  return socket;
}

/// A duplicate of a descriptor, close-on-exec, with the lowest free number from `lowest` on. Throws the
/// system's error.
unique_descriptor duplicate(int fd, int lowest = last_standard_number + 1);

/// Makes a descriptor from outside ready for the loop, if it is a socket of this type (SOCK_STREAM,
/// ...), and of this family (AF_UNIX, ...) unless that is AF_UNSPEC; throws EPROTOTYPE if it is not.
void prepare_adopted(int fd, int type, int family);
/// The same for one that has to listen; throws EINVAL if it does not.
void prepare_adopted_listener(int fd, int type, int family);

/// A new socket that is bound, but does not listen yet. Throws with the address in what().
unique_descriptor bind_tcp(const endpoint& at, const tcp_acceptor_options& options);
/// A new local socket that listens, and what has to be destroyed before it closes, see bind_local().
int listen_local(fd_kind kind, const local_endpoint& at, const local_acceptor_options& options,
                 std::unique_ptr<local_binding>& binding);

}  // namespace cosock::detail

// The definitions of the members of basic_socket and basic_acceptor, for the sources that instantiate
// them.

namespace cosock {

template <class Interface, class Endpoint>
int basic_socket<Interface, Endpoint>::release() noexcept {
  return descriptor_handle<Interface>::release();
}

template <class Interface, class Endpoint>
Endpoint basic_socket<Interface, Endpoint>::local_endpoint() const {
  return detail::name_of<Endpoint>(this->object_, &detail::system::getsockname);
}
template <class Interface, class Endpoint>
Endpoint basic_socket<Interface, Endpoint>::remote_endpoint() const {
  return detail::name_of<Endpoint>(this->object_, &detail::system::getpeername);
}

template <class Interface, class Endpoint>
void basic_socket<Interface, Endpoint>::set_receive_buffer(int bytes) {
  detail::set(this->object_, SOL_SOCKET, SO_RCVBUF, detail::not_negative("receive_buffer", bytes));
}
template <class Interface, class Endpoint>
int basic_socket<Interface, Endpoint>::receive_buffer() const {
  return detail::get(this->object_, SOL_SOCKET, SO_RCVBUF);
}
template <class Interface, class Endpoint>
void basic_socket<Interface, Endpoint>::set_send_buffer(int bytes) {
  detail::set(this->object_, SOL_SOCKET, SO_SNDBUF, detail::not_negative("send_buffer", bytes));
}
template <class Interface, class Endpoint>
int basic_socket<Interface, Endpoint>::send_buffer() const {
  return detail::get(this->object_, SOL_SOCKET, SO_SNDBUF);
}

template <class Endpoint>
Endpoint basic_acceptor<Endpoint>::local_endpoint() const {
  return detail::name_of<Endpoint>(object_, &detail::system::getsockname);
}

template <class Endpoint>
void basic_acceptor<Endpoint>::set_backlog(int connections) {
  if (detail::system::listen(detail::handle_of(object_),
                             detail::not_negative("backlog", connections)) != 0)
    detail::raise(detail::system_failure(errno));
}

}  // namespace cosock
