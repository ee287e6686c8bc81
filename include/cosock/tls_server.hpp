// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cosock/connection.hpp>
#include <cosock/duration.hpp>
#include <cosock/tls_error.hpp>
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

/// The certificates of a TLS server, and what it asks for. By default it speaks TLS 1.2 and 1.3, asks for no client
/// certificates, and lets clients resume their sessions: with keys that all loops share, that change each
/// hour, and that stay when certificates are replaced.
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
  /// with add_client_roots(). tls_stream::peer_certificate() and connection::tls() return the certificate.
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

}  // namespace cosock
