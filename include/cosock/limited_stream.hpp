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

/// The limits of a limited_stream, in bytes a second. Null: no limit in this direction.
struct stream_limits {
  rate_limit* receive = nullptr;  ///< for received bytes
  rate_limit* send = nullptr;     ///< for sent bytes
};

/// Limits the rate of another stream: its operations wait until the limits allow at least one byte. A
/// peer that sends faster is slowed down by the flow control of the connection. The stream below and the
/// limits belong to the same loop and must outlive this object; meanwhile, other code must not use the
/// stream below. wait_peer_closed() fails with operation_not_supported.
class COSOCK_API limited_stream final : public byte_stream {
 public:
  /// Closed.
  limited_stream() noexcept;
  /// Limits `below`. Throws `error::closed` if it is not open; std::invalid_argument for a socket of
  /// messages, which cannot be sent in parts.
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
