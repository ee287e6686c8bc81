// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cosock/tls_certificate.hpp>

#include <optional>
#include <string>

namespace cosock {

/// The version of the protocol.
enum class tls_version : unsigned char { tls_1_2, tls_1_3 };

/// The results of a TLS handshake.
struct tls_facts {
  tls_version version = tls_version::tls_1_3;  ///< of the protocol
  std::string cipher;       ///< its standard name (RFC 8446, section B.4): TLS_AES_128_GCM_SHA256
  std::string protocol;     ///< the application protocol (ALPN); empty: not negotiated
  std::string server_name;  ///< the name that the client has requested (SNI); empty: no request
  bool is_resumed = false;  ///< the handshake has resumed an earlier session
  /// The certificate of the peer; nullopt for a client without a certificate.
  std::optional<tls_certificate> peer;
};

}  // namespace cosock
