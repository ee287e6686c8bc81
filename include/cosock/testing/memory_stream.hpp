// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cosock/stream.hpp>

#include <cstddef>
#include <memory>
#include <optional>
#include <utility>

namespace cosock::testing {

namespace detail {
class memory_connection;
class memory_end;
}  // namespace detail

/// Options of memory_pair().
struct memory_options {
  /// The size of the buffer of each direction in bytes, at least 1. A send waits while it is full.
  std::size_t room = 64 << 10;
  /// The largest number of bytes of one receive() or send_some(), at least 1; send() still sends all bytes.
  /// std::nullopt: no limit.
  std::optional<std::size_t> piece = std::nullopt;
};

/// One end of a connection in memory, made by memory_pair(), lockstep_pair() or a memory_listener.
/// Uses no descriptor and no system call, and behaves as a connected TCP socket: half close, the end,
/// broken_pipe after the peer has closed, and a reset.
///
/// Belongs to one loop. May be moved while operations are pending. Sending and receiving allocate
/// nothing.
class COSOCK_API memory_stream final : public byte_stream {
 public:
  memory_stream(memory_stream&& other) noexcept;
  /// Closes this stream first.
  memory_stream& operator=(memory_stream&& other) noexcept;
  ~memory_stream() override;

  /// Ends the sending direction, as byte_stream::shutdown_send().
  void shutdown_send() override;
  /// Closes the stream, as byte_stream::close(): the peer receives the bytes that were sent, then the end.
  void close() noexcept override;
  /// Resets the connection: the peer receives the bytes that were sent, then connection_reset.
  void abort() noexcept;
  /// The number of bytes from the peer that wait for receive(); 0 if the stream is closed. A send moves its
  /// bytes into a receive that waits, so these are not counted.
  [[nodiscard]] std::size_t available() const noexcept;

 private:
  friend class detail::memory_connection;
  explicit memory_stream(std::shared_ptr<detail::memory_end> end) noexcept;

  std::shared_ptr<detail::memory_end> end_;  // null: moved from
};

/// Returns two connected streams on the running loop. Throws std::invalid_argument for a `room` or
/// `piece` of 0; std::logic_error if no loop runs on this thread; std::bad_alloc.
[[nodiscard]] COSOCK_API std::pair<memory_stream, memory_stream> memory_pair(
    const memory_options& options = {});

/// Returns two connected streams without buffers: a send completes when receives of the peer have taken all
/// its bytes, and wait_writable() when the peer waits in a receive. So a program that relies on the buffers
/// of the system waits forever. Throws as memory_pair() does.
[[nodiscard]] COSOCK_API std::pair<memory_stream, memory_stream> lockstep_pair();

}  // namespace cosock::testing
