// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cosock/detail/config.hpp>

#include <string>

namespace cosock {

namespace detail {
struct identity_access;
}

/// Where a certificate, the chain above it, and its private key come from. It is read when it is
/// passed to a context, and files again by tls_server_context::reload().
class COSOCK_API tls_identity {
 public:
  /// Two PEM files, which may be the same. `chain`: the certificate, then the intermediate ones above
  /// it. An encrypted key needs the password.
  [[nodiscard]] static tls_identity from_files(std::string chain, std::string key,
                                               std::string password = {});
  /// The same texts in memory.
  [[nodiscard]] static tls_identity from_pem(std::string chain, std::string key,
                                             std::string password = {});
  /// A file of PKCS#12 (.p12, .pfx), which holds all of them.
  [[nodiscard]] static tls_identity from_pkcs12_file(std::string path, std::string password);
  /// The same bytes in memory.
  [[nodiscard]] static tls_identity from_pkcs12(std::string data, std::string password);

  /// A file with the OCSP response for the certificate (DER), which a server sends to clients that ask
  /// for it.
  void set_ocsp_response_file(std::string path);

  tls_identity(const tls_identity&);
  tls_identity(tls_identity&&) noexcept;
  tls_identity& operator=(const tls_identity&);
  tls_identity& operator=(tls_identity&&) noexcept;
  ~tls_identity();

 private:
  friend struct detail::identity_access;
  tls_identity() = default;
  std::string chain_;
  std::string key_;
  std::string password_;
  std::string ocsp_response_file_;
  bool in_files_ = false;
  bool is_pkcs12_ = false;
};

}  // namespace cosock
