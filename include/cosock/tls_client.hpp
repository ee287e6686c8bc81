// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cosock/connect.hpp>
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
class tls_client_settings;
}

/// Which authorities a client trusts from the start.
enum class tls_roots : unsigned char {
  system,  ///< those of the system (on Debian: the package ca-certificates)
  none     ///< only those that are added
};

/// The authorities that a TLS client trusts, and the certificate and protocols that it offers. By
/// default it trusts the authorities of the system; it verifies the chain and the name of every server,
/// with the DNS names and IP addresses of the certificate (subjectAltName) only; it asks for the name
/// that it connects to (SNI); and it speaks TLS 1.2 and 1.3.
///
/// One context serves any number of connections, on all loops and threads, and must outlive the calls of
/// tls_connect() and tls_over(), not the streams. The functions may be called at any time and on any
/// thread: they apply to handshakes that begin later, and discard the sessions that were kept. A
/// function that throws has changed nothing. Errors of files: the system's, with the path in what();
/// tls_errc::invalid_file for a content that is not PEM.
class COSOCK_API tls_client_context {
 public:
  /// Reads no file yet: the system's certificates are read with the first handshake.
  explicit tls_client_context(tls_roots trusted = tls_roots::system);
  tls_client_context(const tls_client_context&) = delete;
  tls_client_context& operator=(const tls_client_context&) = delete;
  ~tls_client_context();

  /// Trusts these certificates (PEM): of authorities, or of the servers themselves.
  void add_roots(std::string_view pem);
  void add_roots_file(const std::string& path);
  /// Refuses certificates that these lists (PEM) revoke. From then on every certificate of a
  /// chain needs a valid list of its issuer: tls_errc::revocation_unknown otherwise.
  void add_revocation_lists(std::string_view pem);
  void add_revocation_lists_file(const std::string& path);
  /// Accepts only chains with one of the added keys: the SHA-256 of a public key (RFC 7469), in base64 or
  /// hexadecimal; tls_certificate::key_pin has the bytes. Throws std::invalid_argument.
  void add_pin(std::string_view sha256);

  /// The certificate of this client, for servers that ask for it. Throws tls_error:
  /// tls_errc::key_mismatch, tls_errc::invalid_file.
  void set_certificate(const tls_identity& identity);
  /// The application protocols that it offers (ALPN), the preferred one first, such as `{"h2", "http/1.1"}`.
  /// tls_stream::protocol() returns the server's choice. Throws std::invalid_argument.
  void set_protocols(const std::vector<std::string>& names);
  /// The lowest version. TLS 1.2 by default.
  void set_min_version(tls_version lowest);
  /// The number of sessions that are kept for resumption, 256 by default; 0: none. A session of TLS 1.3
  /// is used once (RFC 8446, section C.4).
  void set_max_sessions(std::size_t count);
  /// Appends the secrets of later connections to a file, in the format of SSLKEYLOGFILE: for debugging
  /// with a packet analyzer. Who has the file can read the connections. Not called: no file.
  void set_key_log_file(const std::string& path);

  /// Accepts every certificate for every name: anybody on the way can read and change the data. Pins
  /// still apply.
  void dangerously_disable_verification();

 private:
  friend struct detail::tls_access;
  std::unique_ptr<detail::tls_client_settings> settings_;
};

/// How tls_over() makes a connection.
struct tls_over_options {
  /// The limit of the handshake; `error::timed_out` when it passes.
  time_span timeout = std::chrono::seconds(10);
  /// Whether the end of the transport without close_notify counts as the end of the stream. Only for
  /// protocols that notice when data is missing, such as HTTP/1.1 with a Content-Length.
  bool accept_truncation = false;
  /// Whether an earlier session may be resumed.
  bool resume = true;
};

/// How tls_connect() makes a connection.
struct tls_connect_options {
  /// The limit for the look-up, the connection and the handshake together; `error::timed_out` when it
  /// passes. Zero or less passes at once; `unlimited` never does.
  time_span timeout = std::chrono::seconds(30);
  /// The name that the certificate must be for, and that the client asks for, if it is not the host.
  /// It must outlive the `co_await`.
  std::string_view name = {};
  /// As in tls_over_options.
  bool accept_truncation = false;
  bool resume = true;
  /// The TCP connection. Its `timeout` applies too.
  connect_options tcp = {.timeout = unlimited};
};

/// Connects to a host, as connect() does, and makes a TLS connection over it. Returns the stream when
/// the certificate of the server is verified. A host that is an IP address is verified as such.
/// Errors: those of connect(); tls_error, with the host and the reason in what(), and the code of a
/// tls_errc, or the system's if the connection is lost; `error::timed_out`; std::invalid_argument for an
/// empty name. Cancelled: the connection is closed. `context` must outlive the `co_await`.
COSOCK_API task<tls_stream> tls_connect(const tls_client_context& context, std::string host,
                                        std::uint16_t port, tls_connect_options options = {});

/// Makes a TLS connection, as the client, over a stream that is connected: after STARTTLS, or
/// through a proxy. The certificate of the server must be for `host`, a name or an IP address. It owns the stream,
/// also if it throws. Do not read the stream with a buffered_reader before: bytes of the
/// handshake may be in its buffer. Errors as for tls_connect(); `error::closed` for a stream that is
/// closed. Cancelled: the stream is closed.
COSOCK_API task<tls_stream> tls_over(const tls_client_context& context,
                                     std::unique_ptr<byte_stream> stream, std::string host,
                                     tls_over_options options = {});
template <class Stream>
  requires std::derived_from<Stream, byte_stream>
task<tls_stream> tls_over(const tls_client_context& context, Stream stream, std::string host,
                          tls_over_options options = {}) {
  return tls_over(context,
                  std::unique_ptr<byte_stream>(std::make_unique<Stream>(std::move(stream))),
                  std::move(host), options);
}

}  // namespace cosock
