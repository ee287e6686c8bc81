// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cosock/address.hpp>
#include <cosock/detail/temporary_lambda.hpp>
#include <cosock/duration.hpp>
#include <cosock/tls_facts.hpp>
#include <cosock/tls_identity.hpp>
#include <cosock/tls_stream.hpp>

#include <concepts>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>

namespace cosock {

class local_endpoint;
// <cosock/serve.hpp> includes the class; without serve() its name is enough.
template <class Endpoint>
class basic_connection;
using connection = basic_connection<endpoint>;
using local_connection = basic_connection<local_endpoint>;

namespace detail {
struct connection_facts;
class tls_server_settings;
}  // namespace detail

/// Whether a server requests certificates from its clients.
enum class tls_client_certificates : unsigned char {
  none,      ///< requests no certificate
  optional,  ///< serves clients with a valid certificate, and clients without a certificate
  required   ///< serves only clients with a valid certificate
};

/// The answer of a server to a client that requests an unknown name (SNI).
enum class tls_unknown_name : unsigned char {
  use_default,  ///< sends the certificate that was passed to the constructor
  refuse        ///< refuses the client, with the alert unrecognized_name
};

/// The certificates of a TLS server, and its requirements on clients. By default the server speaks TLS 1.2
/// and 1.3, requests no client certificates, and lets clients resume sessions by tickets. The keys of the
/// tickets are shared by all loops, change every hour, and stay when certificates are replaced. Tickets of
/// TLS 1.3 are sent with the first data, or before close_notify if no data was sent.
///
/// One context serves any number of connections, on all loops and threads. It must outlive the `co_await`
/// of serve() and tls_accept(), but not the streams. The functions may be called at any time and on any
/// thread. They apply to handshakes that begin later; open connections do not change. Each call reads the
/// files of authorities and revocation lists again. A function that throws has no effect. Errors of the
/// certificates and files: the system's, with the path in what(); tls_error with tls_errc::invalid_file,
/// tls_errc::key_mismatch or tls_errc::weak_certificate.
class COSOCK_API tls_server_context {
 public:
  /// `identity`: the certificate for clients that request no name, or an unknown one.
  explicit tls_server_context(const tls_identity& identity);
  tls_server_context(const tls_server_context&) = delete;
  tls_server_context& operator=(const tls_server_context&) = delete;
  ~tls_server_context();

  /// Adds or replaces the certificate for clients that request `name`, a DNS name. `*.example.org` matches
  /// names with one label in place of `*`. Throws std::invalid_argument for an empty name.
  void add(std::string_view name, const tls_identity& identity);
  /// Sets the answer to unknown names; tls_unknown_name::use_default by default.
  void set_unknown_name(tls_unknown_name behavior);

  /// Sets whether to request certificates from clients. An authority of add_client_roots() must have
  /// issued them. tls_stream::facts() and connection::tls() return the certificate.
  void set_client_certificates(tls_client_certificates asks);
  /// Adds authorities of clients (PEM). Those of the system are not trusted.
  void add_client_roots(std::string_view pem);
  void add_client_roots_file(const std::string& path);
  /// Refuses client certificates that these lists (PEM) revoke; see
  /// tls_client_context::add_revocation_lists().
  void add_revocation_lists(std::string_view pem);
  void add_revocation_lists_file(const std::string& path);

  /// Sets the application protocols of the server (ALPN), the preferred one first. A client that offers only
  /// other protocols is refused with the alert no_application_protocol; a client that offers no protocol is
  /// served. Throws std::invalid_argument for a name that does not have 1 to 255 bytes.
  void set_protocols(std::initializer_list<std::string_view> names);
  void set_protocols(std::span<const std::string> names);
  /// Sets the lowest version; TLS 1.2 by default.
  void set_min_version(tls_version lowest);
  /// Like tls_client_context::set_key_log_file().
  void set_key_log_file(const std::string& path);

  /// Reads all files again: certificates, keys, OCSP responses, roots and revocation lists.
  void reload();

