// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// A hash of what happens on a simulated host. Of numbers and bytes only, never of addresses in memory.

#include <cstddef>
#include <cstdint>
#include <string>

namespace cosock::testing::detail {

/// What a trace records.
enum class traced : std::uint64_t {
  arrival = 1,
  loss,
  duplicate,
  start,
  end,
  crash,
  stop,
  restart,
  look_up
};

class trace {
 public:
  void add(std::uint64_t value) noexcept {
    hash_ = (hash_ ^ value) * 0x9e3779b97f4a7c15;
    hash_ ^= hash_ >> 32;
  }
  void add(const std::string& bytes) noexcept {
    const char* data = bytes.data();
    std::size_t size = bytes.size();
    add(size);
    for (; size >= 8; data += 8, size -= 8) add(word(data, 8));
    if (size) add(word(data, size));
  }
  std::uint64_t hash() const noexcept { return hash_; }

 private:
  /// Little-endian on every machine.
  static std::uint64_t word(const char* data, std::size_t size) noexcept {
    std::uint64_t value = 0;
    for (std::size_t i = 0; i != size; ++i)
      value |= std::uint64_t{static_cast<unsigned char>(data[i])} << (8 * i);
    return value;
  }
  std::uint64_t hash_ = 0x243f6a8885a308d3;
};

}  // namespace cosock::testing::detail
