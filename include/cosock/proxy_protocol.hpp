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

/// The peers whose PROXY headers are believed: networks, addresses, and local sockets. A value; the
/// default trusts nobody.
class COSOCK_API trusted_proxies {
 public:
  trusted_proxies() noexcept;
  /// Trusts these: `trusted_proxies trusted{"10.0.0.0/8", "::1", "unix"}`; see add().
  trusted_proxies(std::initializer_list<std::string_view> ranges);
  trusted_proxies(const trusted_proxies&);
  trusted_proxies(trusted_proxies&&) noexcept;
  trusted_proxies& operator=(const trusted_proxies&);
  trusted_proxies& operator=(trusted_proxies&&) noexcept;
  ~trusted_proxies();

  /// Trusts a network or an address, as address_range::parse() reads it, or `unix`: all peers of local
  /// sockets. Throws system_error with `error::invalid_address`, and the text and what is accepted in what().
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

/// What behind_proxy() does with a peer that is not trusted.
enum class untrusted_peer : unsigned char {
  /// Serves it as itself when its first bytes show that they are no PROXY header: the first byte that
  /// differs decides. A peer that has sent nothing, or only the beginning of a signature, is served when
  /// the time limit passes. For protocols in which the client speaks first.
  serve,
  /// Serves it as itself at once, unless a header has already arrived. The handler may receive a
  /// header that arrives later as data; it is never believed. For protocols in which the server speaks first.
  serve_at_once,
  /// Closes its connection.
  refuse
};

/// How behind_proxy() and receive_proxy_header() receive headers.
struct proxy_options {
  /// The limit for the header. The specification recommends at least 3 s, for a segment that is lost.
  time_span timeout = std::chrono::seconds(5);
  untrusted_peer untrusted = untrusted_peer::serve;
  /// The largest header of version 2 in bytes, from 232 (two local addresses) to
  /// proxy_header::max_v2_size; other values throw std::invalid_argument.
  std::size_t max_size = 4096;
};

/// Receives the header with which a connection begins, and no byte beyond it: for programs that do not
/// use serve(), and a peer that they trust. Errors: `error::malformed_proxy_header`, also if there is no
/// header; `error::end_of_stream` if the peer closes before or in it; `error::timed_out`; those of
/// receive(). After an error the connection is of no use. Cancelled: no byte was taken. `from` must outlive the
/// `co_await`.
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

/// A handler for serve() behind proxies and load balancers that send a PROXY header. It receives the
/// header, and no byte beyond it, and then calls `handler`: `co_await serve(acceptor, behind_proxy(trusted,
/// talk))`, or with TLS behind the header, `behind_proxy(trusted, with_tls(context, talk))`. For TCP and
/// local sockets. It runs in the task of the connection, so that a slow peer delays nobody.
///
/// `handler` is a handler as serve() takes it. If its second argument is a `const connection&`,
/// source() and destination() are the addresses that the proxy has sent, and proxy() is the whole
/// header; peer() stays the proxy. Reports of serve() name both.
///
/// A trusted peer has to begin with a header. Otherwise its connection is closed and reported with
/// `error::malformed_proxy_header`, `error::timed_out` after the limit, or `error::end_of_stream` in the
/// middle of a header. One that closes without a byte is a check of the port, and not reported. For a
/// header without addresses (LOCAL, UNKNOWN, UNSPEC) the handler is called with the peer as the source.
/// If a proxy resets a connection of its own (LOCAL), which is how it ends a check of the server, the
/// error of the handler is not reported.
///
/// A peer that is not trusted is served as itself, with no byte taken from its stream, see
/// untrusted_peer. If its first bytes are those of a header, the connection is closed and reported with
/// `error::untrusted_proxy`, because otherwise it could choose its own source.
///
/// For serve_options::max_per_peer a connection of a trusted peer counts for the source in its header, from
/// then on; one too many is closed without a call of the handler. One without a source does not count.
///
/// `trusted` must outlive serve(). Source: section 2 of the specification, see proxy_header.
template <class Handler>
auto behind_proxy(const trusted_proxies& trusted, Handler&& handler, proxy_options options = {}) {
  detail::check_temporary_lambda<Handler>();
  return detail::proxy_handler<std::decay_t<Handler>>(trusted, std::forward<Handler>(handler),
                                                      options);
}

}  // namespace cosock
