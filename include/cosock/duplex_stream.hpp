// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cosock/descriptor_stream.hpp>

#include <memory>

namespace cosock {

namespace detail {
class duplex_object;
}

/// Two descriptors, of which one is received from and one is sent to, as one byte_stream: the standard
/// output and input of a child process, two pipes. Owns both.
class COSOCK_API duplex_stream final : public byte_stream {
 public:
  /// Closed.
  duplex_stream() noexcept;
  /// Receives from `in` and sends to `out`, which must be open, and belong to one loop. Throws
  /// `error::closed`; `error::wrong_loop`.
  duplex_stream(descriptor_stream in, descriptor_stream out);
  /// May be moved while operations are pending.
  duplex_stream(duplex_stream&& other) noexcept;
  duplex_stream& operator=(duplex_stream&& other) noexcept;
  ~duplex_stream() override;

  /// Closes the descriptor that is sent to, so that its reader receives the end. Receiving goes on;
  /// later sends fail with broken_pipe. Idempotent. Errors: `error::busy` while a send is pending;
  /// `error::closed`.
  void shutdown_send() override;
  void close() noexcept override;

 private:
  std::unique_ptr<detail::duplex_object> joined_;
};

}  // namespace cosock
