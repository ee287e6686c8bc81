// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#include <cosock/testing/check_datagram.hpp>

#include "testing/check_run.hpp"
#include "testing/datagram_checks.hpp"

#include <stdexcept>

namespace cosock::testing {

namespace {

template <class Endpoint>
struct request {
  const detail::datagram_check_entry<Endpoint>& entry;
  const datagram_maker<Endpoint>& make_pair;
  const datagram_traits& traits;
};

template <class Endpoint>
task<> perform(const void* argument) {
  const auto& [entry, make_pair, traits] = *static_cast<const request<Endpoint>*>(argument);
  datagram_pair<Endpoint> pair = co_await make_pair();
  detail::datagram_setting<Endpoint> in = {*pair.first,    *pair.second, pair.first_at,
                                           pair.second_at, pair,         traits};
  co_await entry.body(in);
}

template <class Endpoint>
std::vector<detail::datagram_check_entry<Endpoint>> all_checks() {
  std::vector<detail::datagram_check_entry<Endpoint>> all;
  for (const auto list :
       {detail::datagram_transfer_checks<Endpoint>(), detail::datagram_wait_checks<Endpoint>()})
    all.insert(all.end(), list.begin(), list.end());
  return all;
}

template <class Endpoint>
void check(const datagram_maker<Endpoint>& make_pair, const check_report& report,
           const datagram_traits& traits, std::string_view only) {
  bool found = false;
  for (const auto& entry : all_checks<Endpoint>()) {
    if (!only.empty() && only != entry.name) continue;
    found = true;
    const request<Endpoint> what{entry, make_pair, traits};
    report(entry.name, detail::run_check(&perform<Endpoint>, &what, traits.limit, true));
  }
  if (!found)
    throw std::invalid_argument("check_datagram: no check is called \"" + std::string(only) +
                                "\"; see datagram_check_names()");
}

}  // namespace

std::vector<std::string_view> datagram_check_names() {
  std::vector<std::string_view> names;
  for (const auto& entry : all_checks<endpoint>()) names.push_back(entry.name);
  return names;
}

void check_datagram(const datagram_maker<endpoint>& make_pair, const check_report& report,
                    const datagram_traits& traits, std::string_view only) {
  check(make_pair, report, traits, only);
}
void check_datagram(const datagram_maker<local_endpoint>& make_pair, const check_report& report,
                    const datagram_traits& traits, std::string_view only) {
  check(make_pair, report, traits, only);
}

}  // namespace cosock::testing
