// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cosock/datagram.hpp>
#include <cosock/task.hpp>

#include <string>
#include <string_view>

namespace cosock {

class loop;
namespace detail {
class descriptor;
}

/// How a UDP socket is opened. What packet_info tells is asked for here.
struct udp_options {
  bool reuse_address = false;    ///< bind although another socket that allows it too is bound there;
                                 ///< for receivers of the same multicast group (SO_REUSEADDR)
  bool reuse_port = false;       ///< share the port: each peer gets one of the sockets (SO_REUSEPORT)
  bool v6_only = false;          ///< an IPv6 socket takes no IPv4 datagrams
  bool broadcast = false;        ///< may send to broadcast addresses
  bool receive_address = false;  ///< packet_info::local and interface_index
  bool receive_traffic_class = false;  ///< packet_info::traffic_class
  bool receive_hops = false;     ///< packet_info::hops
  bool receive_time = false;     ///< packet_info::at
  bool receive_dropped = false;  ///< packet_info::dropped
  bool receive_offload = false;  ///< let the system join datagrams on their way in (UDP_GRO)
  bool send_offload = true;      ///< let the system split what send_batch has joined (UDP_SEGMENT)
  int receive_buffer = 0;        ///< bytes; 0: the system's; negative: invalid_argument
  int send_buffer = 0;           ///< bytes; 0: the system's
};

/// A network interface of this machine, for multicast. A value; the default leaves it to the system.
class COSOCK_API network_interface {
 public:
  constexpr network_interface() noexcept = default;
  /// Throws system_error with the name, no_such_device, if there is none.
  [[nodiscard]] static network_interface by_name(std::string_view name);
  /// The one with this number, if there is one; 0 leaves it to the system.
  [[nodiscard]] static constexpr network_interface by_index(unsigned index) noexcept {
    return network_interface(index);
  }
  /// The one that has this address. Throws system_error with it, address_not_available, if none has.
  [[nodiscard]] static network_interface by_address(const address& own);

  /// 0: left to the system.
  [[nodiscard]] constexpr unsigned interface_index() const noexcept { return index_; }

 private:
  constexpr explicit network_interface(unsigned index) noexcept : index_(index) {}
  unsigned index_ = 0;
};

/// A UDP socket, connected or not (RFC 768, udp(7)); closed when destroyed. One made by default is
/// closed. Sends and receives as every datagram_socket does. May be moved while operations are
/// pending on it. The descriptor is close-on-exec. Setters throw system_error with the system's
/// code, or `error::closed`.
///
/// An IPv6 socket takes IPv4 too unless told otherwise: an IPv4 peer shows as an IPv4-mapped address,
/// and may be given as either.
///
/// The scope id of an IPv6 address is an interface (RFC 4007), whatever kind of address it is. A
/// socket that is bound or connected to such an address sends and receives over this interface only;
/// a datagram that is sent to one leaves over it. Errors: no_such_device, with the address in what(),
/// where there is no such interface; invalid_argument where the socket uses another one already.
class COSOCK_API udp_socket final : public datagram_socket {
 public:
  udp_socket() noexcept = default;
  /// Opens and binds a socket on the running loop; port 0 lets the system pick one. Throws
  /// system_error with the address in what().
  explicit udp_socket(const endpoint& at, const udp_options& options = {});
  /// The same on a loop that need not run yet.
  udp_socket(loop& loop, const endpoint& at, const udp_options& options = {});
  udp_socket(udp_socket&& other) noexcept : datagram_socket(other.object_) {
    other.object_ = nullptr;
  }
  udp_socket& operator=(udp_socket&& other) noexcept;
  ~udp_socket() override;

  /// A socket with a port that the system picks, connected to a peer, on the running loop.
  [[nodiscard]] static udp_socket connected_to(const endpoint& peer,
                                               const udp_options& options = {});

  /// Takes over a UDP descriptor: makes it non-blocking and close-on-exec, and closes it in the end,
  /// also if this throws. It belongs to the running loop. What was asked for on it with
  /// setsockopt(2) is filled into packet_info.
  [[nodiscard]] static udp_socket adopt(int descriptor);
  /// Gives up the descriptor, open and non-blocking, to the caller. Pending operations end with
  /// `error::closed`. With receive_offload, datagrams that came joined with the last one are lost.
  /// What was joined stays joined.
  /// Gives -1 if it was closed before.
  [[nodiscard]] int release() noexcept;

