// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// The keys with which a server encrypts sessions into tickets. One set for all loops, which stays when
// certificates are reloaded: a ticket of one loop is good on all others.

#include <cosock/clock.hpp>

#include "tls/openssl.hpp"

#include <array>
#include <chrono>
#include <mutex>
#include <vector>

namespace cosock::detail {

class ticket_keys {
 public:
  ticket_keys();
  ~ticket_keys();
  ticket_keys(const ticket_keys&) = delete;

  /// For OpenSSL's callback (SSL_CTX_set_tlsext_ticket_key_evp_cb): its parameters and results.
  int apply(unsigned char* name, unsigned char* vector, EVP_CIPHER_CTX* cipher, EVP_MAC_CTX* mac,
            bool encrypts) noexcept;

  /// Sessions are good for this long.
  static constexpr std::chrono::seconds lifetime = std::chrono::hours(2);

 private:
  struct key {
    std::array<unsigned char, 16> name;
    std::array<unsigned char, 32> cipher;
    std::array<unsigned char, 32> mac;
    clock::time_point made;
  };
  /// A key encrypts for this long.
  static constexpr std::chrono::seconds period = std::chrono::hours(1);
  static key make();

  std::mutex mutex_;
  std::vector<key> keys_;  // the newest first
};

}  // namespace cosock::detail
