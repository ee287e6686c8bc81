// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cosock/acceptors.hpp>
#include <cosock/local_datagram.hpp>
#include <cosock/udp.hpp>

#include <string>

namespace cosock {

namespace detail {

/// The kind of socket that a type accepts. The values are an index of a table of texts.
enum class inherited_kind : unsigned char {
  tcp_listener,
  local_stream_listener,
  local_seqpacket_listener,
  tcp,
  local_stream,
  local_seqpacket,
  udp,
  local_datagram,
};

template <class T>
struct inherited_type;

struct inherited_socket {
  std::string name;
  unique_descriptor socket;  // released when it is taken
};

}  // namespace detail

/// The sockets that a service manager (systemd.socket(5)), or the old process of hand_over(), has
/// passed to this process: the descriptors from 3 on (sd_listen_fds(3)). A socket that is not taken is
/// closed when this object is destroyed. May be moved; only one thread at a time may use it.
///
/// A socket is taken by its name or by its position, as one of these types:
///
///   tcp_acceptor                    a listening socket (ListenStream= with a port)
///   local_acceptor<Socket>          a listening socket, at a path or an abstract name
///   tcp_acceptors, local_acceptors<Socket>      the same, for several loops
///   udp_socket, local_datagram_socket           (ListenDatagram=)
///   tcp_socket, local_stream_socket, local_seqpacket_socket      a connection (Accept=yes)
class COSOCK_API inherited_sockets {
 public:
  /// Takes over the inherited descriptors, makes them close-on-exec, and removes LISTEN_FDS,
  /// LISTEN_FDNAMES, LISTEN_PID and LISTEN_PIDFDID from the environment, so that a second object and the
  /// children of this process find no sockets. Must be called before other threads use the environment
  /// (setenv(3)). If LISTEN_FDS is not set, the object is empty.
  ///
  /// Throws system_error, with the wrong and the accepted values in what(), and then has no effect:
  /// invalid_argument for a malformed variable, if the number of names is not that of the sockets, and if
  /// LISTEN_PID is missing or names another process; not_a_socket or bad_file_descriptor if a descriptor
  /// is not a socket.
  inherited_sockets();
  inherited_sockets(inherited_sockets&&) noexcept = default;
  inherited_sockets& operator=(inherited_sockets&&) noexcept = default;
  ~inherited_sockets();

  /// The number of inherited sockets, including those that were taken.
  [[nodiscard]] std::size_t size() const noexcept { return sockets_.size(); }
  /// Whether no socket was inherited: then the program has to bind its own.
  [[nodiscard]] bool is_empty() const noexcept { return sockets_.empty(); }
  /// The name of a socket: FileDescriptorName= of its unit (by default, the name of the unit), or the
  /// name in passed_sockets::add(); "unknown" if LISTEN_FDNAMES is not set. Several sockets may have the
  /// same name. Throws std::out_of_range if `position` is not below size().
  [[nodiscard]] const std::string& name(std::size_t position) const;
  /// Whether there is a socket with this name that was not taken.
  [[nodiscard]] bool contains(std::string_view name) const noexcept;

  /// Takes the first socket with this name that was not taken, for the running loop. Its descriptor
  /// becomes non-blocking; the file of a local socket is not removed. Throws system_error, with the
  /// accepted values in what(): invalid_argument if no socket has the name; wrong_protocol_type if the
  /// socket is not of type `Socket` (it can still be taken as another). Throws std::logic_error if all
  /// sockets with the name were taken, or if no loop runs on this thread.
  template <class Socket>
  [[nodiscard]] Socket take(std::string_view name) {
    constexpr auto kind = detail::inherited_type<Socket>::kind;
    return Socket::adopt(release(find(name), kind, true));
  }
  /// Takes the socket at this position. Throws as above; invalid_argument if `position` is not below
  /// size().
  template <class Socket>
  [[nodiscard]] Socket take(std::size_t position) {
    constexpr auto kind = detail::inherited_type<Socket>::kind;
    return Socket::adopt(release(position, kind, true));
  }

  /// Takes sockets with this name for the loops of run_loops(): for tcp_acceptors all of them, because
  /// each has its own queue (SO_REUSEPORT); for local sockets the first. If there are more loops than
  /// sockets, loops share a socket. Needs no running loop. `loops`: the number of loops; by default
  /// usable_cores(), and for TCP at least the number of sockets. Throws as above; std::invalid_argument
  /// for 0 loops, fewer TCP loops than sockets, or more than max_loops (the sockets are closed then).
  template <class Acceptors>
    requires detail::inherited_type<Acceptors>::for_loops
  [[nodiscard]] Acceptors take(std::string_view name, std::optional<unsigned> loops) {
    constexpr auto kind = detail::inherited_type<Acceptors>::kind;
    if constexpr (kind == detail::inherited_kind::tcp_listener)
      return Acceptors::adopt(release_all(name, kind), loops);
    else
      return Acceptors::adopt(release(find(name), kind, false), loops);
  }

 private:
  [[nodiscard]] std::size_t find(std::string_view name) const;
  void check_kind(std::size_t position, detail::inherited_kind kind) const;
  [[nodiscard]] int release(std::size_t position, detail::inherited_kind kind, bool needs_loop);
  [[nodiscard]] std::vector<unique_descriptor> release_all(std::string_view name,
                                                           detail::inherited_kind kind);
  std::vector<detail::inherited_socket> sockets_;
};

// Implementation

namespace detail {

template <inherited_kind Kind, bool ForLoops = false>
struct inherited_as {
  static constexpr inherited_kind kind = Kind;
  static constexpr bool for_loops = ForLoops;
};
template <>
struct inherited_type<tcp_acceptor> : inherited_as<inherited_kind::tcp_listener> {};
template <>
struct inherited_type<local_acceptor<local_stream_socket>>
    : inherited_as<inherited_kind::local_stream_listener> {};
template <>
struct inherited_type<local_acceptor<local_seqpacket_socket>>
    : inherited_as<inherited_kind::local_seqpacket_listener> {};
template <>
struct inherited_type<tcp_acceptors> : inherited_as<inherited_kind::tcp_listener, true> {};
template <>
struct inherited_type<local_acceptors<local_stream_socket>>
    : inherited_as<inherited_kind::local_stream_listener, true> {};
template <>
struct inherited_type<local_acceptors<local_seqpacket_socket>>
    : inherited_as<inherited_kind::local_seqpacket_listener, true> {};
template <>
struct inherited_type<tcp_socket> : inherited_as<inherited_kind::tcp> {};
template <>
struct inherited_type<local_stream_socket> : inherited_as<inherited_kind::local_stream> {};
template <>
struct inherited_type<local_seqpacket_socket> : inherited_as<inherited_kind::local_seqpacket> {};
template <>
struct inherited_type<udp_socket> : inherited_as<inherited_kind::udp> {};
template <>
struct inherited_type<local_datagram_socket> : inherited_as<inherited_kind::local_datagram> {};

}  // namespace detail
}  // namespace cosock
