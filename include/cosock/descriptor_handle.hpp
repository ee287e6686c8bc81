// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cosock/detail/io_object.hpp>

#include <utility>

namespace cosock {

class passed_sockets;

/// The base of all sockets, acceptors and streams that consist of one descriptor: owns it, and closes
/// it when destroyed. `Interface` is the operations: byte_stream, a datagram socket, or those of an
/// acceptor. A default constructed object is closed, and so is one that was moved from. May be moved
/// while operations are pending: they continue. Belongs to the loop on which it was made.
template <class Interface>
class COSOCK_API descriptor_handle : public Interface {
 public:
  /// Closes the descriptor. Pending operations end with `error::closed`. Idempotent.
  void close() noexcept override;
  /// The descriptor, for options that this library does not have; -1 if closed. The object still
  /// owns it. An option that the library set for itself is reset first: TCP_INQ until the next receive
  /// that waits; for good SO_INQ of local streams, whose receives then need one more system call if they wait,
  /// and SO_TIMESTAMPNS of sequenced packets, whose receives of messages then need one more. Adopted local
  /// sockets have neither, except SO_TIMESTAMPNS during single calls behind the end of the input. A local
  /// stream that receives descriptors has no SO_INQ.
  [[nodiscard]] int native_handle() const noexcept;

 protected:
  friend class passed_sockets;
  descriptor_handle() noexcept = default;
  explicit descriptor_handle(detail::io_object* object) noexcept : Interface(object) {}
  descriptor_handle(descriptor_handle&& other) noexcept
      : Interface(std::exchange(other.object_, nullptr)) {}
  descriptor_handle& operator=(descriptor_handle&& other) noexcept;
  ~descriptor_handle() override;
  /// Returns the descriptor to the caller; -1 if closed.
  int release() noexcept;
};

}  // namespace cosock
