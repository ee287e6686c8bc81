// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// What the library asks the simulated host of a loop for. Implemented by cosock-testing; the
// scheduler of the loop points to it, and does not own it.

#include <cstdint>
#include <string>
#include <vector>

namespace cosock::detail {

/// The answer to a look-up in a simulated network.
struct simulated_answer {
  /// 16 bytes, IPv4 addresses as IPv4-mapped ones.
  using address_bytes = unsigned char[16];
  struct entry {
    address_bytes bytes;
  };
  std::int64_t delay = 0;  ///< ns until the answer; INT64_MAX: there is no answer
  enum class kind : unsigned char { found, not_found, failed } outcome = kind::found;
  std::vector<entry> addresses;
  std::string name;
};

class simulated_host {
 public:
  /// As system::socket() and socketpair(2).
  virtual int socket(int domain, int type) noexcept = 0;
  virtual int socketpair(int type, int (&fds)[2]) noexcept = 0;
  /// The addresses of one family, or of both.
  virtual simulated_answer look_up(const std::string& name, bool v4, bool v6) = 0;
  /// The name of an address.
  virtual simulated_answer look_up(const unsigned char (&address)[16]) = 0;

 protected:
  ~simulated_host() = default;
};

}  // namespace cosock::detail
