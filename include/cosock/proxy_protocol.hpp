// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cosock/address_range.hpp>
#include <cosock/detail/serve_state.hpp>
#include <cosock/duration.hpp>
#include <cosock/local.hpp>
#include <cosock/proxy_header.hpp>
#include <cosock/tcp.hpp>

#include <concepts>
#include <initializer_list>
#include <string_view>
#include <vector>

namespace cosock {

/// The peers whose PROXY headers are accepted: networks, addresses, and local sockets. A value; the
/// default trusts no peer.
class COSOCK_API trusted_proxies {
 public:
  trusted_proxies() noexcept;
  /// Calls add() for each range: `trusted_proxies trusted{"10.0.0.0/8", "::1", "unix"}`.
  trusted_proxies(std::initializer_list<std::string_view> ranges);
  trusted_proxies(const trusted_proxies&);
  trusted_proxies(trusted_proxies&&) noexcept;
  trusted_proxies& operator=(const trusted_proxies&);
  trusted_proxies& operator=(trusted_proxies&&) noexcept;
  ~trusted_proxies();

  /// Trusts a network or an address, in the format of address_range::parse(); or, with `unix`, all peers
  /// of local sockets. Throws system_error with `error::invalid_address`, and the text in what().
  void add(std::string_view range);
  void add(const address_range& range);

  /// Whether a peer with this address is trusted.
  [[nodiscard]] bool contains(const address& peer) const noexcept;
  /// Whether peers of local sockets are trusted.
  [[nodiscard]] bool contains(const local_endpoint& peer) const noexcept;

 private:
  std::vector<address_range> ranges_;
  bool local_ = false;
};

/// How behind_proxy() treats a peer that is not trusted.
enum class untrusted_peer : unsigned char {
  /// Serves the peer without a header, as soon as a byte arrives that does not belong to a signature of the
  /// PROXY protocol. A peer that sends no byte, or only the beginning of a signature, is served when the time
  /// limit passes. For protocols in which the client sends first.
  serve,
  /// Serves the peer at once, unless a header has already arrived. A header that arrives later is data for
  /// the handler, and has no other effect. For protocols in which the server sends first.
  serve_at_once,
  /// Closes the connection.
  refuse
};

/// Options of behind_proxy() and receive_proxy_header().
struct proxy_options {
  /// The time limit for the header. The specification recommends at least 3 s, so that a lost segment can
  /// be sent again.
  time_span timeout = std::chrono::seconds(5);
  untrusted_peer untrusted = untrusted_peer::serve;
  /// The largest header of version 2 in bytes, from 232 (two local addresses) to
  /// proxy_header::max_v2_size; other values throw std::invalid_argument.
  std::size_t max_size = 4096;
};

/// Receives the PROXY header at the beginning of a connection, and no byte beyond it: for programs that
/// do not use serve(), from a peer that they trust. Returns the header. Errors:
/// `error::malformed_proxy_header`, also if there is no header; `error::end_of_stream` if the peer closes
/// before the end of the header; `error::timed_out`; those of receive(); std::invalid_argument for
/// `max_size`. After an error, close the connection. Cancelled: no byte was taken. `from` must outlive
/// the `co_await`.
COSOCK_API task<proxy_header> receive_proxy_header(tcp_socket& from, proxy_options options = {});
COSOCK_API task<proxy_header> receive_proxy_header(local_stream_socket& from,
                                                   proxy_options options = {});

namespace detail {

/// A connection that was accepted, and its handler, without their types.
struct proxied_connection {
  byte_stream& stream;
  const kept_io_object& kept;
  const proxy_header** facts;  // where the handler finds them
  const endpoint* peer;        // null: a local socket
  const local_endpoint* local_peer;
  peer_place& place;
  task<> (*call)(const void* handler, byte_stream& stream, const void* connection);
  const void* handler;
  const void* connection;
};

COSOCK_API void check_options(const proxy_options& options);
/// Receives the header, and calls the handler.
COSOCK_API task<> serve_proxied(const trusted_proxies& trusted, proxy_options options,
                                proxied_connection accepted);

/// The handler that behind_proxy() returns, for serve().
template <class Handler>
class proxy_handler {
 public:
  proxy_handler(const trusted_proxies& trusted, Handler handler, proxy_options options)
      : trusted_(trusted), handler_(std::move(handler)), options_(options) {
    check_options(options);
  }

