// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#include <cosock/testing/check_stream.hpp>

#include "testing/check_run.hpp"
#include "testing/stream_checks.hpp"

namespace cosock::testing {

namespace {

struct request {
  const detail::stream_check_entry& entry;
  const detail::stream_setting& setting;
};

task<> perform(const void* argument) {
  const auto& [entry, setting] = *static_cast<const request*>(argument);
  const stream_pair pair = co_await setting.make_pair();
  co_await entry.body(*pair.first, *pair.second, setting);
}

unsigned promised(const stream_traits& t) {
  namespace needs = detail::needs;
  return (t.reset ? needs::reset : 0u) | (t.half_close ? needs::half_close : 0u) |
         (t.bounded ? needs::bounded : 0u) | (t.buffers ? needs::buffers : 0u) |
         (t.tells_of_close ? needs::tells_of_close : 0u) |
         (t.delivers_after_close ? needs::delivers_after_close : 0u) |
         (t.delivers_cancelled_after_close ? needs::delivers_cancelled_after_close : 0u) |
         (t.ends_after_close ? needs::ends_after_close : 0u) |
         (t.stays_in_loop ? needs::stays_in_loop : 0u) | (t.owns ? needs::owns : 0u) |
         (t.bytes ? needs::bytes : 0u);
}

}  // namespace

std::string_view stream_check::name() const noexcept { return entry_->name; }

bool stream_check::applies(const stream_traits& traits) const noexcept {
  return (entry_->needed & ~promised(traits)) == 0;
}

std::string stream_check::run(const stream_maker& make_pair, const stream_traits& traits) const {
  const detail::stream_setting setting(traits, make_pair);
  detail::largest_send = traits.bytes ? detail::huge : 4000;
  const request what{*entry_, setting};
  return detail::run_check(&perform, &what, traits.limit, traits.closes_at_once);
}

std::vector<stream_check> stream_checks() {
  std::vector<stream_check> all;
  for (const auto list : {detail::buffers_checks(), detail::cancel_checks(), detail::close_checks(),
                          detail::half_close_checks(), detail::time_limits_checks(),
                          detail::transfers_checks(), detail::waits_checks()})
    for (const detail::stream_check_entry& entry : list) all.push_back(stream_check(entry));
  return all;
}

void check_stream(const stream_maker& make_pair, const check_report& report,
                  const stream_traits& traits) {
  for (const stream_check& check : stream_checks())
    if (check.applies(traits)) report(check.name(), check.run(make_pair, traits));
}

}  // namespace cosock::testing
