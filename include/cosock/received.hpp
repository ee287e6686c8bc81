// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cstddef>

namespace cosock {

/// One message that was received: what of it is in the buffer, and what is not.
struct received {
  std::size_t size = 0;    ///< bytes that were put into the buffer
  std::size_t length = 0;  ///< bytes that the message has: more than size if it was cut
  bool truncated = false;  ///< the message did not fit; the rest of it is gone
  bool end = false;        ///< no message, the peer has ended the connection (sequenced packets only)
};

}  // namespace cosock
