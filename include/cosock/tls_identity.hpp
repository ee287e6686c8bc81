// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cosock/detail/config.hpp>

#include <string>

namespace cosock {

namespace detail {
struct identity_access;
}

/// The source of a certificate, its chain and its private key: files or memory. The functions below do not
/// read it; the function of a context to which it is passed does, and throws the errors.
/// tls_server_context::reload() reads files again.
class COSOCK_API tls_identity {
 public:
  /// Two PEM files, which may be the same. `chain`: the certificate, then the intermediate certificates.
  /// `password`: for an encrypted key.
  [[nodiscard]] static tls_identity from_files(std::string chain, std::string key,
                                               std::string password = {});
  /// The contents of such files.
  [[nodiscard]] static tls_identity from_pem(std::string chain, std::string key,
                                             std::string password = {});
  /// A PKCS#12 file (.p12, .pfx) with certificate, chain and key.
  [[nodiscard]] static tls_identity from_pkcs12_file(std::string path, std::string password);
  /// The contents of such a file.
  [[nodiscard]] static tls_identity from_pkcs12(std::string data, std::string password);

  /// Sets a file with the OCSP response for the certificate (DER), which a server sends to clients that
  /// request it. A server context refuses the identity, with tls_errc::invalid_file, if the file is not a
  /// response for the certificate.
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
