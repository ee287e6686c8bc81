// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cosock/connection.hpp>
#include <cosock/detail/temporary_lambda.hpp>
#include <cosock/duration.hpp>
#include <cosock/tls_facts.hpp>
#include <cosock/tls_identity.hpp>
#include <cosock/tls_stream.hpp>

#include <concepts>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace cosock {

namespace detail {
class tls_server_settings;
}

/// Whether a server asks its clients for certificates.
enum class tls_client_certificates : unsigned char {
  none,      ///< no
  optional,  ///< yes; a client without one is served, one with a certificate that is refused is not
  required   ///< yes; a client without one is refused
};

/// What a server does if a client asks for a name (SNI) that was not added.
enum class tls_unknown_name : unsigned char {
  use_default,  ///< shows its first certificate
  refuse        ///< refuses the client, with the alert unrecognized_name
};

/// The certificates of a TLS server, and its demands on clients. By default it speaks TLS 1.2 and 1.3,
/// asks for no client certificates, and lets clients resume their sessions: with tickets, whose keys all
/// loops share, change each hour, and stay when certificates are replaced. Tickets of TLS 1.3 are sent with
/// the first data, or before close_notify if there was none.
///
/// One context serves any number of connections, on all loops and threads, and must outlive the
/// calls of serve() and tls_accept(), not the streams. The functions may be called at any time and on any
/// thread: they apply to handshakes that begin later, and connections that are open keep what they have. A
/// function that throws has changed nothing. Errors of files: the system's, with the path in what();
/// tls_errc::invalid_file and tls_errc::key_mismatch for their content.
class COSOCK_API tls_server_context {
 public:
  /// Shows this certificate to clients that ask for no other name.
  explicit tls_server_context(const tls_identity& identity);
  tls_server_context(const tls_server_context&) = delete;
  tls_server_context& operator=(const tls_server_context&) = delete;
  ~tls_server_context();

  /// Shows this certificate to clients that ask for `name`, a DNS name; `*.example.org` is any name with
  /// one label before the rest. Replaces the one that the name had. Throws std::invalid_argument
  /// for an empty name.
  void add(std::string_view name, const tls_identity& identity);
  /// By default a client that asks for an unknown name sees the first certificate.
  void set_unknown_name(tls_unknown_name behavior);

  /// Asks clients for certificates, which must be issued by an authority that was added
  /// with add_client_roots(). tls_stream::facts() and connection::tls() return the certificate.
  void set_client_certificates(tls_client_certificates asks);
  /// The authorities of clients (PEM). The system's are not trusted.
  void add_client_roots(std::string_view pem);
  void add_client_roots_file(const std::string& path);
  /// Refuses client certificates that these lists (PEM) revoke; see
  /// tls_client_context::add_revocation_lists().
  void add_revocation_lists(std::string_view pem);
  void add_revocation_lists_file(const std::string& path);

  /// The application protocols that it speaks (ALPN), the preferred one first. A client that offers
  /// protocols, and none of these, is refused with the alert no_application_protocol; one that offers none is
  /// served. Throws std::invalid_argument.
  void set_protocols(const std::vector<std::string>& names);
  /// The lowest version. TLS 1.2 by default.
  void set_min_version(tls_version lowest);
  /// As tls_client_context::set_key_log_file().
  void set_key_log_file(const std::string& path);

  /// Reads all files again: certificates, keys, OCSP responses, roots and revocation lists.
  void reload();

 private:
  friend struct detail::tls_access;
  std::unique_ptr<detail::tls_server_settings> settings_;
};

/// How a server makes a TLS connection.
struct tls_accept_options {
  /// The limit of the handshake; `error::timed_out` when it passes.
  time_span timeout = std::chrono::seconds(10);
  /// As in tls_over_options.
  bool accept_truncation = false;
};

/// Makes a TLS connection, as the server, over a stream that is connected; see tls_over(). Errors:
/// tls_error, with the peer and the reason in what(), and the code of a tls_errc, or the system's if the
/// connection is lost; `error::timed_out`. Cancelled: the stream is closed.
COSOCK_API task<tls_stream> tls_accept(const tls_server_context& context,
                                       std::unique_ptr<byte_stream> stream,
                                       tls_accept_options options = {});
template <class Stream>
  requires std::derived_from<Stream, byte_stream>
task<tls_stream> tls_accept(const tls_server_context& context, Stream stream,
                            tls_accept_options options = {}) {
  return tls_accept(
      context, std::unique_ptr<byte_stream>(std::make_unique<Stream>(std::move(stream))), options);
}

namespace detail {

/// A handler, without its type.
struct tls_handler_call {
  task<> (*call)(const void* handler, tls_stream& stream, const void* connection);
  const void* handler;
  const void* connection;  // may be null
};

/// Makes the handshake, and calls the handler. `facts`: where the handler finds them; may be null.
COSOCK_API task<> serve_tls(const tls_server_context& context, std::unique_ptr<byte_stream> stream,
                            tls_accept_options options, tls_handler_call handler,
                            const tls_facts** facts);

/// The handler that with_tls() returns, for serve().
template <class Handler>
class tls_handler {
 public:
  tls_handler(const tls_server_context& context, Handler handler, tls_accept_options options)
      : context_(context), handler_(std::move(handler)), options_(options) {}

  template <class Stream, class Endpoint>
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
                 &connection_facts::tls(connection));
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
    return serve_tls(context_, std::make_unique<Stream>(std::move(stream)), options_, handler,
                     facts);
  }

  const tls_server_context& context_;
  Handler handler_;
  tls_accept_options options_;
};

}  // namespace detail

/// A handler for serve() that makes the TLS handshake and then calls `handler` with the tls_stream:
/// `co_await serve(acceptor, with_tls(context, talk))`. The handshake runs in the task of the connection,
/// so that a slow peer delays nobody, within the limit of the options; the connection counts in the limits
/// and counters of serve() from the start. A handshake that fails is an error of the connection, which
/// serve() reports with a tls_error.
///
/// `handler` takes the tls_stream, by value or by reference, and optionally a `const connection&`, whose tls()
/// has the facts of the handshake; it returns task<>. A stream that it leaves open is ended with
/// close_notify, and then the connection in order, as serve() does it. `context` must outlive serve().
template <class Handler>
auto with_tls(const tls_server_context& context, Handler&& handler,
              tls_accept_options options = {}) {
  detail::check_temporary_lambda<Handler>();
  return detail::tls_handler<std::decay_t<Handler>>(context, std::forward<Handler>(handler),
                                                    options);
}

}  // namespace cosock
