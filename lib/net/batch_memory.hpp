// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// The part of a batch that the system reads and writes. Apart from the public header, which
// includes no header of the system.

#include <cosock/datagram.hpp>

#include "net/control_messages.hpp"

#include <memory>
#include <new>

namespace cosock::detail {

/// What a batch hands to the system.
struct message_slots {
  std::size_t capacity = 0;
  std::size_t smallest = 0;  // of the buffers
  std::unique_ptr<mmsghdr[]> headers;
  std::unique_ptr<iovec[]> pieces;
  std::unique_ptr<name_buffer[]> names;
  std::unique_ptr<control_buffer[]> controls;
  struct release {
    void operator()(char* p) const noexcept { ::operator delete[](p, page); }
  };
  std::unique_ptr<char[], release> memory;
  /// Copying is several times slower into memory that is not aligned.
  static constexpr std::align_val_t page{4096};
};

/// How many datagrams a slot has.
inline std::size_t datagrams_in(const batch_slot& slot) noexcept {
  return slot.size == 0 ? 1 : (slot.size + slot.segment - 1) / slot.segment;
}

}  // namespace cosock::detail
