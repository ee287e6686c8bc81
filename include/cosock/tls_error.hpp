// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cosock/error.hpp>

#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>

namespace cosock {

/// The error codes of TLS. In a handshake a code is the reason for which this side refused the peer, or,
/// from an alert, for which the peer refused this side; see tls_error::from_peer(). After the handshake a
/// code comes from an alert of the peer, or from a record that violates the protocol. Each code equals the
/// portable condition protocol_error, unless another condition follows in parentheses.
enum class tls_errc {
  certificate_expired = 1,    ///< a certificate of the chain has expired
  certificate_not_yet_valid,  ///< a certificate of the chain is not valid yet
  name_mismatch,              ///< the certificate is for other names or addresses
  unknown_authority,   ///< no trusted authority has issued the certificate, or an intermediate
                       ///< certificate is missing
  wrong_purpose,       ///< the certificate may not be used for this purpose, or not to issue others
  revoked,             ///< a revocation list or an OCSP response revokes the certificate
  revocation_unknown,  ///< no valid revocation list of the issuer, or an invalid OCSP response
  weak_certificate,    ///< a key or a signature of the chain is too weak, such as RSA 1024 or SHA-1
  pin_mismatch,        ///< no key of the chain is pinned
  invalid_certificate,   ///< the certificate is invalid, or refused for another reason
  certificate_required,  ///< the peer has sent no certificate, or requires one from this side
  protocol_version,      ///< no common version: the peer is older than TLS 1.2, for example
  no_common_cipher,      ///< no common cipher, group or signature algorithm
  no_common_protocol,    ///< no common application protocol (ALPN)
  unrecognized_name,     ///< the server has no certificate for the requested name
  not_tls,               ///< the peer does not speak TLS
  truncated,             ///< the connection ended without close_notify (connection_aborted)
  too_many_messages,     ///< the peer floods the connection with messages that carry no data
  handshake_refused,     ///< the peer refused the handshake, without a specific reason
  protocol,              ///< the peer violated the protocol, or has sent another alert
  invalid_file,  ///< not a certificate, key, revocation list or OCSP response in a known format
                 ///< (invalid_argument)
  key_mismatch,  ///< the private key does not belong to the certificate (invalid_argument)
  internal,      ///< OpenSSL has failed (state_not_recoverable)
};

/// The category of tls_errc; its name is "cosock.tls".
[[nodiscard]] COSOCK_API const boost::system::error_category& tls_category() noexcept;

/// Converts a tls_errc to an error_code.
[[nodiscard]] inline boost::system::error_code make_error_code(tls_errc e) noexcept {
  return {static_cast<int>(e), tls_category()};
}

/// Thrown if a handshake fails, and by the functions of contexts that read certificates. what() names the
/// peer or the file, and the reason with its details: the names in a certificate for other names, the time
/// at which a certificate has expired, the issuer that is not trusted.
class COSOCK_API tls_error : public detailed_error {
 public:
  /// For the library. `alert`: the number of a TLS alert from the peer.
  tls_error(const boost::system::error_code&, const std::string& about,
            std::optional<std::uint8_t> alert);
  ~tls_error() override;
  [[nodiscard]] const char* what() const noexcept override;

  /// Whether the peer refused the handshake; otherwise this side did.
  [[nodiscard]] bool from_peer() const noexcept { return alert_.has_value(); }
  /// The alert of the peer (RFC 8446, section 6), if it has sent one.
  [[nodiscard]] std::optional<std::uint8_t> alert() const noexcept { return alert_; }
  [[nodiscard]] std::exception_ptr with_code(const boost::system::error_code&) const override;

 private:
  std::runtime_error about_;
  std::optional<std::uint8_t> alert_;
};

}  // namespace cosock

template <>
struct boost::system::is_error_code_enum<cosock::tls_errc> : std::true_type {};
