// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cosock/datagram.hpp>
#include <cosock/local.hpp>

#include <optional>

namespace cosock {

namespace detail {
template <>
struct COSOCK_API sockaddr_traits<local_endpoint> {
  static const sockaddr_codec codec;
};
}  // namespace detail

/// How a local datagram socket is opened.
struct local_datagram_socket_options {
  int mode = 0600;  ///< permissions of the file, whatever the umask is; a peer needs write
                    ///< permission to send; outside of 0 to 07777: invalid_argument
  bool replace_stale = true;         ///< replace the file of a socket that does not exist any more
  bool receive_time = false;         ///< packet_info::at
  bool receive_credentials = false;  ///< packet_info::credentials, of each sender
  std::optional<int> receive_buffer = std::nullopt;  ///< bytes; negative: invalid_argument
  std::optional<int> send_buffer = std::nullopt;     ///< bytes; negative: invalid_argument;
                                                     ///< limits the size of a datagram
  /// Called before bind(2); see socket_hook. Ancillary data that it enables is filled into
  /// packet_info.
  socket_hook configure = {};
};

/// A local (Unix domain) datagram socket, connected or not (unix(7)). Its operations are those of
/// datagram_socket, but no datagram is lost or reordered: a send waits while the queue of the
/// receiver is full. local_pair<local_datagram_socket>() returns two that are connected to each other.
///
/// For a peer that the socket is not connected to, the system does not report when its queue has
/// room again. A send then tries again after 0.25 ms, and then after pauses that double up to 20
/// ms.
class COSOCK_API local_datagram_socket final
    : public basic_socket<datagram_socket<local_endpoint>, local_endpoint> {
 public:
  local_datagram_socket() noexcept = default;
  /// Opens and binds a socket on the running loop. For an unnamed endpoint the system picks an
  /// abstract name, so that peers can reply. Its file is removed, and an existing file is replaced, as
  /// by local_acceptor. Throws system_error with the endpoint in what().
  explicit local_datagram_socket(const cosock::local_endpoint& at,
                                 const local_datagram_socket_options& options = {});
  /// Opens and binds a socket on this loop, which need not be running.
  local_datagram_socket(loop& loop, const cosock::local_endpoint& at,
                        const local_datagram_socket_options& options = {});
  local_datagram_socket(local_datagram_socket&&) noexcept = default;
  local_datagram_socket& operator=(local_datagram_socket&&) noexcept = default;
  ~local_datagram_socket() override;

  /// Takes over a local datagram descriptor, for the running loop: makes it non-blocking and
  /// close-on-exec, and owns it, also if this throws. Its file is not
  /// removed.
  [[nodiscard]] static local_datagram_socket adopt(int descriptor);
  /// Sets the default destination, and receives from this peer only. Datagrams of others that are
  /// already in the receive queue are still returned. Throws system_error with the endpoint in what():
  /// connection_refused if no process has the socket open, no_such_file_or_directory,
  /// permission_denied, wrong_protocol_type.
  void connect(const cosock::local_endpoint& peer);
  /// Removes the peer: the socket receives from all again.
  void disconnect();

  /// Sends a datagram with duplicates of the descriptors to the connected peer. Returns its size.
  /// Errors and lifetimes as in local_socket::send_with_descriptors; `data` may be empty.
  detail::descriptor_send_operation send_with_descriptors(const_buffer data,
                                                          std::span<const int> descriptors) {
    return {object_, data, descriptors};
  }
  /// Waits for a datagram, and takes at most `max_count` of the descriptors that were sent with it.
  /// Returns a receive_descriptors_result, as local_socket::receive_with_descriptors does.
  detail::descriptor_receive_operation receive_with_descriptors(mutable_buffer into,
                                                                std::size_t max_count) {
    return {object_, into, max_count};
  }

 private:
  friend struct detail::socket_access;
  using basic_socket::basic_socket;
  static constexpr auto kind = detail::fd_kind::datagrams;
};

extern template class descriptor_handle<datagram_socket<local_endpoint>>;
extern template class basic_socket<datagram_socket<local_endpoint>, local_endpoint>;

}  // namespace cosock
