// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cosock/detail/io_object.hpp>

namespace cosock::detail {

/// The object of a stream that is made from other streams: a reader, two descriptors. An operation
/// begins here. If it has to wait, it waits for the object of the stream below from then on, which
/// reports readiness. It does not own the streams below.
class COSOCK_API forwarding_object : public io_object {
 public:
  void arm(io_direction) override;
  step transfer(stream_operation&) override;
  step transfer_with_descriptors(stream_operation&, passed_descriptors&) override;
  step try_transfer(stream_operation&) final;
  peer_state peer() noexcept override;
  void count_into(byte_counter&) noexcept override;
  bool is_ready(io_direction) noexcept override;
  bool is_flushed(failure&) noexcept override;
  bool may_finish() noexcept override;
  bool forgives_lost_peer() const noexcept override;
  bool is_busy() const noexcept override;
  void describe(wait_report&, io_direction) const override;

 protected:
  forwarding_object() noexcept { maybe_ready[reading] = true; }
  ~forwarding_object() {
    if (loop) end();
  }
  /// Ends operations that have not moved on to a stream below yet, and closes this.
  void end() noexcept;
  /// The object of the stream for this direction; null if that is closed.
  virtual io_object* below(io_direction) const noexcept = 0;

 private:
  step forward(stream_operation&, passed_descriptors*);
  io_object* open_below(io_direction) const noexcept;
};

}  // namespace cosock::detail
