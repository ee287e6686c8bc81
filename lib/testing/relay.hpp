// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// Waits in the object below a faulty stream or socket, without a coroutine. Owned by that stream or
// socket, which it tells when the object is ready; it does not own the object.

#include <cosock/detail/stream_operation.hpp>

namespace cosock::testing::detail {

/// What a relay tells.
class relay_target {
 public:
  virtual void below_is_ready(cosock::detail::io_direction) noexcept = 0;

 protected:
  ~relay_target() = default;
};

class relay final : public cosock::detail::io_operation {
 public:
  relay(relay_target& target, cosock::detail::io_direction direction) noexcept : target_(target) {
    direction_ = direction;
  }
  ~relay() { stop(); }

  /// Waits until the object reports that it is ready. False if another operation waits there.
  bool wait(cosock::detail::io_object& below) {
    if (object_) return true;
    if (below.waiter[direction_]) return false;
    object_ = &below;
    below.waiter[direction_] = this;
    below.arm(direction_);
    return true;
  }
  /// The same after an attempt that moved nothing. The object may have become ready meanwhile, and
  /// does not report that again.
  bool wait_after_attempt(cosock::detail::io_object& below) {
    if (object_) return true;
    if (below.waiter[direction_]) return false;
    move_to(below);
    return true;
  }
  void stop() noexcept {
    leave();
    unlink();
  }
  void fire() override {
    leave();
    target_.below_is_ready(direction_);
  }

 private:
  cosock::detail::step attempt() override { return cosock::detail::step::done; }
  relay_target& target_;
};

}  // namespace cosock::testing::detail
