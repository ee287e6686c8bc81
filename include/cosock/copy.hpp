// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cosock/duration.hpp>
#include <cosock/error.hpp>
#include <cosock/stream.hpp>
#include <cosock/task.hpp>

#include <cstdint>
#include <string>

namespace cosock {

/// How copy() and copy_both() do their work.
struct copy_options {
  /// Size of the buffer in bytes; each direction has one. 0 counts as 1. The call throws
  /// std::invalid_argument for more than PTRDIFF_MAX, and std::bad_alloc.
  std::size_t buffer = 64 << 10;
  /// For copy_both: how long it waits without a byte in either direction. Zero or less: nothing is
  /// copied. No limit by default.
  time_span idle = unlimited;
};

/// Receives from one stream and sends to the other until the first one ends. Returns the number of
/// bytes. Both stay open: the caller shuts `to` down. If both are sockets and much input is
/// available, the bytes do not pass through the program (splice(2)).
///
/// Throws the errors of receiving and sending, as transfer_error with the number of bytes that were
/// sent, if any were. After an error or a cancellation, bytes that were received but not sent are
/// lost: at most the size of the buffer, or of a pipe of up to 1 MiB between sockets.
COSOCK_API task<std::uint64_t> copy(byte_stream& from, byte_stream& to, copy_options options = {});

/// Receives until the end of the stream. Returns the bytes, at most `max_size`. Errors:
/// `error::frame_too_long`, with the limit in what(), if there are more; those of receiving. After an
/// error or a cancellation, the bytes that were received are lost. The stream stays open.
COSOCK_API task<std::string> receive_to_end(byte_stream& from, std::size_t max_size);

/// The result of copy_both.
struct copy_result {
  std::uint64_t first_to_second = 0;  ///< bytes that were sent
  std::uint64_t second_to_first = 0;  ///< likewise
  boost::system::error_code error;  ///< the first error; success if both directions ended in order
};

/// Copies in both directions at once, for proxies. When one stream ends, the other is shut down for
/// sending, and the opposite direction continues until it ends too. A stream that cannot be shut
/// down for sending (a terminal, a serial line) stays as it is. Both streams stay open.
///
/// An error of receiving ends both directions. After an error of sending to a stream, data that is
/// received from that stream is still copied to the other one, until it ends.
///
/// Returns the numbers of bytes and the first error. Errors of streams, cancellation, and a passed
/// idle limit (`error::timed_out`) are not thrown. Bytes that were received but not sent are lost, as
/// in copy().
COSOCK_API task<copy_result> copy_both(byte_stream& first, byte_stream& second,
                                       copy_options options = {});

}  // namespace cosock
