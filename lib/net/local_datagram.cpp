// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// local_datagram_socket: options and ownership. Its operations are in datagram_descriptor.cpp, its
// file in local_binding.cpp.

#include <cosock/local_datagram.hpp>

#include "loop/engine.hpp"
#include "net/datagram_descriptor.hpp"
#include "net/local_binding.hpp"
#include "net/socket.hpp"

#include <cosock/loop.hpp>

#include <cstring>

namespace cosock {

using detail::datagram_descriptor;
using detail::local_address;
using detail::scheduler;
using detail::system_failure;

namespace {

unsigned encode(const void* from, void* into, bool) noexcept {
  const local_address name(*static_cast<const local_endpoint*>(from));
  std::memcpy(into, &name.storage, name.size);
  return name.size;
}

void decode(const void* from, unsigned size, void* into) noexcept {
  local_address name;
  name.size = std::min<socklen_t>(size, sizeof name.storage);
  std::memcpy(&name.storage, from, name.size);
  *static_cast<local_endpoint*>(into) = name.to_endpoint();
}

datagram_descriptor* open(scheduler& loop, const local_endpoint& at,
                          const local_datagram_socket_options& options) {
  auto socket = unique_descriptor::adopt(detail::system::socket(AF_UNIX, SOCK_DGRAM));
  const auto check = [&](bool good) {
    if (!good) detail::raise(system_failure(errno), at.to_string());
  };
  const auto set_int = [&](int name, int value) {
    check(detail::system::setsockopt(socket.get(), SOL_SOCKET, name, &value, sizeof value) == 0);
  };
  check(socket.get() >= 0);
  if (options.receive_time) set_int(SO_TIMESTAMPNS, 1);
  if (options.receive_credentials) set_int(SO_PASSCRED, 1);
  if (options.receive_buffer)
    set_int(SO_RCVBUF, detail::not_negative("receive_buffer", *options.receive_buffer));
  if (options.send_buffer)
    set_int(SO_SNDBUF, detail::not_negative("send_buffer", *options.send_buffer));
  options.configure(socket.get());
  auto binding = detail::bind_local(socket.get(), at, options.mode, options.replace_stale);
  datagram_descriptor* const d = datagram_descriptor::open(loop, socket.release(), AF_UNIX, false);
  d->attach(std::move(binding));
  d->wants_control = options.receive_time || options.receive_credentials || options.configure;
  return d;
}

}  // namespace

const detail::sockaddr_codec detail::sockaddr_traits<local_endpoint>::codec = {&encode, &decode};

template class descriptor_handle<datagram_socket<local_endpoint>>;
template class basic_socket<datagram_socket<local_endpoint>, local_endpoint>;

local_datagram_socket::local_datagram_socket(const cosock::local_endpoint& at,
                                             const local_datagram_socket_options& options)
    : basic_socket(open(scheduler::required(), at, options)) {}
local_datagram_socket::local_datagram_socket(loop& loop, const cosock::local_endpoint& at,
                                             const local_datagram_socket_options& options)
    : basic_socket(open(detail::engine::get(loop), at, options)) {}

local_datagram_socket::~local_datagram_socket() = default;

local_datagram_socket local_datagram_socket::adopt(int fd) {
  auto taken = unique_descriptor::adopt(fd);
  scheduler& loop = scheduler::required();
  detail::prepare_adopted(fd, SOCK_DGRAM, AF_UNIX);
  datagram_descriptor* const d = datagram_descriptor::open(loop, taken.release(), AF_UNIX, true);
  d->wants_control = true;
  return local_datagram_socket(d);
}

void local_datagram_socket::connect(const cosock::local_endpoint& peer) {
  const int fd = detail::handle_of(object_);
  local_address name(peer);
  if (detail::system::connect(fd, name.get(), name.size) != 0)
    detail::raise(system_failure(errno), peer.to_string());
}

void local_datagram_socket::disconnect() {
  sockaddr none = {};
  none.sa_family = AF_UNSPEC;
  if (detail::system::connect(detail::handle_of(object_), &none, sizeof none) != 0)
    detail::raise(system_failure(errno));
}

}  // namespace cosock
