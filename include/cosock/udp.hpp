// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cosock/address_range.hpp>
#include <cosock/datagram.hpp>
#include <cosock/socket.hpp>
#include <cosock/task.hpp>

#include <optional>
#include <string>
#include <string_view>

namespace cosock {

class loop;

/// How a UDP socket is opened, and which members of packet_info are filled.
struct udp_socket_options {
  bool reuse_address = false;  ///< bind although another socket that allows it too is bound there;
                               ///< for receivers of the same multicast group (SO_REUSEADDR)
  bool reuse_port = false;     ///< share the port among sockets; the datagrams of a peer go to one
                               ///< of them (SO_REUSEPORT)
  bool v6_only = false;        ///< an IPv6 socket takes no IPv4 datagrams
  bool broadcast = false;      ///< may send to broadcast addresses
  bool receive_address = false;        ///< packet_info::local and interface_index
  bool receive_traffic_class = false;  ///< packet_info::traffic_class
  bool receive_hops = false;           ///< packet_info::hops
  bool receive_time = false;           ///< packet_info::arrival_time
  bool receive_dropped = false;        ///< packet_info::dropped
  bool receive_offload = false;        ///< let the system join datagrams that arrive (UDP_GRO)
  bool send_offload = true;  ///< let the system split the joined data of send_batch (UDP_SEGMENT)
  std::optional<int> receive_buffer = std::nullopt;  ///< bytes; negative: invalid_argument
  std::optional<int> send_buffer = std::nullopt;     ///< bytes; negative: invalid_argument
  /// Send to permitted addresses and receive from permitted addresses only. The same holds for groups
  /// and broadcast addresses as destinations. A send to another address, or connect(), fails with
  /// `error::address_denied`, with the address in what(); send_batch() after it has sent the datagrams
  /// in front. A datagram from another address is discarded, as by a filter of the system, but the
  /// buffer may contain its bytes until a receive returns. The filter is a part of this object: a
  /// descriptor that was released has none. The ranges outlive the socket.
  address_filter filter = {};
  /// Called before bind(2) or connect(2); see socket_hook. Ancillary data that it enables is filled
  /// into packet_info.
  socket_hook configure = {};
};

/// What a UDP socket does with datagrams that are larger than the path MTU: the size of the largest
/// packet that passes all networks on the way to the peer (IP_MTU_DISCOVER, ip(7); RFC 1191, RFC 8201).
enum class mtu_discovery : unsigned char {
  off,       ///< the DF bit is not set: this machine fragments, and so do IPv4 routers
  fragment,  ///< this machine fragments what is larger than the known path MTU; other datagrams have
             ///< the DF bit; usually the system's default
  dont_fragment,  ///< the DF bit is set; a datagram larger than the known path MTU is not sent
  probe,  ///< the DF bit is set; only a datagram larger than the MTU of the interface is not sent: for
          ///< a protocol that finds the path MTU itself (RFC 8899)
};

/// A network interface of this machine, for multicast. A value; by default the system selects one.
class COSOCK_API network_interface {
 public:
  constexpr network_interface() noexcept = default;
  /// The interface with this name. Throws system_error with the name: no_such_device if none has it.
  [[nodiscard]] static network_interface by_name(std::string_view name);
  /// The interface with this index, which is not checked; 0: selected by the system.
  [[nodiscard]] static constexpr network_interface by_index(unsigned index) noexcept {
    return network_interface(index);
  }
  /// The interface that has this address. Throws system_error with the address: address_not_available
  /// if none has it.
  [[nodiscard]] static network_interface by_address(const address& own);

  /// The index; 0: selected by the system.
  [[nodiscard]] constexpr unsigned interface_index() const noexcept { return index_; }

 private:
  constexpr explicit network_interface(unsigned index) noexcept : index_(index) {}
  unsigned index_ = 0;
};

/// A UDP socket, connected or not (RFC 768, udp(7)). Its operations are those of datagram_socket.
///
/// An IPv6 socket receives IPv4 too, unless `v6_only` is set. It shows the address of an IPv4 peer
/// as an IPv4-mapped address. A socket that is opened at an IPv4-mapped address, or connected to one
/// from the start, is an IPv4 socket. As destinations, both sockets accept both forms.
///
/// The scope id of an IPv6 address of any kind is the index of an interface (RFC 4007). A socket that
/// is bound or connected to such an address sends and receives over this interface only; a datagram
/// to such an address is sent over it. Errors: no_such_device, with the address in what(), if there
/// is no such interface; invalid_argument if the socket already uses another one.
///
/// A released descriptor keeps its group memberships, but not their restriction to an interface for
/// IPv6 (see join()). With receive_offload, datagrams that the system combined with the one received
/// last are lost then.
class COSOCK_API udp_socket final : public basic_socket<datagram_socket<>, endpoint> {
 public:
  udp_socket() noexcept = default;
  /// Opens and binds a socket on the running loop. With port 0 the system picks a port. Throws
  /// system_error with the address in what().
  explicit udp_socket(const endpoint& at, const udp_socket_options& options = {});
  /// Opens and binds a socket on this loop, which need not be running.
  udp_socket(loop& loop, const endpoint& at, const udp_socket_options& options = {});
  udp_socket(udp_socket&&) noexcept = default;
  udp_socket& operator=(udp_socket&&) noexcept = default;
  ~udp_socket() override;

