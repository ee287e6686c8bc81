// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cosock/detail/chrono.hpp>
#include <cosock/detail/config.hpp>

#include <array>
#include <string>
#include <vector>

namespace cosock {

/// The fields of the certificate of a peer. It was verified, unless the context does not verify.
struct tls_certificate {
  std::string subject;  ///< distinguished name (RFC 2253), such as `CN=client 7,O=Example`
  std::string issuer;   ///< distinguished name of the authority
  std::vector<std::string>
      names;                  ///< the DNS names, IP addresses, e-mail addresses and URIs in the
                              ///< extension subjectAltName
  std::string serial_number;  ///< hexadecimal
  std::chrono::system_clock::time_point not_before;
  std::chrono::system_clock::time_point not_after;
  std::array<unsigned char, 32> fingerprint = {};  ///< SHA-256 of the certificate
  std::array<unsigned char, 32> key_pin = {};      ///< SHA-256 of the public key (RFC 7469)
  std::vector<unsigned char> der;                  ///< the certificate in DER
};

}  // namespace cosock
