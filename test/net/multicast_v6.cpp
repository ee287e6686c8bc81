// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#include <cosock/udp.hpp>

#define BOOST_TEST_MODULE multicast_v6
#include "multicast_tools.hpp"

#include <linux/filter.h>

// Linux looks at the interface of an IPv6 group only through a filter of the socket.

namespace {

using namespace test;
using boost::system::system_error;
using cosock::endpoint;
using cosock::task;

/// How many instructions the socket's filter has; 0: it has none.
unsigned filter_of(const udp_socket& s) {
  socklen_t size = 0;
  BOOST_TEST(::getsockopt(s.native_handle(), SOL_SOCKET, SO_GET_FILTER, nullptr, &size) == 0);
  return size;
}

/// A member, and another that has joined everything everywhere.
struct pair_of_members {
  pair_of_members()
      : here(member_on(0, true)),
        port(here.local_endpoint().port()),
        other(member_on(port, true)) {}
  void join_others(int count) {
    for (int i = 1; i <= count; ++i)
      for (const char* on : {"d0", "d1", "d2"}) other.join(group(true, i), named(on));
  }
  task<std::string> heard_of(int which) {
    for (const char* over : {"d0", "d1", "d2"})
      co_await from.send(over, group(true, which), port, over);
    co_return co_await heard_by(here);
  }
  udp_socket here;
  std::uint16_t port;
  udp_socket other;
  sender from{true};
};

}  // namespace

NETWORK_COROUTINE_TEST_CASE(each_group_has_interfaces_of_its_own) {
  make_interfaces();
  pair_of_members both;
  both.join_others(4);
  udp_socket& here = both.here;
  here.join(group(true, 1), named("d0"));
  here.join(group(true, 2), named("d1"));
  here.join(group(true, 3), named("d2"));
  here.join(group(true, 3), named("d0"));
  BOOST_TEST(co_await both.heard_of(1) == "d0");
  BOOST_TEST(co_await both.heard_of(2) == "d1");
  BOOST_TEST(co_await both.heard_of(3) == "d0, d2");
  BOOST_TEST(co_await both.heard_of(4) == "");
  // A refused join, or leave, changes nothing.
  BOOST_CHECK_THROW(here.join(group(true, 1), named("d0")), system_error);
  BOOST_CHECK_THROW(here.leave(group(true, 1), named("d1")), system_error);
  BOOST_CHECK_THROW(here.join(group(true, 1), network_interface::by_index(4711)), system_error);
  BOOST_TEST(co_await both.heard_of(1) == "d0");
  // Without an interface, the last one is left.
  here.leave(group(true, 3));
  BOOST_TEST(co_await both.heard_of(3) == "d2");
  here.leave(group(true, 3));
  BOOST_TEST(co_await both.heard_of(3) == "");
  BOOST_TEST(co_await both.heard_of(2) == "d1");
  BOOST_TEST(filter_of(here) != 0u);
  here.leave(group(true, 1), named("d0"));
  here.leave(group(true, 2), named("d1"));
  BOOST_TEST(filter_of(here) == 0u);
}

NETWORK_COROUTINE_TEST_CASE(other_datagrams_pass_the_filter) {
  make_interfaces();
  pair_of_members both;
  both.here.join(group(true, 1), named("d0"));
  both.here.join(group(false, 1), named("d1"));
  udp_socket v4(endpoint(address::any_v4(), 0));
  co_await v4.send_to("IPv4", endpoint(address::parse("10.231.0.1"), both.port));
  BOOST_TEST(co_await heard_by(both.other) == "IPv4");  // the last one that was bound
  both.other.close();
  co_await v4.send_to("IPv4", endpoint(address::parse("10.231.0.1"), both.port));
  co_await both.from.socket.send_to("IPv6", endpoint(address::parse("fd31:1::1"), both.port));
  v4.set_multicast_interface(named("d1"));
  co_await v4.send_to("group", endpoint(group(false, 1), both.port));
  BOOST_TEST(co_await heard_by(both.here) == "IPv4, IPv6, group");
}

