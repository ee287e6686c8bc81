// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cosock/descriptor_stream.hpp>

#include <memory>

namespace cosock {

namespace detail {
class duplex_object;
}

/// Joins two descriptors, one to receive from and one to send to, in one byte_stream: the standard
/// output and input of a child process, or two pipes. Owns both.
class COSOCK_API duplex_stream final : public byte_stream {
 public:
  /// Closed.
  duplex_stream() noexcept;
  /// Receives from `in` and sends to `out`. Throws `error::closed` if one is not open;
  /// `error::wrong_loop` if they belong to different loops.
  duplex_stream(descriptor_stream in, descriptor_stream out);
  /// May be moved while operations are pending.
  duplex_stream(duplex_stream&& other) noexcept;
  duplex_stream& operator=(duplex_stream&& other) noexcept;
  ~duplex_stream() override;

  /// Closes the descriptor to send to, so that its reader receives the end. Receiving continues; later
  /// sends fail with broken_pipe. Idempotent. Errors: `error::busy` while a send is pending;
  /// `error::closed`.
  void shutdown_send() override;
  /// Closes both descriptors.
  void close() noexcept override;

 private:
  std::unique_ptr<detail::duplex_object> joined_;
};

}  // namespace cosock
