// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cosock/detail/chrono.hpp>
#include <cosock/detail/config.hpp>

#include <array>
#include <span>
#include <string>

namespace cosock {

namespace detail {
struct certificate_fields;
}

/// The certificate of a peer. It was verified, unless the context does not verify. Copies share its fields,
/// and the references and spans that the functions return stay valid as long as one of the copies exists.
class COSOCK_API tls_certificate {
 public:
  tls_certificate(const tls_certificate&) noexcept;
  tls_certificate& operator=(const tls_certificate&) noexcept;
  ~tls_certificate();

  /// The distinguished name (RFC 2253), such as `CN=client 7,O=Example`.
  [[nodiscard]] const std::string& subject() const noexcept;
  /// The distinguished name of the authority.
  [[nodiscard]] const std::string& issuer() const noexcept;
  /// The DNS names, IP addresses, e-mail addresses and URIs in the extension subjectAltName.
  [[nodiscard]] std::span<const std::string> names() const noexcept;
  /// In hexadecimal.
  [[nodiscard]] const std::string& serial_number() const noexcept;
  /// The first and the last time at which the certificate is valid.
  [[nodiscard]] std::chrono::system_clock::time_point not_before() const noexcept;
  [[nodiscard]] std::chrono::system_clock::time_point not_after() const noexcept;
  /// SHA-256 of the certificate.
  [[nodiscard]] const std::array<unsigned char, 32>& fingerprint() const noexcept;
  /// SHA-256 of the public key (RFC 7469).
  [[nodiscard]] const std::array<unsigned char, 32>& key_pin() const noexcept;
  /// The certificate in DER.
  [[nodiscard]] std::span<const unsigned char> der() const noexcept;

 private:
  friend struct detail::certificate_fields;
  explicit tls_certificate(const detail::certificate_fields& fields) noexcept;

  // Counts its copies. Never null: there is no move, which would leave it empty.
  const detail::certificate_fields* fields_;
};

}  // namespace cosock
