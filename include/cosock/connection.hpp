// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cosock/address.hpp>
#include <cosock/detail/io_object.hpp>
#include <cosock/local_endpoint.hpp>
#include <cosock/sync.hpp>

#include <concepts>
#include <optional>

namespace cosock {

struct tls_facts;
class proxy_header;

namespace detail {
struct connection_facts;
template <class Acceptor, class Handler>
class serve_run;
COSOCK_API void ask_local(const kept_io_object& connection, endpoint& into);
COSOCK_API void ask_local(const kept_io_object& connection, local_endpoint& into);
class peer_place;
COSOCK_API bool count_for(peer_place& place, const address& source) noexcept;
/// The addresses of a PROXY header, or null.
COSOCK_API const endpoint* proxied_source(const proxy_header* header) noexcept;
COSOCK_API const endpoint* proxied_destination(const proxy_header* header) noexcept;
}  // namespace detail

/// The addresses and the state of a connection that serve() has accepted: the optional second argument of
/// a handler, by const reference. Lives until the handler has ended, even if the socket is moved or closed
/// before. `Endpoint` is the type that remote_endpoint() of the socket returns.
template <class Endpoint>
class basic_connection {
 public:
  basic_connection(const basic_connection&) = delete;
  basic_connection& operator=(const basic_connection&) = delete;

  /// Returns the address of the peer from accept(2), also after a reset. For a socket of another library,
  /// throws the error that remote_endpoint() threw when the connection was accepted.
  [[nodiscard]] const Endpoint& peer() const {
    if (!peer_) detail::raise(no_peer_);
    return *peer_;
  }
  /// Returns the local address, by getsockname(2) at each call. For a socket of another library, returns
  /// the address at the time of the accept. Throws system_error: `error::closed` if the socket is closed
  /// or was released.
  [[nodiscard]] Endpoint local() const {
    if (local_) return *local_;
    Endpoint answer;
    if constexpr (requires { detail::ask_local(kept_, answer); }) detail::ask_local(kept_, answer);
    return answer;
  }

  /// Waits until the server drains; see server_handle::draining(). A handler awaits it together with the
  /// next request: `co_await when_any(reader.read_line(), connection.draining())`.
  detail::event_wait_operation draining() const noexcept { return draining_.wait(); }
  /// Whether draining() would not wait.
  [[nodiscard]] bool is_draining() const noexcept { return draining_.is_set(); }

  /// Counts the connection for `source` in serve_options::max_per_peer, instead of the address of the peer:
  /// for a handler that learns the address of the client later, for example from a header of HTTP.
  /// (behind_proxy() calls it.) Returns true, also if max_per_peer is not set; false if `source` has the
  /// maximum number of connections: then the connection counts in serve_counters::refused and for no
  /// address, and the handler should end. Call it on the loop of the server.
  [[nodiscard]] bool count_for(const address& source) const noexcept {
    return detail::count_for(place_, source);
  }

  /// In a handler of with_tls(): the results of the handshake, and the certificate of the client
  /// (<cosock/tls_facts.hpp>). Null on a connection without TLS.
  [[nodiscard]] const tls_facts* tls() const noexcept { return tls_; }

  /// In a handler of behind_proxy(): the header that a trusted proxy has sent (<cosock/proxy_header.hpp>).
  /// Null for a peer that is not trusted, and without behind_proxy().
  [[nodiscard]] const proxy_header* proxy() const noexcept { return proxy_; }
  /// The address of the client: the source in proxy(), otherwise peer(). Throws as peer() does.
  [[nodiscard]] Endpoint source() const
    requires std::same_as<Endpoint, endpoint>
  {
    const endpoint* const sent = detail::proxied_source(proxy_);
    return sent ? *sent : peer();
  }
  /// The address to which the client has connected: the destination in proxy(), otherwise local(). Throws
  /// as local() does.
  [[nodiscard]] Endpoint destination() const
    requires std::same_as<Endpoint, endpoint>
  {
    if (const endpoint* const sent = detail::proxied_destination(proxy_)) return *sent;
    return local();
  }

 private:
  friend struct detail::connection_facts;
  template <class Acceptor, class Handler>
  friend class detail::serve_run;
  template <class Stream>
  basic_connection(const Stream& stream, const detail::kept_io_object& kept, event& draining,
                   detail::peer_place& place)
      : kept_(kept), draining_(draining), place_(place) {
    try {
      peer_.emplace(stream.remote_endpoint());
    } catch (...) {
      no_peer_ = detail::failure_of(std::current_exception());
      if (!no_peer_) throw;
    }
    if constexpr (requires { stream.local_endpoint(); })
      if (!kept.current()) local_.emplace(stream.local_endpoint());  // a stream of another origin
  }

  const detail::kept_io_object& kept_;
  event& draining_;
  detail::peer_place& place_;
  std::optional<Endpoint> peer_;
  std::optional<Endpoint> local_;
  detail::failure no_peer_;
  mutable const tls_facts* tls_ = nullptr;       // of the handler that has made the handshake
  mutable const proxy_header* proxy_ = nullptr;  // of the handler that has received it
};

/// Access for handlers that wrap others, and add facts for these.
struct detail::connection_facts {
  template <class Endpoint>
  static const tls_facts*& tls(const basic_connection<Endpoint>& of) noexcept {
    return of.tls_;
  }
  template <class Endpoint>
  static const proxy_header*& proxy(const basic_connection<Endpoint>& of) noexcept {
    return of.proxy_;
  }
  template <class Endpoint>
  static peer_place& place(const basic_connection<Endpoint>& of) noexcept {
    return of.place_;
  }
  template <class Endpoint>
  static const kept_io_object& kept(const basic_connection<Endpoint>& of) noexcept {
    return of.kept_;
  }
};

/// The second argument of handlers of TCP connections, and of local sockets.
using connection = basic_connection<endpoint>;
using local_connection = basic_connection<local_endpoint>;

}  // namespace cosock