  void close() noexcept override;

  /// Sends to this peer from now on where none is given, and receives from no other, but for what has
  /// come before. Sends nothing. May be called again, for another peer.
  void connect(const endpoint& peer);
  /// Takes that back: any peer again. operation_not_supported on an IPv6 socket, which Linux does not
  /// let hear from others again.
  void disconnect();

  /// What it is bound to, with the port that the system has picked.
  [[nodiscard]] endpoint local_endpoint() const;
  /// The peer it is connected to; not_connected if it is not.
  [[nodiscard]] endpoint remote_endpoint() const;

  /// Receives what is sent to a multicast group, on one interface. A socket may join a group on
  /// several interfaces, and receives what is sent to the groups that it joined, on the interfaces on
  /// which it did, and nothing that others on this machine have joined (IP_MULTICAST_ALL is off,
  /// ip(7)). Without an interface it is the one that the scope id of the group names, and without
  /// that the one that the system's routes lead to for this group. Errors, with the group in what():
  /// address_in_use if it has joined already; no_such_device if there is no such interface, or no
  /// route; invalid_argument for an address that is no group's, or if the scope id names another
  /// interface than `local_interface`.
  ///
  /// For IPv6 the interface is a matter of the socket's filter (SO_ATTACH_FILTER, socket(7)). Where the
  /// program has attached a filter of its own before, and for more than some 300 groups on one
  /// socket, a group is received from every interface on which anybody has joined it.
  void join(const address& group, const network_interface& local_interface = {});
  /// The same, from one sender only (RFC 4607); may be called for several. The scope id of the sender
  /// names the interface, too.
  void join(const address& group, const address& sender, const network_interface& local_interface = {});
  /// Takes a join back, on one interface, which is found as by join(). Errors: address_not_available
  /// if it has not joined there; no_such_device, invalid_argument as above.
  void leave(const address& group, const network_interface& local_interface = {});
  void leave(const address& group, const address& sender, const network_interface& local_interface = {});
  /// The interface that multicast goes out on, unless the scope id of the group names another.
  /// Errors: no_such_device.
  void set_multicast_interface(const network_interface& out);
  /// How many routers multicast passes, 0 to 255; the system's default is 1, none.
  void set_multicast_hops(int most);
  [[nodiscard]] int multicast_hops() const;
  /// Whether this machine's members of a group get what is sent here. The default is true.
  void set_multicast_loopback(bool enabled);
  [[nodiscard]] bool multicast_loopback() const;

  /// Whether it may send to broadcast addresses.
  void set_broadcast(bool allowed);
  [[nodiscard]] bool broadcast() const;
  /// TTL or hop limit of what is sent, 1 to 255; -1: the system's.
  void set_hops(int most);
  [[nodiscard]] int hops() const;
  /// TOS or traffic class of what is sent, 0 to 255; its low two bits are ECN.
  void set_traffic_class(int byte);
  [[nodiscard]] int traffic_class() const;
  /// Bytes. The kernel doubles the value, up to a limit of its own, and returns the doubled one.
  /// Negative: invalid_argument.
  void set_receive_buffer(int bytes);
  [[nodiscard]] int receive_buffer() const;
  void set_send_buffer(int bytes);
  [[nodiscard]] int send_buffer() const;
  /// How many datagrams were lost so far because the receive buffer was full, or they were damaged.
  [[nodiscard]] std::uint32_t dropped() const;

  /// The descriptor, for options this class does not have, or -1. It stays the socket's own.
  [[nodiscard]] int native_handle() const noexcept;

 private:
  explicit udp_socket(detail::descriptor* of) noexcept;
  detail::descriptor* of() const noexcept;
  void change_membership(int name, const address& group, const address* sender,
                         const network_interface& local_interface);
};

/// Looks up a host, as connect() does, and returns a socket that is connected to its first address
/// for which there is a route. Nothing is sent: that nobody listens shows when something is.
/// Errors: those of resolve(), or the system's, with the address.
COSOCK_API task<udp_socket> connect_udp(std::string host, std::string service,
                                        udp_options options = {});

}  // namespace cosock
