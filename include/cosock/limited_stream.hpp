// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cosock/rate_limit.hpp>
#include <cosock/stream.hpp>

#include <memory>

namespace cosock {

namespace detail {
class limited_object;
}

/// The limits of a limited_stream. Null: this direction has no limit.
struct stream_limits {
  rate_limit* receive = nullptr;  ///< of the bytes that are received
  rate_limit* send = nullptr;     ///< of the bytes that are sent
};

/// A byte_stream whose rate is limited: its operations wait until the limits allow bytes. A peer that
/// sends faster is slowed down by the flow control of the connection. Refers to the stream below and to
/// the limits, which outlive it; other code does not use the stream below meanwhile.
/// wait_peer_closed() is not supported.
class COSOCK_API limited_stream final : public byte_stream {
 public:
  /// Closed.
  limited_stream() noexcept;
  /// Limits a stream, which is open. Throws `error::closed`; std::invalid_argument for a socket with
  /// messages, which cannot be cut.
  limited_stream(byte_stream& below, const stream_limits& limits);
  /// May be moved while operations are pending.
  limited_stream(limited_stream&& other) noexcept;
  limited_stream& operator=(limited_stream&& other) noexcept;
  /// Ends pending operations with `error::closed`. The stream below stays open.
  ~limited_stream() override;

  /// Ends the sending direction of the stream below.
  void shutdown_send() override;
  /// Closes this stream, and the stream below.
  void close() noexcept override;

 private:
  std::unique_ptr<detail::limited_object> limited_;
};

}  // namespace cosock
