// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// Chooses what happens to the datagrams of one direction of a faulty socket: by their numbers and a seed.
// Belongs to the state of the socket.

#include <cosock/testing/faulty_datagram.hpp>

#include "testing/random.hpp"

#include <algorithm>
#include <optional>
#include <vector>

namespace cosock::testing::detail {

/// What happens to a datagram.
struct fate : datagram_fault {
  std::optional<std::uint64_t> cut = std::nullopt;  // a random number for its length

  bool is_late() const noexcept { return held_back != 0 || delay > time_span::zero(); }
  bool is_plain() const noexcept {
    return !dropped && duplicates == 0 && !cut && !cut_to && !is_late();
  }
  std::size_t size_of(std::size_t whole) const noexcept {
    if (cut_to) return std::min(*cut_to, whole);
    return cut && whole != 0 ? static_cast<std::size_t>(*cut % whole) : whole;
  }
};

class datagram_fates {
 public:
  /// Throws std::invalid_argument if the faults of this direction are not valid.
  datagram_fates(const datagram_direction_faults&, const char* direction, std::uint64_t seed);

  /// Whether the operation for the next datagram fails; sets the error.
  bool fails(boost::system::error_code&) noexcept;
  /// What happens to the next datagram: the same answer until next() is called.
  const fate& choose() noexcept;
  /// The next datagram was taken. Returns its number.
  std::uint64_t next() noexcept {
    chosen_.reset();
    return number_++;
  }
  /// The number of the next datagram.
  std::uint64_t number() const noexcept { return number_; }
  const datagram_direction_faults& faults() const noexcept { return faults_; }
  std::int64_t hold_limit() const noexcept;

 private:
  const datagram_direction_faults faults_;  // without `list`, which may be gone
  const std::vector<datagram_fault> list_;  // sorted
  random random_;
  std::uint64_t number_ = 0;
  std::optional<fate> chosen_;
};

}  // namespace cosock::testing::detail
