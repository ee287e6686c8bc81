// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// What the objects of custom streams and custom datagram sockets share. It calls functions of the
// program, which owns the stream or socket; the object belongs to that.

#include <cosock/detail/io_object.hpp>
#include <cosock/error.hpp>

#include "core/failure.hpp"
#include "core/scheduler.hpp"

#include <optional>

namespace cosock::detail {

/// An object whose functions are the program's. It stays where it is when its owner is moved, because
/// pending operations and the loop refer to it.
class custom_base : public io_object, private loop_service {
 public:
  /// From inside a call, the operation that made it continues by itself, and must not be scheduled.
  void notify(io_direction direction) noexcept {
    if (calling_ == direction)
      maybe_ready[direction] = true;
    else if (loop)
      ready(direction);
  }
  void arm(io_direction) override {}  // the program reports readiness without being asked

 protected:
  explicit custom_base(scheduler& owner) noexcept {
    loop = &owner;
    maybe_ready[reading] = true;
    owner.add_service(*this);
  }
  ~custom_base() = default;

  /// Ends the pending operations, and tells the program unless that has destroyed its object.
  void close_now(bool tell) noexcept {
    if (!loop) return;
    scheduler& owner = scheduler::get(*loop);
    abandon(closed_failure());
    loop_service::unlink();
    loop = nullptr;
    if (tell) on_closed();
    owner.on_object_closed();
  }
  virtual void on_closed() noexcept = 0;

  static constexpr std::size_t max_pieces = 64;  // in one call of the program
  static bool would_block(const boost::system::error_code& code) {
    return code == boost::system::errc::operation_would_block ||
           code == boost::system::errc::resource_unavailable_try_again;
  }

  std::optional<io_direction> calling_;  // a function of the program is on the stack

 private:
  void on_loop_shutdown() noexcept final {
    abandon(closed_failure());
    loop = nullptr;
    on_closed();
  }
};

}  // namespace cosock::detail
