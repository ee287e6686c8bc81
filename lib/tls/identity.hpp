// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// A tls_identity that was read. Contexts share it, also with connections that outlive a reload.

#include <cosock/tls_identity.hpp>

#include "tls/certificate.hpp"

#include <memory>

namespace cosock::detail {

struct loaded_identity {
  /// Throws tls_error with tls_errc::weak_certificate.
  void use_in(SSL_CTX*) const;

  key_and_chain parts;
  std::string ocsp_response;  // DER; empty: there is none
};

struct identity_access {
  /// Throws tls_error, or system_error for a file.
  static std::shared_ptr<const loaded_identity> load(const tls_identity&);
};

}  // namespace cosock::detail
