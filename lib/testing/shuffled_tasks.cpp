// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// Which of the ready tasks runs next: any, by the seed, and sometimes with a small budget.

#include "testing/shuffled_tasks.hpp"

#include <utility>

namespace cosock::testing::detail {

namespace {

using cosock::detail::link;

bool has_none(const link& head) noexcept { return head.following == &head; }

/// Moves all entries of a list to the end of another one.
void append(link& to, link& from) noexcept {
  while (!has_none(from)) {
    link& first = *from.following;
    first.unlink();
    first.insert_before(to);
  }
}

}  // namespace

shuffled_tasks::shuffled_tasks(cosock::detail::engine& loop, std::uint64_t seed) noexcept
    : loop_(loop), random_(seed) {
  for (link* head : {&round_, &arrived_, &yielded_[0], &yielded_[1]})
    cosock::detail::make_circular(*head);
}

shuffled_tasks::~shuffled_tasks() {
  unlink();
  for (link* head : {&round_, &arrived_, &yielded_[0], &yielded_[1]})
    while (!has_none(*head)) head->following->unlink();
}

void shuffled_tasks::gather() noexcept {
  unlink();
  append(arrived_, loop_.ready_queue());
  append(yielded_[1], loop_.next_turn());
}

bool shuffled_tasks::is_empty() const noexcept {
  return has_none(round_) && has_none(arrived_) && has_none(yielded_[0]) && has_none(yielded_[1]);
}

void shuffled_tasks::offer() noexcept {
  if (!is_empty()) insert_before(loop_.ready_queue());
}

void shuffled_tasks::fire() {
  gather();
  while (has_none(round_) && !is_empty()) {
    append(round_, arrived_);
    append(round_, yielded_[0]);
    append(yielded_[0], yielded_[1]);
  }
  const std::size_t of_round = cosock::detail::length(round_);
  const std::size_t all = of_round + cosock::detail::length(arrived_);
  if (all == 0) return;
  std::size_t at = random_.below(all);
  link* chosen = at < of_round ? round_.following : arrived_.following;
  if (at >= of_round) at -= of_round;
  while (at-- != 0) chosen = chosen->following;
  chosen->unlink();
  // Half of the times a task has a small budget: an operation that could complete at once, the first or
  // one of the next, yields before.
  if (random_.chance(0.5)) loop_.budget = static_cast<int>(random_.below(4));
  static_cast<operation&>(*chosen).fire();
  while (loop_.next) std::exchange(loop_.next, nullptr).resume();
  gather();
  // In the next turn, so that the loop looks for input between any two.
  if (!is_empty()) insert_before(loop_.next_turn());
}

}  // namespace cosock::testing::detail
