// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cosock/datagram.hpp>
#include <cosock/local.hpp>

namespace cosock {

class local_datagram_socket;
/// Memory for what such a socket receives, and what it is to send.
using local_datagram_batch = basic_datagram_batch<local_endpoint>;
using outgoing_local_datagram = basic_outgoing<local_endpoint>;

namespace detail {
template <>
struct COSOCK_API sockaddr_traits<local_endpoint> {
  static const sockaddr_codec codec;
};
COSOCK_API std::pair<local_datagram_socket, local_datagram_socket> make_local_datagram_pair();
}  // namespace detail

/// How a local datagram socket is opened.
struct local_datagram_options {
  int mode = 0600;            ///< of the file, exactly: who may write to it may send; other than
                              ///< 0 to 07777: invalid_argument
  bool replace_stale = true;  ///< replace the file of a socket that is no more
  bool receive_time = false;  ///< packet_info::at
  int receive_buffer = 0;     ///< bytes; 0: the system's; negative: invalid_argument
  int send_buffer = 0;        ///< bytes; 0: the system's. It bounds the size of a datagram
};

/// A local (Unix domain) datagram socket, connected or not (unix(7)); closed when destroyed. Sends and
/// receives as every datagram_socket does, but nothing is lost or reordered: a send waits while the
/// receiver's queue is full. May be moved while operations are pending on it. The descriptor is
/// close-on-exec.
///
/// For a peer that is not connected the system does not tell when its queue has room again; a send
/// then tries again, after 0.25 ms at first and 20 ms at last.
class COSOCK_API local_datagram_socket final : public basic_datagram_socket<cosock::local_endpoint> {
 public:
  local_datagram_socket() noexcept = default;
  /// Opens and binds a socket on the running loop. Unnamed lets the system pick an abstract name, so
  /// that peers can answer. Its file is removed when it closes, as that of a local_acceptor, and one
  /// in the way is treated in the same way. Throws system_error with the endpoint in what().
  explicit local_datagram_socket(const cosock::local_endpoint& at,
                                 const local_datagram_options& options = {});
  /// The same on a loop that need not run yet.
  local_datagram_socket(loop& loop, const cosock::local_endpoint& at,
                        const local_datagram_options& options = {});
  local_datagram_socket(local_datagram_socket&& other) noexcept
      : basic_datagram_socket(std::exchange(other.object_, nullptr)) {}
  local_datagram_socket& operator=(local_datagram_socket&& other) noexcept;
  ~local_datagram_socket() override;

  /// Takes over a local datagram descriptor: makes it non-blocking and close-on-exec, and closes it in
  /// the end, also if this throws. It belongs to the running loop; its file is left alone.
  [[nodiscard]] static local_datagram_socket adopt(int descriptor);
  /// Gives up the descriptor, open and non-blocking, to the caller, who removes its file. Pending
  /// operations end with `error::closed`. Gives -1 if it was closed before.
  [[nodiscard]] int release() noexcept;

  void close() noexcept override;

  /// Sends to this peer from now on where none is given, and receives from no other, but
  /// for what has come before. Throws
  /// system_error with the endpoint: connection_refused where nobody is, no_such_file_or_directory,
  /// permission_denied, wrong_protocol_type.
  void connect(const cosock::local_endpoint& peer);
  /// Takes that back: any peer again.
  void disconnect();

  /// What it is bound to, with the abstract name that the system has picked.
  [[nodiscard]] cosock::local_endpoint local_endpoint() const;
  /// The peer it is connected to; not_connected if it is not.
  [[nodiscard]] cosock::local_endpoint remote_endpoint() const;

  /// Sends a datagram with duplicates of descriptors to the connected peer, and gives its size. Errors
  /// and lifetimes are those of local_socket::send_with_descriptors; `data` may be empty.
  detail::descriptor_send_operation send_with_descriptors(const_buffer data,
                                                std::span<const int> descriptors) {
    return {object_, data, descriptors};
  }
  /// Waits for a datagram, and takes the descriptors that were sent with it, `most` of them at the
  /// most; as local_socket::receive_with_descriptors.
  detail::descriptor_receive_operation receive_with_descriptors(mutable_buffer into,
                                                                std::size_t most) {
    return {object_, into, most};
  }

  /// Bytes. The kernel doubles the value, up to a limit of its own, and returns the doubled one.
  /// Negative: invalid_argument.
  void set_receive_buffer(int bytes);
  [[nodiscard]] int receive_buffer() const;
  void set_send_buffer(int bytes);
  [[nodiscard]] int send_buffer() const;

  /// The descriptor, for options this class does not have, or -1. It stays the socket's own.
  [[nodiscard]] int native_handle() const noexcept;

 private:
  friend std::pair<local_datagram_socket, local_datagram_socket>
  detail::make_local_datagram_pair();
  explicit local_datagram_socket(detail::descriptor* of) noexcept;
  detail::descriptor* of() const noexcept;
};

/// local_pair<local_datagram_socket>() gives two that are connected to each other.
template <>
[[nodiscard]] inline std::pair<local_datagram_socket, local_datagram_socket>
local_pair<local_datagram_socket>() {
  return detail::make_local_datagram_pair();
}

}  // namespace cosock
