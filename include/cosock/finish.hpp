// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cosock/duration.hpp>
#include <cosock/stream.hpp>

#include <cstddef>

namespace cosock {

/// The limits of byte_stream::finish().
struct finish_options {
  /// The limit for sending the buffered data and receiving the end of the stream, together. Zero or
  /// less: closes at once, without sending buffered data and without an error.
  time_span timeout = std::chrono::seconds(2);
  /// The largest number of input bytes to discard. If more arrive, the stream is closed.
  std::size_t max_discard = 256 << 10;
};

// Implementation

/// Called by byte_stream::finish(), so that stream.hpp does not include <chrono>.
template <class Rep, class Period>
task<bool> finish_within(byte_stream& stream, std::chrono::duration<Rep, Period> timeout) {
  return stream.finish(finish_options{.timeout = timeout});
}

}  // namespace cosock
