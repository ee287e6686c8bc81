// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// Which faults a plan has for each datagram, and plans by seed. Used by faulty_datagram.cpp.

#include "testing/datagram_fates.hpp"

#include <cosock/detail/timer.hpp>

#include <stdexcept>
#include <string>
#include <utility>

namespace cosock::testing {

namespace detail {

namespace {

using cosock::detail::later;

std::int64_t positive(const time_span& span) noexcept {
  return std::max<std::int64_t>(span.count(), 0);
}
time_span span_of(std::int64_t ns) noexcept { return std::chrono::nanoseconds(ns); }

/// Returns the faults of single datagrams in the order of their numbers.
std::vector<datagram_fault> check(const datagram_direction_faults& faults,
                                  const std::string& direction) {
  const auto refuse = [&](const std::string& text) {
    throw std::invalid_argument("datagram_fault_plan::" + direction + '.' + text);
  };
  for (const auto& [value, name] : {std::pair(faults.loss, "loss"),
                                    {faults.duplication, "duplication"},
                                    {faults.reordering, "reordering"},
                                    {faults.truncation, "truncation"}})
    if (!(value >= 0 && value <= 1))
      refuse(std::string(name) + " is " + std::to_string(value) +
             "; it is a probability, from 0 to 1");
  if (faults.max_held_back == 0) refuse("max_held_back is 0; it is at least 1");
  if (faults.room == 0) refuse("room is 0; it is at least 1");
  std::vector<datagram_fault> list(faults.list.begin(), faults.list.end());
  std::ranges::sort(list, {}, &datagram_fault::at);
  const auto twice = std::ranges::adjacent_find(list, {}, &datagram_fault::at);
  if (twice != list.end())
    refuse("list has the number " + std::to_string(twice->at) + " more than once");
  return list;
}

}  // namespace

datagram_fates::datagram_fates(const datagram_direction_faults& faults, const char* direction,
                               std::uint64_t seed)
    : faults_(faults), list_(check(faults, direction)), random_(seed) {}

std::int64_t datagram_fates::hold_limit() const noexcept { return positive(faults_.hold_limit); }

bool datagram_fates::fails(boost::system::error_code& code) noexcept {
  if (number_ != faults_.error_at) return false;
  code = faults_.error;
  next();
  return true;
}

const fate& datagram_fates::choose() noexcept {
  if (chosen_) return *chosen_;
  fate& f = chosen_.emplace();
  // As many random numbers for each, so that the fate of one does not change that of others.
  f.dropped = random_.chance(faults_.loss);
  f.duplicates = random_.chance(faults_.duplication) ? 1 : 0;
  const bool reordered = random_.chance(faults_.reordering);
  const std::uint64_t behind = 1 + random_.below(faults_.max_held_back);
  if (reordered) f.held_back = static_cast<std::size_t>(behind);
  const bool truncated = random_.chance(faults_.truncation);
  const std::uint64_t cut = random_.next();
  if (truncated) f.cut = cut;
  const std::uint64_t late = random_.next();
  const auto listed = std::ranges::lower_bound(list_, number_, {}, &datagram_fault::at);
  if (listed != list_.end() && listed->at == number_) {
    static_cast<datagram_fault&>(f) = *listed;
    f.cut.reset();
  }
  std::int64_t delay = later(positive(f.delay), positive(faults_.delay));
  if (const auto jitter = static_cast<std::uint64_t>(positive(faults_.jitter)))
    delay = later(delay, static_cast<std::int64_t>(late % (jitter + 1)));
  f.delay = span_of(delay);
  return f;
}

}  // namespace detail

datagram_fault_plan random_datagram_faults(std::uint64_t seed, std::uint64_t datagrams) {
  if (datagrams == 0)
    throw std::invalid_argument("random_datagram_faults: 0 datagrams; there is at least 1");
  detail::random random(seed);
  datagram_fault_plan plan;
  plan.seed = random.next();
  for (datagram_direction_faults* faults : {&plan.receive, &plan.send}) {
    const std::uint64_t kinds = 1 + random.below(7);  // a set of three
    for (const auto& [bit, probability] :
         {std::pair(1u, &faults->loss), {2u, &faults->duplication}, {4u, &faults->reordering}}) {
      const double chosen = 0.01 * static_cast<double>(1 + random.below(30));
      if (kinds & bit) *probability = chosen;
    }
    if (random.below(4) == 0) faults->jitter = std::chrono::milliseconds(1 + random.below(10));
  }
  if (random.below(4) == 0)
    (random.below(2) == 0 ? plan.receive : plan.send).error_at = random.below(datagrams);
  return plan;
}

}  // namespace cosock::testing
