// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#include <cosock/testing/check_datagram.hpp>

#define BOOST_TEST_MODULE testing_datagrams
#include "datagram_kinds.hpp"
#include "support.hpp"

#include <cosock/testing/faulty_datagram.hpp>
#include <cosock/testing/memory_datagram.hpp>

#include <array>
#include <limits>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

// Every kind of datagram socket keeps every promise, and those in memory are as faulty as they should be.

namespace {

using boost::system::system_error;
using cosock::task;
using cosock::testing::check_datagram;
using cosock::testing::datagram_check_names;
using cosock::testing::datagram_maker;
using cosock::testing::datagram_pair;
using cosock::testing::datagram_traits;
using cosock::testing::faulty_datagram_socket;
using cosock::testing::memory_datagram_pair;
using test::is;
using namespace std::chrono_literals;
namespace errc = boost::system::errc;

/// Registers a suite of this name with a test case for every check.
template <class Endpoint>
void register_checks(const char* name, datagram_maker<Endpoint> make, datagram_traits traits = {}) {
  auto* suite = BOOST_TEST_SUITE(name);
  for (const std::string_view check : datagram_check_names()) {
    const auto run = [check, make, traits] {
      const test::alarm_clock guard;
      const auto report = [](std::string_view, std::string_view failure) {
        BOOST_TEST(failure.empty(), failure);
      };
      check_datagram(make, report, traits, check);
    };
    suite->add(boost::unit_test::make_test_case(run, std::string(check), __FILE__, __LINE__));
  }
  boost::unit_test::framework::current_auto_test_suite().add(suite);
}

template <class Kind>
auto pair_of() -> task<datagram_pair<typename Kind::socket::endpoint_type>> {
  auto one = Kind::make();
  auto other = Kind::make();
  Kind::make_room(one);
  Kind::make_room(other);
  co_return std::pair(std::move(one), std::move(other));
}
/// The same behind a faulty socket without a fault.
template <class Kind>
auto faulty_pair_of() -> task<datagram_pair<typename Kind::socket::endpoint_type>> {
  using endpoint = typename Kind::socket::endpoint_type;
  const auto wrap = [] {
    auto socket = Kind::make();
    Kind::make_room(socket);
    const endpoint at = socket.local_endpoint();
    return std::pair(std::make_unique<faulty_datagram_socket<endpoint>>(std::move(socket)), at);
  };
  auto [one, one_at] = wrap();
  auto [other, other_at] = wrap();
  co_return datagram_pair<endpoint>(std::move(one), std::move(other), one_at, other_at);
}
template <class Kind>
bool register_faulty(const char* name) {
  using endpoint = typename Kind::socket::endpoint_type;
  // A custom_datagram_socket takes so many buffers.
  register_checks<endpoint>(name, datagram_maker<endpoint>(faulty_pair_of<Kind>), {.buffers = 64});
  return true;
}
template <class Kind>
bool register_kind(const char* name) {
  using endpoint = typename Kind::socket::endpoint_type;
  register_checks<endpoint>(name, datagram_maker<endpoint>(pair_of<Kind>));
  return true;
}

using namespace test::datagram_kinds;
const bool registered[] = {
    register_kind<udp_v4>("udp_v4"),
    register_kind<udp_v6>("udp_v6"),
    register_kind<udp_offload>("udp_with_offload"),
    register_kind<udp_no_offload>("udp_without_offload"),
    register_kind<local_abstract>("local_abstract"),
    register_kind<local_path>("local_path"),
    register_faulty<udp_v4>("faulty_udp_v4"),
    register_faulty<udp_offload>("faulty_udp_with_offload"),
    register_faulty<local_abstract>("faulty_local"),
};
const bool registered_memory = [] {
  const auto make = []() -> task<datagram_pair<cosock::endpoint>> {
    co_return memory_datagram_pair();
  };
  // A custom_datagram_socket takes so many buffers.
  register_checks<cosock::endpoint>("memory", make, {.buffers = 64});
  return true;
}();

/// Sends numbers, and returns what arrives.
task<std::vector<std::string>> pass(cosock::testing::datagram_faults faults, int count) {
  auto [a, b] = memory_datagram_pair({.room = 1000, .faults = faults});
  for (int i = 0; i != count; ++i) co_await a.send(std::to_string(1000 + i));
  std::vector<std::string> all;
  for (;;) {
    char into[16];
    const auto one = co_await cosock::as_result(cosock::with_timeout(1ms, b.receive(into)));
    if (!one) co_return all;
    all.emplace_back(into, one->size);
  }
}

}  // namespace