  template <class Stream, class Endpoint>
    requires std::derived_from<Stream, byte_stream>
  task<> operator()(Stream& stream, const basic_connection<Endpoint>& connection) {
    using info = basic_connection<Endpoint>;
    static_assert(
        std::same_as<Stream, tcp_socket> || std::same_as<Stream, local_stream_socket>,
        "behind_proxy() takes the sockets of a tcp_acceptor or a local_acceptor; with TLS "
        "it is the outer one: behind_proxy(trusted, with_tls(context, handler))");
    static_assert(std::invocable<Handler&, Stream> || std::invocable<Handler&, Stream&> ||
                      std::invocable<Handler&, Stream, const info&> ||
                      std::invocable<Handler&, Stream&, const info&>,
                  "a handler of behind_proxy() takes the stream, by value or by reference, and "
                  "perhaps a const cosock::connection&, and returns cosock::task<>");
    const endpoint* peer = nullptr;
    const local_endpoint* local_peer = nullptr;
    if constexpr (std::same_as<Endpoint, endpoint>)
      peer = &connection.peer();
    else
      local_peer = &connection.peer();
    return serve_proxied(
        trusted_, options_,
        {stream, connection_facts::kept(connection), &connection_facts::proxy(connection), peer,
         local_peer, connection_facts::place(connection), call<Stream, info>, &handler_,
         &connection});
  }

  /// For serve(): whether connections of this peer count for the source in their header.
  bool is_proxy(const address& peer) const noexcept { return trusted_.contains(peer); }

 private:
  template <class Stream, class Info>
  static task<> call(const void* handler, byte_stream& stream, const void* connection) {
    Handler& f = *static_cast<Handler*>(const_cast<void*>(handler));
    auto& s = static_cast<Stream&>(stream);
    const Info& info = *static_cast<const Info*>(connection);
    if constexpr (std::invocable<Handler&, Stream, const Info&>)
      return f(std::move(s), info);
    else if constexpr (std::invocable<Handler&, Stream&, const Info&>)
      return f(s, info);
    else if constexpr (std::invocable<Handler&, Stream>)
      return f(std::move(s));
    else
      return f(s);
  }

  const trusted_proxies& trusted_;
  Handler handler_;
  proxy_options options_;
};

}  // namespace detail

/// Returns a handler for serve() behind proxies and load balancers that send a PROXY header. It receives
/// the header, and no byte beyond it, and then calls `handler`: `co_await serve(acceptor,
/// behind_proxy(trusted, talk))`, or with TLS, `behind_proxy(trusted, with_tls(context, talk))`. For TCP
/// and local sockets. It runs in the task of the connection, so a slow peer delays no other connection.
///
/// `handler` is a handler for serve(). If its second argument is a `const connection&`, source() and
/// destination() are the addresses in the header, proxy() is the whole header, and peer() is the address of
/// the proxy. Reports of serve() name the source and the proxy.
///
/// A trusted peer must send a header first. Otherwise its connection is closed and reported with
/// `error::malformed_proxy_header`, `error::timed_out` after the limit, or `error::end_of_stream` in the
/// middle of a header. A connection that ends without a byte is not reported: proxies check the port in
/// this way. For a header without addresses (LOCAL, UNKNOWN, UNSPEC), source() is the peer. If `handler`
/// fails because the proxy resets a connection of its own (LOCAL), the error is not reported: proxies end
/// health checks with a reset.
///
/// A peer that is not trusted is served according to untrusted_peer, with no byte taken from its stream.
/// If its first bytes are those of a header, the connection is closed and reported with
/// `error::untrusted_proxy`; otherwise the peer could choose its own source.
///
/// serve_options::max_per_peer: when the header has arrived, a connection of a trusted peer counts for the
/// source in the header, and does not count without a source. If the source has too many connections, the
/// new one is closed without a call of `handler`.
///
/// Throws std::invalid_argument for `max_size`. `trusted` must outlive serve(). Source: section 2 of the
/// specification, see proxy_header.
template <class Handler>
auto behind_proxy(const trusted_proxies& trusted, Handler&& handler, proxy_options options = {}) {
  detail::check_temporary_lambda<Handler>();
  return detail::proxy_handler<std::decay_t<Handler>>(trusted, std::forward<Handler>(handler),
                                                      options);
}

}  // namespace cosock
