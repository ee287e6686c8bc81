// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// A random order of the ready tasks of a loop. Owned by a reactor of cosock-testing, which calls it at
// the beginning of each turn.

#include "loop/engine.hpp"
#include "testing/random.hpp"

namespace cosock::testing::detail {

/// Takes all ready operations out of the queues of the scheduler, which finds one operation there: it
/// runs one of them.
class shuffled_tasks final : private cosock::detail::operation {
 public:
  shuffled_tasks(cosock::detail::engine& loop, std::uint64_t seed) noexcept;
  ~shuffled_tasks();

  /// Takes what is ready.
  void gather() noexcept;
  /// Lets the scheduler run one in this turn, if any was gathered.
  void offer() noexcept;
  bool is_empty() const noexcept;

 private:
  void fire() override;
  void cancel() noexcept override {}

  cosock::detail::engine& loop_;
  random random_;
  // Those of this round, and those that became ready in it. One that yields takes part from the round
  // after the next: all that were ready have run then.
  cosock::detail::link round_;
  cosock::detail::link arrived_;
  cosock::detail::link yielded_[2];
};

}  // namespace cosock::testing::detail
