// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// The sockets of Asio that correspond to those of cosock, and a view of a socket as Asio's options
// need it. Used by the conversions in asio.hpp. Nothing here owns a descriptor.

#include <cosock/detail/asio_loop_executor.hpp>
#include <cosock/local_datagram.hpp>
#include <cosock/tcp.hpp>
#include <cosock/udp.hpp>

#include <boost/asio/generic/seq_packet_protocol.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ip/udp.hpp>
#include <boost/asio/local/datagram_protocol.hpp>
#include <boost/asio/local/stream_protocol.hpp>

namespace cosock::detail {

/// From a socket of cosock: its class template and protocol in Asio.
template <class Socket>
struct counterpart;

template <template <class, class> class Kind, class Protocol>
struct of_kind {
  using protocol = Protocol;
  template <class Executor>
  using socket = Kind<Protocol, Executor>;
};
template <>
struct counterpart<tcp_socket> : of_kind<asio::basic_stream_socket, asio::ip::tcp> {};
template <>
struct counterpart<tcp_acceptor> : of_kind<asio::basic_socket_acceptor, asio::ip::tcp> {};
template <>
struct counterpart<udp_socket> : of_kind<asio::basic_datagram_socket, asio::ip::udp> {};
template <>
struct counterpart<local_stream_socket>
    : of_kind<asio::basic_stream_socket, asio::local::stream_protocol> {};
template <>
struct counterpart<local_acceptor<local_stream_socket>>
    : of_kind<asio::basic_socket_acceptor, asio::local::stream_protocol> {};
template <>
struct counterpart<local_datagram_socket>
    : of_kind<asio::basic_datagram_socket, asio::local::datagram_protocol> {};
template <>
struct counterpart<local_seqpacket_socket>
    : of_kind<asio::basic_seq_packet_socket, asio::generic::seq_packet_protocol> {};
template <>
struct counterpart<local_acceptor<local_seqpacket_socket>>
    : of_kind<asio::basic_socket_acceptor, asio::generic::seq_packet_protocol> {};

template <class Socket>
concept has_counterpart = requires { typename counterpart<std::remove_cvref_t<Socket>>::protocol; };

/// From a protocol of Asio: the socket and the acceptor of cosock.
template <class Protocol>
struct counterpart_of;
template <>
struct counterpart_of<asio::ip::tcp> {
  using stream = tcp_socket;
  using acceptor = tcp_acceptor;
};
template <>
struct counterpart_of<asio::ip::udp> {
  using datagram = udp_socket;
};
template <>
struct counterpart_of<asio::local::stream_protocol> {
  using stream = local_stream_socket;
  using acceptor = local_acceptor<local_stream_socket>;
};
template <>
struct counterpart_of<asio::local::datagram_protocol> {
  using datagram = local_datagram_socket;
};
template <>
struct counterpart_of<asio::generic::seq_packet_protocol> {
  using stream = local_seqpacket_socket;
  using acceptor = local_acceptor<local_seqpacket_socket>;
};

/// The address family of a socket (SO_DOMAIN). Throws system_error.
COSOCK_API int family_of(int descriptor);

/// Asio's option classes take a protocol, which a descriptor alone does not name: IP has two.
template <class Protocol>
Protocol protocol_of(int descriptor) {
  const int family = family_of(descriptor);
  if constexpr (requires { Protocol::v6(); })
    return family == AF_INET6 ? Protocol::v6() : Protocol::v4();
  else if constexpr (std::default_initializable<Protocol>)
    return Protocol();
  else
    return Protocol(family, 0);
}

COSOCK_API void set_socket_option(int descriptor, int level, int name, const void* data,
                                  std::size_t size);
COSOCK_API std::size_t get_socket_option(int descriptor, int level, int name, void* data,
                                         std::size_t size);

/// The view that native() returns. It does not own the descriptor.
template <class Protocol>
class native_view {
 public:
  explicit native_view(int descriptor)
      : descriptor_(descriptor), protocol_(protocol_of<Protocol>(descriptor)) {}

  [[nodiscard]] int native_handle() const noexcept { return descriptor_; }
  [[nodiscard]] Protocol protocol() const noexcept { return protocol_; }

  /// Like the function of Asio's sockets. Throws system_error.
  template <class Option>
  void set_option(const Option& option) {
    set_socket_option(descriptor_, option.level(protocol_), option.name(protocol_),
                      option.data(protocol_), option.size(protocol_));
  }
  template <class Option>
  void get_option(Option& option) const {
    option.resize(protocol_,
                  get_socket_option(descriptor_, option.level(protocol_), option.name(protocol_),
                                    option.data(protocol_), option.size(protocol_)));
  }

 private:
  int descriptor_;
  Protocol protocol_;
};

}  // namespace cosock::detail
