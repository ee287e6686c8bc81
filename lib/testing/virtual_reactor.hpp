// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// The reactor of a virtual loop: it stands between the scheduler and the reactor of the system, decides
// when virtual time may jump, and in which order ready tasks run. Owned by virtual_loop. It owns neither
// operations nor watches.

#include <cosock/testing/virtual_loop.hpp>

#include "loop/engine.hpp"
#include "testing/random.hpp"
#include "testing/shuffled_tasks.hpp"

#include <memory>
#include <optional>
#include <vector>

namespace cosock::testing::detail {

using cosock::detail::engine;
using cosock::detail::io_watch;

/// The present of one loop, or of the loops of all hosts of a network.
struct virtual_time {
  /// The beginning. Any number would do, as long as no time of a test is before zero.
  static constexpr std::int64_t start = 1'000'000'000'000'000;
  std::int64_t now = start;
};

class virtual_reactor final : public cosock::detail::reactor_layer {
 public:
  virtual_reactor(const virtual_loop_options&, std::shared_ptr<virtual_time>);

  void attach(cosock::detail::reactor& below, engine& above) noexcept override;

  void add(io_watch&, int fd) override;
  void add_writable(io_watch& w) noexcept override { below_->add_writable(w); }
  void remove(io_watch&) noexcept override;
  unsigned wait(std::int64_t deadline, bool may_wait) override;
  void wake() noexcept override { below_->wake(); }
  std::int64_t now() noexcept override { return time_->now; }
  std::int64_t age(std::uint64_t stamp) noexcept override {
    return time_->now - static_cast<std::int64_t>(stamp);
  }
  bool has_other_work() const noexcept override { return below_->has_other_work(); }
  std::uint64_t random_number() override { return random_.next(); }

  std::uint64_t seed() const noexcept { return seed_; }
  /// The time at which the next timer of the loop needs a turn; INT64_MAX: none.
  std::int64_t deadline() const noexcept { return loop_->deadline(); }
  /// Whether something from outside may still make a task ready.
  bool expects_input() const noexcept;
  /// What all tasks of the loop wait for, a line each.
  std::string waits() const;

 private:
  unsigned look();
  unsigned wait_in_real_time(std::int64_t deadline);
  unsigned pass_time(std::int64_t deadline);

  const virtual_loop_options options_;
  const std::uint64_t seed_;
  random random_;
  const std::shared_ptr<virtual_time> time_;
  cosock::detail::reactor* below_ = nullptr;
  engine* loop_ = nullptr;
  std::vector<io_watch*> watches_;
  std::optional<shuffled_tasks> shuffled_;  // not for those that are first come, first served
};

}  // namespace cosock::testing::detail