 private:
  friend struct detail::tls_access;
  detail::owner<detail::tls_server_settings> settings_;
};

/// Options of tls_accept() and with_tls().
struct tls_accept_options {
  /// The time limit of the handshake; `error::timed_out` when it passes.
  time_span timeout = std::chrono::seconds(10);
  /// As in tls_over_options.
  bool accept_truncation = false;
};

/// Makes the TLS handshake, as the server, over a connected stream; see tls_over(). `stream` is a stream, or a
/// std::unique_ptr to one. Returns the TLS stream, which owns it. Errors: tls_error, with the peer and the
/// reason in what(), and a tls_errc, or the system's code if the connection is lost; `error::timed_out`;
/// `error::closed` for a closed stream; std::invalid_argument for null. After an error or a cancellation
/// `stream` is destroyed. `context` must outlive the `co_await`.
COSOCK_API task<tls_stream> tls_accept(const tls_server_context& context,
                                       detail::owner<byte_stream> stream,
                                       tls_accept_options options = {});
template <class Stream>
  requires std::derived_from<Stream, byte_stream>
task<tls_stream> tls_accept(const tls_server_context& context, Stream stream,
                            tls_accept_options options = {}) {
  return tls_accept(context, detail::owner<byte_stream>(new Stream(std::move(stream))), options);
}

namespace detail {

/// A handler, without its type.
struct tls_handler_call {
  task<> (*call)(const void* handler, tls_stream& stream, const void* connection);
  const void* handler;
  const void* connection;  // may be null
};

/// Makes the handshake, and calls the handler. `facts`: where the handler finds them; may be null.
COSOCK_API task<> serve_tls(const tls_server_context& context, detail::owner<byte_stream> stream,
                            tls_accept_options options, tls_handler_call handler,
                            const tls_facts** facts);

/// The handler that with_tls() returns, for serve().
template <class Handler>
class tls_handler {
 public:
  tls_handler(const tls_server_context& context, Handler handler, tls_accept_options options)
      : context_(context), handler_(std::move(handler)), options_(options) {}

  template <class Stream, class Endpoint, class Facts = connection_facts>
    requires std::derived_from<Stream, byte_stream>
  task<> operator()(Stream stream, const basic_connection<Endpoint>& connection) {
    using info = basic_connection<Endpoint>;
    constexpr bool with_info = std::invocable<Handler&, tls_stream, const info&> ||
                               std::invocable<Handler&, tls_stream&, const info&>;
    static_assert(with_info || takes_stream,
                  "a handler of with_tls() takes a cosock::tls_stream, by value or by reference, "
                  "and perhaps a const cosock::connection&, and returns cosock::task<>");
    if constexpr (with_info)
      return run(std::move(stream), {call_with_info<info>, &handler_, &connection},
                 &Facts::tls(connection));
    else
      return run(std::move(stream), {call, &handler_, nullptr}, nullptr);
  }
  /// For acceptors whose streams have no addresses.
  template <class Stream>
    requires std::derived_from<Stream, byte_stream>
  task<> operator()(Stream stream) {
    static_assert(takes_stream,
                  "a handler of with_tls() takes a cosock::tls_stream, by value or by reference, "
                  "and returns cosock::task<>");
    return run(std::move(stream), {call, &handler_, nullptr}, nullptr);
  }

 private:
  static constexpr bool takes_stream =
      std::invocable<Handler&, tls_stream> || std::invocable<Handler&, tls_stream&>;
  static Handler& get(const void* handler) noexcept {
    return *static_cast<Handler*>(const_cast<void*>(handler));
  }
  static task<> call(const void* handler, tls_stream& stream, const void*) {
    if constexpr (std::invocable<Handler&, tls_stream>)
      return get(handler)(std::move(stream));
    else
      return get(handler)(stream);
  }
  template <class Info>
  static task<> call_with_info(const void* handler, tls_stream& stream, const void* connection) {
    const Info& info = *static_cast<const Info*>(connection);
    if constexpr (std::invocable<Handler&, tls_stream, const Info&>)
      return get(handler)(std::move(stream), info);
    else
      return get(handler)(stream, info);
  }
  template <class Stream>
  task<> run(Stream stream, tls_handler_call handler, const tls_facts** facts) {
    return serve_tls(context_, owner<byte_stream>(new Stream(std::move(stream))), options_, handler,
                     facts);
  }

  const tls_server_context& context_;
  Handler handler_;
  tls_accept_options options_;
};

}  // namespace detail

/// Returns a handler for serve() that makes the TLS handshake and then calls `handler` with the tls_stream:
/// `co_await serve(acceptor, with_tls(context, talk))`. The handshake runs in the task of the connection,
/// within the time limit of the options, so a slow peer delays no other connection. The connection counts
/// in the limits and counters of serve() from the accept on. If the handshake fails, serve() reports the
/// tls_error as an error of the connection.
///
/// `handler` takes the tls_stream, by value or by reference, and optionally a `const connection&`, whose
/// tls() has the facts of the handshake; it returns task<>. If it leaves the stream open, close_notify is
/// sent; then serve() ends the connection in order. `context` must outlive serve().
template <class Handler>
auto with_tls(const tls_server_context& context, Handler&& handler,
              tls_accept_options options = {}) {
  detail::check_temporary_lambda<Handler>();
  return detail::tls_handler<std::decay_t<Handler>>(context, std::forward<Handler>(handler),
                                                    options);
}

}  // namespace cosock
