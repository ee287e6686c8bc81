// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cstdint>
#include <utility>

namespace cosock::detail {

/// Counts the bytes that several streams of one loop move. Shared by these streams and by serve();
/// the last one to drop it destroys it. Not atomic: all of them are on one loop.
///
/// A counter of one stream (with_progress) takes the place of the counter that the stream had, its
/// total, and is added to it when it ends. So a stream counts into one counter only.
struct byte_counter {
  std::uint64_t in = 0;
  std::uint64_t out = 0;
  int shares = 1;

  void share() noexcept { ++shares; }
  void drop() noexcept {
    if (--shares == 0) delete this;
  }
  /// For a stream: counts into `next` from now on, instead of `used`, which may be null.
  static void replace(byte_counter*& used, byte_counter& next) noexcept {
    byte_counter* const before = std::exchange(used, &next);
    next.share();
    if (!before) return;
    if (next.total_ || before == &next) return before->drop();
    // A counter that only the stream still has is not needed any more.
    byte_counter* const total = before->shares == 1 && before->total_ ? before->total_ : before;
    total->share();
    next.total_ = total;
    next.following_ = std::exchange(total->parts_, &next);
    before->drop();
  }
  /// With the counters whose total this is.
  std::uint64_t all_in() const noexcept { return all(&byte_counter::in); }
  std::uint64_t all_out() const noexcept { return all(&byte_counter::out); }

 private:
  ~byte_counter() {
    if (!total_) return;
    total_->in += in;
    total_->out += out;
    byte_counter** at = &total_->parts_;
    while (*at != this) at = &(*at)->following_;
    *at = following_;
    total_->drop();
  }
  std::uint64_t all(std::uint64_t byte_counter::*which) const noexcept {
    std::uint64_t sum = this->*which;
    for (const byte_counter* part = parts_; part; part = part->following_) sum += part->all(which);
    return sum;
  }
  byte_counter* total_ = nullptr;
  byte_counter* parts_ = nullptr;
  byte_counter* following_ = nullptr;
};

}  // namespace cosock::detail
