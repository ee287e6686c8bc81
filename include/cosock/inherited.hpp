// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cosock/acceptors.hpp>
#include <cosock/local_datagram.hpp>
#include <cosock/udp.hpp>

#include <string>

namespace cosock {

namespace detail {

/// What a socket has to be for the type that takes it. The values are an index of a table of texts.
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
/// opened for this process: the descriptors from 3 on (sd_listen_fds(3)). A socket that is not taken is
/// closed when this object is destroyed. May be moved; one thread at a time uses it.
///
/// A socket is taken by its name or by its position, as one of these types:
///
///   tcp_acceptor                    one that listens (ListenStream= with a port)
///   local_acceptor, local_seqpacket_acceptor    one that listens, at a path or an abstract name
///   tcp_acceptors, local_acceptors, local_seqpacket_acceptors    the same, for several loops
///   udp_socket, local_datagram_socket           (ListenDatagram=)
///   tcp_socket, local_stream_socket, local_seqpacket_socket      a connection (Accept=yes)
class COSOCK_API inherited_sockets {
 public:
  /// Takes what the process inherited: makes the descriptors close-on-exec, and removes LISTEN_FDS,
  /// LISTEN_FDNAMES, LISTEN_PID and LISTEN_PIDFDID from the environment, so that a second object and the
  /// children of this process have none. To be called before other threads use the environment
  /// (setenv(3)). Empty if LISTEN_FDS is not set.
  ///
  /// Throws system_error with what was found and what is accepted in what(), and changes nothing then:
  /// invalid_argument for a malformed variable, for names that do not match the number of sockets, and if
  /// LISTEN_PID is missing or is that of another process; not_a_socket or bad_file_descriptor if one of
  /// the descriptors is no socket.
  inherited_sockets();
  inherited_sockets(inherited_sockets&&) noexcept = default;
  inherited_sockets& operator=(inherited_sockets&&) noexcept = default;
  ~inherited_sockets();

  /// The number of sockets that were inherited, with those that were taken since.
  [[nodiscard]] std::size_t size() const noexcept { return sockets_.size(); }
  /// Whether nothing was inherited: the program then binds sockets of its own.
  [[nodiscard]] bool is_empty() const noexcept { return sockets_.empty(); }
  /// The name of a socket: FileDescriptorName= of its unit, by default the name of the socket unit, or
  /// that of passed_sockets::add(); "unknown" if there are no names. Several may have the same name.
  /// Throws std::out_of_range.
  [[nodiscard]] const std::string& name(std::size_t position) const;
  /// Whether a socket with this name is there that was not taken.
  [[nodiscard]] bool contains(std::string_view name) const noexcept;

  /// Takes the first socket with this name that was not taken, for the running loop. Its descriptor
  /// becomes non-blocking; the file of a local socket is not removed. Throws system_error, with the
  /// sockets that are accepted in what(): invalid_argument if no socket has the name;
  /// wrong_protocol_type if the socket is not of this type (it can still be taken). std::logic_error if
  /// all with the name were taken, or if no loop runs.
  template <class Socket>
  [[nodiscard]] Socket take(std::string_view name) {
    constexpr auto kind = detail::inherited_type<Socket>::kind;
    return Socket::adopt(release(find(name), kind, true));
  }
  /// Takes the socket at this position, 0 to size() - 1. Throws as above; invalid_argument for another
  /// position.
  template <class Socket>
  [[nodiscard]] Socket take(std::size_t position) {
    constexpr auto kind = detail::inherited_type<Socket>::kind;
    return Socket::adopt(release(position, kind, true));
  }

  /// Takes the sockets with this name for the loops of run_loops(): for tcp_acceptors all of them (with
  /// SO_REUSEPORT each has its own queue, and each is served), for local sockets the first. Loops for
  /// which there is no socket share one. Needs no running loop. `loops`: the number of loops, by
  /// default usable_cores(), and for TCP at least the number of sockets. Throws as above;
  /// std::invalid_argument for 0, for fewer loops than sockets, or more than max_loops (the sockets are
  /// closed then).
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
struct inherited_type<local_acceptor> : inherited_as<inherited_kind::local_stream_listener> {};
template <>
struct inherited_type<local_seqpacket_acceptor>
    : inherited_as<inherited_kind::local_seqpacket_listener> {};
template <>
struct inherited_type<tcp_acceptors> : inherited_as<inherited_kind::tcp_listener, true> {};
template <>
struct inherited_type<local_acceptors> : inherited_as<inherited_kind::local_stream_listener, true> {
};
template <>
struct inherited_type<local_seqpacket_acceptors>
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
