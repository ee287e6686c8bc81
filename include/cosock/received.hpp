// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cstddef>

namespace cosock {

/// What came of receiving one message or datagram.
struct received {
  /// How many bytes are in the buffer.
  std::size_t size = 0;
  /// How many the message had: more than `size` where it did not fit.
  std::size_t length = 0;
  /// Whether it did not fit. The bytes that are not in the buffer are lost.
  bool truncated = false;
  /// Whether there was no message, because the peer has ended the stream. An empty message is none.
  bool end = false;
};

}  // namespace cosock
