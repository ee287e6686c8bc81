// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cosock/connect_options.hpp>
#include <cosock/tls_facts.hpp>
#include <cosock/tls_identity.hpp>
#include <cosock/tls_stream.hpp>

#include <concepts>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>

namespace cosock {

namespace detail {
class tls_client_settings;
}

/// The authorities that a client trusts without add_roots().
enum class tls_roots : unsigned char {
  system,  ///< the authorities of the system (on Debian: the package ca-certificates)
  none     ///< no authorities
};

/// The authorities that a TLS client trusts, and the certificate and protocols that it offers. By default
/// the client trusts the authorities of the system, verifies the chain and the name of every server,
/// requests the name to which it connects (SNI), and speaks TLS 1.2 and 1.3. Names are compared with
/// the DNS names and IP addresses in subjectAltName only.
///
/// One context serves any number of connections, on all loops and threads. It must outlive the `co_await`
/// of tls_connect() and tls_over(), but not the streams. The functions may be called at any time and on
/// any thread. They apply to handshakes that begin later, and discard the sessions for resumption. A
/// function that throws has no effect. Errors of the functions that read certificates: the system's, with
/// the path in what(); tls_error with tls_errc::invalid_file if the content is not PEM.
class COSOCK_API tls_client_context {
 public:
  /// Reads no file: the first handshake reads the certificates of the system.
  explicit tls_client_context(tls_roots trusted = tls_roots::system);
  tls_client_context(const tls_client_context&) = delete;
  tls_client_context& operator=(const tls_client_context&) = delete;
  ~tls_client_context();

  /// Trusts these certificates (PEM), of authorities or of servers.
  void add_roots(std::string_view pem);
  void add_roots_file(const std::string& path);
  /// Refuses certificates that these lists (PEM) revoke. Every certificate of a chain then needs a valid
  /// list of its issuer; otherwise the handshake fails with tls_errc::revocation_unknown.
  void add_revocation_lists(std::string_view pem);
  void add_revocation_lists_file(const std::string& path);
  /// Accepts only chains that contain one of the added keys. `sha256`: the SHA-256 of a public key (RFC
  /// 7469), in base64 or hexadecimal; see tls_certificate::key_pin. Throws std::invalid_argument for
  /// another text.
  void add_pin(std::string_view sha256);

  /// Sets the certificate of this client, for servers that request one. Throws as above; tls_error with
  /// tls_errc::key_mismatch, or tls_errc::weak_certificate if the certificate is too weak.
  void set_certificate(const tls_identity& identity);
  /// Sets the application protocols to offer (ALPN), the preferred one first, such as `{"h2", "http/1.1"}`.
  /// tls_stream::protocol() returns the choice of the server. Throws std::invalid_argument for a name that
  /// does not have 1 to 255 bytes.
  void set_protocols(std::initializer_list<std::string_view> names);
  void set_protocols(std::span<const std::string> names);
  /// Sets the lowest version; TLS 1.2 by default.
  void set_min_version(tls_version lowest);
  /// Sets how many sessions are kept for resumption: 256 by default; 0 disables it. A session of TLS 1.3
  /// is used once (RFC 8446, section C.4).
  void set_max_sessions(std::size_t count);
  /// Appends the secrets of later connections to a file, in the format of SSLKEYLOGFILE, for debugging
  /// with a packet analyzer. Anybody with the file can decrypt the connections.
  void set_key_log_file(const std::string& path);

  /// Accepts every certificate for every name: an attacker on the network can read and change the data.
  /// Pins still apply.
  void dangerously_disable_verification();

 private:
  friend struct detail::tls_access;
  detail::owner<detail::tls_client_settings> settings_;
};

/// Options of tls_over().
struct tls_over_options {
  /// The time limit of the handshake; `error::timed_out` when it passes.
  time_span timeout = std::chrono::seconds(10);
  /// Whether the end of the transport without close_notify counts as the end of the stream. Only for
  /// protocols that detect missing data, such as HTTP/1.1 with a Content-Length.
  bool accept_truncation = false;
  /// Whether an earlier session may be resumed.
  bool resume = true;
};

/// Options of tls_connect().
struct tls_connect_options {
  /// The time limit for the look-up, the connection and the handshake together; `error::timed_out` when
  /// it passes. Zero or less passes at once; `unlimited` never passes.
  time_span timeout = std::chrono::seconds(30);
  /// The name that the client requests (SNI) and verifies, if it differs from the host. Must outlive the
  /// `co_await`.
  std::string_view name = {};
  /// As in tls_over_options.
  bool accept_truncation = false;
  bool resume = true;
  /// Options of the TCP connection. Its `timeout` applies too.
  connect_options tcp = {.timeout = unlimited};
};

/// Connects to a host, as connect() does, and makes the TLS handshake. Returns the stream, after the
/// certificate of the server is verified. A host that is an IP address is verified as an address. Errors:
/// those of connect(); tls_error, with the host and the reason in what(), and a tls_errc, or the system's
/// code if the connection is lost; `error::timed_out`; std::invalid_argument for a name that is empty or
/// cannot be verified. Cancelled: the connection is closed. `context` must outlive the `co_await`.
COSOCK_API task<tls_stream> tls_connect(const tls_client_context& context, std::string host,
                                        std::uint16_t port, tls_connect_options options = {});

/// Makes the TLS handshake, as the client, over a connected stream: after STARTTLS, or through a proxy.
/// `stream` is a stream, or a std::unique_ptr to one. Returns the TLS stream, which owns it. The certificate
/// of the server must be for `host`, a name or an IP address. Do not read `stream` with a buffered_reader
/// before: bytes of the handshake may be in its buffer. Errors: those of tls_connect() without those of
/// connect(); `error::closed` for a closed stream; std::invalid_argument for null. After an error or a
/// cancellation `stream` is destroyed. `context` must outlive the `co_await`.
COSOCK_API task<tls_stream> tls_over(const tls_client_context& context,
                                     detail::owner<byte_stream> stream, std::string host,
                                     tls_over_options options = {});
template <class Stream>
  requires std::derived_from<Stream, byte_stream>
task<tls_stream> tls_over(const tls_client_context& context, Stream stream, std::string host,
                          tls_over_options options = {}) {
  return tls_over(context, detail::owner<byte_stream>(new Stream(std::move(stream))),
                  std::move(host), options);
}

}  // namespace cosock