  /// Takes over a UDP descriptor, for the running loop: makes it non-blocking and close-on-exec, and
  /// owns it, also if this throws. Ancillary data that was enabled on it with setsockopt(2) is filled
  /// into packet_info.
  [[nodiscard]] static udp_socket adopt(int descriptor);
  /// Sets the default destination, as connect_udp() does for a new socket, and receives from this peer only. Datagrams of others that are
  /// already in the receive queue are still returned. Sends nothing. May be called again, for another
  /// peer. Errors: `error::address_denied` if the filter of the options does not permit the peer.
  void connect(const endpoint& peer);
  /// Removes the peer: the socket receives from all again. Errors: operation_not_supported on an IPv6
  /// socket, where Linux cannot do that.
  void disconnect();

  /// Joins a multicast group on one interface. A socket may join a group on several interfaces. Of
  /// multicast datagrams, it receives only those to groups that it joined itself, on the interfaces
  /// on which it joined them, and none to groups of other sockets of this machine (IP_MULTICAST_ALL
  /// is off, ip(7)). The default interface is that of the scope id of the group, or else that of
  /// the system's route to the group. Errors, with the group in what(): address_in_use if it has
  /// joined already; no_such_device if there is no such interface, or no route; invalid_argument if
  /// the address is not a multicast address, or if its scope id and `local_interface` differ.
  ///
  /// For IPv6 the restriction to an interface uses the socket's filter (SO_ATTACH_FILTER,
  /// socket(7)). It does not apply if the program has attached its own filter before, or if the
  /// socket has more than about 300 groups. A group is then received from every interface on which
  /// any socket has joined it.
  void join(const address& group, const network_interface& local_interface = {});
  /// Joins a group for one sender (source-specific multicast, RFC 4607); may be called for several
  /// senders. The scope id of the sender selects the interface too.
  void join(const address& group, const address& sender,
            const network_interface& local_interface = {});
  /// Leaves a group on one interface, which is selected as in join(). Errors: address_not_available
  /// if the socket has not joined it there; no_such_device and invalid_argument as for join().
  void leave(const address& group, const network_interface& local_interface = {});
  void leave(const address& group, const address& sender,
             const network_interface& local_interface = {});
  /// The interface over which multicast datagrams are sent, unless the group has a scope id. Errors:
  /// no_such_device.
  void set_multicast_interface(const network_interface& out);
  /// The TTL or hop limit of multicast datagrams, 0 to 255. The system's default is 1: they do not
  /// leave the local network. 0: they do not leave this machine.
  void set_multicast_hops(int hops);
  [[nodiscard]] int multicast_hops() const;
  /// Whether members of a group on this machine receive the datagrams that this socket sends to it.
  /// The default is true.
  void set_multicast_loopback(bool enabled);
  [[nodiscard]] bool multicast_loopback() const;

  /// Whether the socket may send to broadcast addresses.
  void set_broadcast(bool allowed);
  [[nodiscard]] bool broadcast() const;
  /// The TTL or hop limit of datagrams, 1 to 255. std::nullopt: the system's default.
  void set_hops(std::optional<int> hops);
  [[nodiscard]] int hops() const;
  /// The TOS or traffic class of datagrams, 0 to 255. Its low two bits are ECN.
  void set_traffic_class(int byte);
  [[nodiscard]] int traffic_class() const;
  /// Whether datagrams may be fragmented. With `dont_fragment` and `probe`, a send of a datagram that
  /// is too large fails with message_size. The known path MTU becomes smaller when a router answers
  /// that a datagram was too large (ICMP); the next operation of a connected socket then fails with
  /// message_size too, once, unless the mode is `off`.
  void set_mtu_discovery(cosock::mtu_discovery mode);
  /// The mode; `off` for a mode that is not listed.
  [[nodiscard]] cosock::mtu_discovery mtu_discovery() const;
  /// The known path MTU of a connected socket, in bytes. It includes the headers, which are 28 bytes
  /// for IPv4 and 48 bytes for IPv6. Errors: not_connected.
  [[nodiscard]] int path_mtu() const;
  /// The number of received datagrams that were lost because the receive buffer was full, or because
  /// they were damaged.
  [[nodiscard]] std::uint32_t dropped() const;

 private:
  using basic_socket::basic_socket;
  friend COSOCK_API task<udp_socket> connect_udp(endpoint, udp_socket_options);
  friend COSOCK_API task<udp_socket> connect_udp(std::string, std::string, udp_socket_options);
  static udp_socket open_connected(const endpoint& peer, const udp_socket_options& options);
  void change_membership(int name, const address& group, const address* sender,
                         const network_interface& local_interface);
};

extern template class descriptor_handle<datagram_socket<>>;
extern template class basic_socket<datagram_socket<>, endpoint>;

/// Opens a socket on the running loop, on a port that the system picks, and connects it to a peer.
/// Returns the socket. Nothing is sent, so it is not known whether the peer listens. Throws
/// system_error with the peer in what(): network_unreachable, and so on; `error::address_denied` if the
/// filter does not permit the peer. Cancelled: nothing is left open.
COSOCK_API task<udp_socket> connect_udp(endpoint peer, udp_socket_options options = {});

/// Looks up a host as connect() does, and returns a socket that is connected to the first of its
/// addresses that has a route. Nothing is sent, so it is not known whether the peer listens. Errors:
/// those of resolve(), or the system's with the address in what(); `error::address_denied`, with the
/// host and its addresses, if the filter permits none of them. An exception of the hook `configure`
/// ends it, without an attempt at another address. Cancelled: nothing is left open.
COSOCK_API task<udp_socket> connect_udp(std::string host, std::string service,
                                        udp_socket_options options = {});
COSOCK_API task<udp_socket> connect_udp(std::string host, std::uint16_t port,
                                        udp_socket_options options = {});

}  // namespace cosock