NETWORK_COROUTINE_TEST_CASE(senders_are_chosen_on_each_interface) {
  make_interfaces();
  pair_of_members both;
  both.join_others(1);
  const address first = address::parse("fd31:1::1");
  const address second = address::parse("fd31:2::1");
  both.here.join(group(true, 1), first, named("d1"));
  both.here.join(group(true, 1), second, named("d1"));
  udp_socket one(endpoint(first, 0));
  udp_socket two(endpoint(second, 0));
  const auto send_both = [&](const char* over) -> task<> {
    for (udp_socket* each : {&one, &two}) {
      each->set_multicast_interface(named(over));
      co_await each->send_to(each == &one ? "one" : "two", endpoint(group(true, 1), both.port));
    }
  };
  co_await send_both("d1");
  BOOST_TEST(co_await heard_by(both.here) == "one, two");
  co_await send_both("d2");
  BOOST_TEST(co_await heard_by(both.here) == "");
  both.here.leave(group(true, 1), second, named("d1"));
  co_await send_both("d1");
  BOOST_TEST(co_await heard_by(both.here) == "one");
  co_await send_both("d2");
  BOOST_TEST(co_await heard_by(both.here) == "");
  both.here.leave(group(true, 1), first, named("d1"));
  BOOST_TEST(filter_of(both.here) == 0u);
}

/// More groups than a filter has room for are all heard.
NETWORK_COROUTINE_TEST_CASE(many_groups) {
  make_interfaces();
  pair_of_members both;
  both.join_others(3);
  constexpr int many = 400;
  for (int i = 1; i <= many; ++i) {
    both.here.join(address::parse("ff15::7:" + std::to_string(i)), named("d1"));
    if (i == 330) {
      BOOST_TEST(co_await both.heard_of(1) == "d1");
      BOOST_TEST(co_await both.heard_of(330) == "d1");
    }
  }
  for (const int each : {2, many}) {
    const address to = address::parse("ff15::7:" + std::to_string(each));
    co_await both.from.send("heard", to, both.port, "d1");
    BOOST_TEST(co_await heard_by(both.here) == "heard");
  }
  for (int i = 4; i <= many; ++i)
    both.here.leave(address::parse("ff15::7:" + std::to_string(i)), named("d1"));
  BOOST_TEST(co_await both.heard_of(2) == "d1");
}

NETWORK_COROUTINE_TEST_CASE(the_filter_of_the_program_stays) {
  make_interfaces();
  udp_socket here = member_on(0, true);
  sock_filter all[] = {BPF_STMT(BPF_RET | BPF_K, 0xffffffff)};
  const sock_fprog own = {1, all};
  BOOST_REQUIRE(
      ::setsockopt(here.native_handle(), SOL_SOCKET, SO_ATTACH_FILTER, &own, sizeof own) == 0);
  here.join(group(true, 1), named("d0"));
  here.join(group(true, 2), named("d0"));
  BOOST_TEST(filter_of(here) == 1u);
  here.leave(group(true, 1), named("d0"));
  BOOST_TEST(filter_of(here) == 1u);
  sender from(true);
  co_await from.send("heard", group(true, 2), here.local_endpoint().port(), "d0");
  BOOST_TEST(co_await heard_by(here) == "heard");
}

NETWORK_COROUTINE_TEST_CASE(a_socket_that_is_released_has_no_filter) {
  make_interfaces();
  pair_of_members both;
  both.here.join(group(true, 1), named("d0"));
  BOOST_TEST(filter_of(both.here) != 0u);
  both.here = udp_socket::adopt(both.here.release());
  BOOST_TEST(filter_of(both.here) == 0u);
  both.here.join(group(true, 2), named("d1"));
  both.join_others(2);
  // What was joined before is heard still.
  BOOST_TEST(co_await both.heard_of(2) == "d1");
  BOOST_TEST(co_await both.heard_of(1) == "d0, d1, d2");
}
