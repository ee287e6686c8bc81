// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cosock/duration.hpp>
#include <cosock/error.hpp>
#include <cosock/stream.hpp>
#include <cosock/task.hpp>

#include <cstdint>

namespace cosock {

/// How copy() and copy_both() do their work.
struct copy_options {
  /// Bytes of the buffer, one for each direction. 0 counts as 1; more than PTRDIFF_MAX are
  /// std::invalid_argument, and more than there is memory for std::bad_alloc.
  std::size_t buffer = 64 << 10;
  /// For copy_both: how long it goes on without a byte in either direction. Zero or less: nothing is
  /// copied. No limit by default.
  time_span idle = (std::chrono::nanoseconds::max)();
};

/// Receives from one stream and sends to the other until the first one ends; gives the number of
/// bytes. Leaves both open: shutting `to` down is the caller's to do. Where both are sockets and
/// much is there, the bytes do not pass through the program (splice(2)).
///
/// Throws what receiving and sending throw; as transfer_error, with the number of bytes that were
/// sent, if there are any. Cancelled or failed: bytes that were received and could not be sent any
/// more are lost, as many as the buffer holds (a pipe of up to 1 MiB between sockets).
COSOCK_API task<std::uint64_t> copy(byte_stream& from, byte_stream& to, copy_options options = {});

/// What copy_both came to.
struct copy_result {
  std::uint64_t first_to_second = 0;  ///< bytes that were sent
  std::uint64_t second_to_first = 0;  ///< likewise
  boost::system::error_code error;  ///< the first error; none if both directions ended in order
};

/// Copies in both directions at once, for proxies: where one stream ends, the other is shut down
/// for sending, and the opposite direction goes on until it ends too. A stream that cannot be shut
/// down for sending (a terminal, a serial line) stays as it is, and the opposite direction goes on.
/// Leaves both streams open.
///
/// An error in receiving ends both directions. After an error in sending to a stream, what that
/// stream's peer sent before is still received and passed on, until the opposite direction ends too.
///
/// Returns the numbers of bytes, and the first error: errors of streams and cancellation are not
/// thrown. `error::timed_out` where the idle limit has passed. Bytes that were received and not sent
/// are lost, as in copy().
COSOCK_API task<copy_result> copy_both(byte_stream& first, byte_stream& second,
                                  copy_options options = {});

}  // namespace cosock