COROUTINE_TEST_CASE(without_faults_all_arrive_in_order) {
  const auto all = co_await pass({}, 100);
  BOOST_REQUIRE(all.size() == 100u);
  for (int i = 0; i != 100; ++i)
    BOOST_TEST(all[static_cast<std::size_t>(i)] == std::to_string(1000 + i));
}

COROUTINE_TEST_CASE(datagrams_are_lost_doubled_reordered_and_truncated_by_the_seed) {
  const auto lost = co_await pass({.loss = 0.3}, 500);
  BOOST_TEST(lost.size() > 300u);
  BOOST_TEST(lost.size() < 400u);
  BOOST_TEST((co_await pass({.loss = 0.3}, 500) == lost));
  BOOST_TEST((co_await pass({.loss = 0.3, .seed = 2}, 500) != lost));
  BOOST_TEST((co_await pass({.loss = 1}, 50)).empty());
  BOOST_TEST((co_await pass({.duplication = 1}, 50)).size() == 100u);
  const auto shuffled = co_await pass({.reordering = 0.5}, 50);
  BOOST_TEST(shuffled.size() == 50u);
  BOOST_TEST(!std::is_sorted(shuffled.begin(), shuffled.end()));
  for (const std::string& one : co_await pass({.truncation = 1}, 50)) BOOST_TEST(one.size() < 4u);
}

COROUTINE_TEST_CASE(a_send_waits_for_room_unless_the_peer_has_gone) {
  auto [a, b] = memory_datagram_pair({.room = 1});
  co_await a.send("one");
  BOOST_CHECK_EXCEPTION(co_await cosock::with_timeout(1ms, a.send("two")), system_error,
                        is(cosock::error::timed_out));
  b.close();
  co_await a.send("into the void");
  BOOST_CHECK_EXCEPTION(co_await a.send_to("x", cosock::endpoint::parse("192.0.2.9:9")),
                        system_error, is(errc::network_unreachable));
  BOOST_TEST((a.remote_endpoint() == b.local_endpoint()));
}

COROUTINE_TEST_CASE(a_number_that_is_no_probability_is_refused) {
  const auto names = [](const char* part) {
    return [part](const std::exception& e) { return test::contains(e.what(), part); };
  };
  BOOST_CHECK_EXCEPTION(static_cast<void>(memory_datagram_pair({.room = 0})), std::invalid_argument,
                        names("room is 0; it is at least 1"));
  for (const double bad : {-0.1, 1.1, std::numeric_limits<double>::quiet_NaN()})
    BOOST_CHECK_EXCEPTION(static_cast<void>(memory_datagram_pair({.faults = {.reordering = bad}})),
                          std::invalid_argument, names("; it is a probability, from 0 to 1"));
  co_return;
}

BOOST_AUTO_TEST_CASE(a_check_that_does_not_exist_is_refused) {
  const auto make = []() -> task<datagram_pair<cosock::endpoint>> {
    co_return memory_datagram_pair();
  };
  BOOST_CHECK_THROW(check_datagram(
                        datagram_maker<cosock::endpoint>(make), [](auto, auto) {}, {}, "nonsense"),
                    std::invalid_argument);
}

/// What is lost is found by the checks.
BOOST_AUTO_TEST_CASE(faulty_sockets_fail_the_checks) {
  const test::alarm_clock guard;
  const auto failures = [](cosock::testing::datagram_faults faults) {
    const auto make = [faults]() -> task<datagram_pair<cosock::endpoint>> {
      co_return memory_datagram_pair({.faults = faults});
    };
    int failed = 0;
    check_datagram(
        datagram_maker<cosock::endpoint>(make),
        [&](auto, std::string_view failure) { failed += !failure.empty(); },
        {.buffers = 64, .limit = 100ms}, "borders_are_kept");
    return failed;
  };
  BOOST_TEST(failures({}) == 0);
  BOOST_TEST(failures({.loss = 0.5}) == 1);
  BOOST_TEST(failures({.duplication = 0.5}) == 1);
  BOOST_TEST(failures({.reordering = 0.5}) == 1);
  BOOST_TEST(failures({.truncation = 0.5}) == 1);
}
