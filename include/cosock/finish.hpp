// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cosock/duration.hpp>
#include <cosock/stream.hpp>

#include <cstddef>

namespace cosock {

/// How long byte_stream::finish() waits for the end of the peer.
struct finish_options {
  /// For everything: sending what the stream holds, and waiting for the end. Zero or less: finish()
  /// is close().
  time_span timeout = std::chrono::seconds(2);
  /// Bytes of the peer that are discarded meanwhile; after more the stream is closed.
  std::size_t max_discard = 256 << 10;
};

// Implementation

/// For byte_stream::finish(), which finds it here without the cost of <chrono> for every stream.
template <class Rep, class Period>
task<bool> finish_within(byte_stream& stream, std::chrono::duration<Rep, Period> timeout) {
  return stream.finish(finish_options{.timeout = timeout});
}

}  // namespace cosock
