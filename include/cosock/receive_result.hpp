// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cstddef>

namespace cosock {

/// The result of receiving one message or datagram.
struct receive_result {
  /// The number of bytes in the buffer.
  std::size_t size = 0;
  /// The number of bytes of the message: more than `size` if the message did not fit.
  std::size_t length = 0;
  /// True if the message did not fit. The bytes that are not in the buffer are lost.
  bool truncated = false;
  /// True at the end of the stream. A message of zero length does not set it.
  bool end = false;
};

}  // namespace cosock
