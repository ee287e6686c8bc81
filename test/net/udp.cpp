// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#include <cosock/udp.hpp>

#define BOOST_TEST_MODULE udp
#include "manual_event.hpp"
#include "netns.hpp"
#include "support.hpp"

#include <cosock/when.hpp>

#include <net/if.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <sys/ioctl.h>

#include <array>
#include <string>
#include <thread>
#include <vector>

namespace {

using namespace test;
using boost::system::error_code;
using boost::system::system_error;
using cosock::address;
using cosock::as_result;
using cosock::buffer;
using cosock::const_buffer;
using cosock::datagram_batch;
using cosock::endpoint;
using cosock::network_interface;
using cosock::outgoing_datagram;
using cosock::packet_info;
using cosock::task;
using cosock::udp_options;
using cosock::udp_socket;
namespace errc = boost::system::errc;

const endpoint any_port_v4(address::loopback_v4(), 0);
const endpoint any_port_v6(address::loopback_v6(), 0);

error_code system_code(int e) {
  return {e, boost::system::system_category()};
}

template <class F>
error_code thrown_by(F f) {
  try {
    f();
    return {};
  } catch (const system_error& e) {
    return e.code();
  }
}

task<std::string> next_text(udp_socket& s) {
  std::string into(70000, '\0');
  const cosock::received got = co_await s.receive(into);
  into.resize(got.size);
  co_return into;
}

/// Waits, with a limit, and says whether nothing came.
task<bool> stays_silent(udp_socket& s) {
  char into[1];
  const auto result = co_await as_result(cosock::with_timeout(5ms, s.receive(into)));
  co_return result.has_error() && result.error() == cosock::error::timed_out;
}

BOOST_AUTO_TEST_SUITE(addresses)

COROUTINE_TEST_CASE(dual_stack) {
  udp_socket both(endpoint(address::any_v6(), 0));
  udp_socket v4(any_port_v4);
  udp_socket v6(any_port_v6);
  const std::uint16_t port = both.local_endpoint().port();
  char into[16];
  co_await v4.send_to("four", endpoint(address::loopback_v4(), port));
  auto got = co_await both.receive_from(into);
  BOOST_TEST(got.from.address().is_v4_mapped());
  BOOST_TEST(got.from.address().unmapped() == address::loopback_v4());
  // Mapped or not, it reaches the IPv4 peer.
  co_await both.send_to("mapped", got.from);
  BOOST_TEST(co_await next_text(v4) == "mapped");
  co_await both.send_to("plain", v4.local_endpoint());
  BOOST_TEST(co_await next_text(v4) == "plain");
  co_await v6.send_to("six", endpoint(address::loopback_v6(), port));
  got = co_await both.receive_from(into);
  BOOST_TEST(got.from == v6.local_endpoint());
  both.connect(v4.local_endpoint());
  co_await both.send("connected");
  BOOST_TEST(co_await next_text(v4) == "connected");
}

COROUTINE_TEST_CASE(v6_only) {
  udp_options options;
  options.v6_only = true;
  udp_socket six(endpoint(address::any_v6(), 0), options);
  udp_socket four(endpoint(address::any_v4(), six.local_endpoint().port()));  // no clash
  const auto sent = co_await as_result(six.send_to("x", four.local_endpoint()));
  BOOST_TEST(sent.has_error());
}

COROUTINE_TEST_CASE(what_cannot_be_opened_says_which_address) {
  udp_socket taken(any_port_v4);
  const endpoint at = taken.local_endpoint();
  BOOST_CHECK_EXCEPTION(udp_socket{at}, system_error, [&](const system_error& e) {
    return e.code() == errc::address_in_use &&
           std::string_view(e.what()).find(at.to_string()) != std::string_view::npos;
  });
  const endpoint foreign(address::parse("192.0.2.1"), 0);
  BOOST_TEST(thrown_by([&] { udp_socket{foreign}; }) == errc::address_not_available);
  co_return;
}

COROUTINE_TEST_CASE(reuse_port_shares_a_port) {
  udp_options options;
  options.reuse_port = true;
  udp_socket one(any_port_v4, options);
  udp_socket two(one.local_endpoint(), options);
  BOOST_TEST(one.local_endpoint() == two.local_endpoint());
  co_return;
}

COROUTINE_TEST_CASE(connected_to_a_peer) {
  udp_socket server(any_port_v4);
  udp_socket client = udp_socket::connected_to(server.local_endpoint());
  BOOST_TEST(client.remote_endpoint() == server.local_endpoint());
  co_await client.send("hello");
  char into[16];
  const auto got = co_await server.receive_from(into);
  BOOST_TEST(got.from == client.local_endpoint());
  client.disconnect();
  BOOST_TEST(thrown_by([&] { (void)client.remote_endpoint(); }) == errc::not_connected);
}

COROUTINE_TEST_CASE(connect_by_name) {
  udp_socket server(any_port_v4);
  const std::string port = std::to_string(server.local_endpoint().port());
  udp_socket client = co_await cosock::connect_udp("127.0.0.1", port);
  co_await client.send("by name");
  BOOST_TEST(co_await next_text(server) == "by name");
  const auto bad_port = co_await as_result(cosock::connect_udp("127.0.0.1", "70000"));
  BOOST_TEST(bad_port.error() == cosock::error::service_not_found);
}

COROUTINE_TEST_CASE(an_answer_comes_from_where_the_question_went) {
  for (const bool v6 : {false, true}) {
    udp_options options;
    options.receive_address = true;
    udp_socket server(endpoint(v6 ? address::any_v6() : address::any_v4(), 0), options);
    const endpoint to(address::parse("127.0.0.2"), server.local_endpoint().port());
    udp_socket client(any_port_v4);
    co_await client.send_to("?", to);
    char into[16];
    packet_info info;
    const auto got = co_await server.receive_from(into, info);
    BOOST_TEST(info.local.unmapped() == to.address());
    BOOST_TEST(info.interface_index == network_interface::by_name("lo").interface_index());
    co_await server.send_to("!", got.from, info);
    auto answer = co_await client.receive_from(into);
    BOOST_TEST(answer.from == to);
    // In a batch likewise.
    outgoing_datagram each;
    each.data = const_buffer("!!");
    each.to = got.from;
    each.as = &info;
    const std::vector<outgoing_datagram> two(2, each);
    BOOST_TEST(co_await server.send_batch(two) == 2u);
    answer = co_await client.receive_from(into);
    BOOST_TEST(answer.from == to);
    answer = co_await client.receive_from(into);
    BOOST_TEST(answer.from == to);
  }
}

/// What is not set, or cannot be the source, is left to the system.
COROUTINE_TEST_CASE(a_packet_info_that_says_little_is_no_hindrance) {
  packet_info nothing;
  packet_info interface_only;
  interface_only.interface_index = network_interface::by_name("lo").interface_index();
  packet_info group;
  group.local = address::parse("239.1.2.3");
  packet_info all;
  all.local = address::parse("255.255.255.255");
  packet_info other_family;
  other_family.local = address::loopback_v6();
  udp_socket receiver(any_port_v4);
  const endpoint to = receiver.local_endpoint();
  for (const endpoint& at : {any_port_v4, endpoint(address::any_v6(), 0)}) {
    for (const packet_info* as : {&nothing, &interface_only, &group, &all, &other_family}) {
      udp_socket s(at);
      outgoing_datagram each;
      each.data = const_buffer("batch");
      each.to = to;
      each.as = as;
      const std::vector<outgoing_datagram> one(1, each);
      co_await s.send_to("single", to, *as);
      BOOST_TEST(co_await next_text(receiver) == "single");
      co_await s.send_batch(one);
      BOOST_TEST(co_await next_text(receiver) == "batch");
      s.connect(to);
      each.as = as;
      co_await s.send_to("connected", to, *as);
      BOOST_TEST(co_await next_text(receiver) == "connected");
    }
  }
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(information)

COROUTINE_TEST_CASE(nothing_is_told_that_was_not_asked_for) {
  udp_socket server(any_port_v4);
  udp_socket client(any_port_v4);
  co_await client.send_to("x", server.local_endpoint());
  packet_info info;
  info.hops = 7;
  char into[4];
  co_await server.receive_from(into, info);
  BOOST_TEST(info.local == address());
  BOOST_TEST(info.hops == -1);
  BOOST_TEST(info.ecn() == -1);
  BOOST_TEST((info.at == std::chrono::system_clock::time_point()));
}

COROUTINE_TEST_CASE(all_that_can_be_told) {
  udp_options options;
  options.receive_address = options.receive_traffic_class = options.receive_hops = true;
  options.receive_time = options.receive_dropped = true;
  for (const endpoint& at : {any_port_v4, any_port_v6, endpoint(address::any_v6(), 0)}) {
    BOOST_TEST_INFO_SCOPE(at);
    udp_socket server(at, options);
    const bool v6_peer = at == any_port_v6;
    udp_socket client(v6_peer ? any_port_v6 : any_port_v4);
    client.set_traffic_class(0x2e << 2 | 2);  // expedited, ECN-capable
    client.set_hops(42);
    const address loopback = v6_peer ? address::loopback_v6() : address::loopback_v4();
    const auto before = std::chrono::system_clock::now() - 1s;
    for (int i = 0; i != 2; ++i)
      co_await client.send_to("x", endpoint(loopback, server.local_endpoint().port()));
    char into[4];
    packet_info info;
    co_await server.receive_from(into, info);
    datagram_batch batch(2, 16);
    BOOST_TEST(co_await server.receive_batch(batch) == 1u);
    const packet_info of_batch = (*batch.begin()).info();
    for (const packet_info& each : {info, of_batch}) {
      BOOST_TEST(each.local.unmapped() == loopback);
      BOOST_TEST(each.interface_index == network_interface::by_name("lo").interface_index());
      BOOST_TEST(each.traffic_class == (0x2e << 2 | 2));
      BOOST_TEST(each.ecn() == 2);
      BOOST_TEST(each.hops == 42);
      BOOST_TEST((each.at > before));
      BOOST_TEST((each.at < before + 60s));
      BOOST_TEST(each.dropped == 0u);
    }
  }
}

COROUTINE_TEST_CASE(drops_are_counted) {
  udp_options options;
  options.receive_dropped = true;
  options.receive_buffer = 4096;
  udp_socket server(any_port_v4, options);
  udp_socket client = udp_socket::connected_to(server.local_endpoint());
  const std::vector<const_buffer> many(1000, const_buffer("some bytes"));
  co_await client.send_batch(many);
  datagram_batch batch(1000, 16);
  const std::size_t got = co_await server.receive_batch(batch);
  BOOST_TEST(got < 1000u);
  BOOST_TEST(server.dropped() == 1000 - got);
  co_await client.send("last");
  char into[16];
  packet_info info;
  co_await server.receive_from(into, info);
  BOOST_TEST(info.dropped == 1000 - got);
}

/// Everything that was sent is either received or counted as lost.
COROUTINE_TEST_CASE(a_flood_is_accounted_for) {
  constexpr std::size_t many = COSOCK_TEST_SANITIZED ? 50'000 : 2'000'000;
  udp_options options;
  options.receive_dropped = true;
  udp_socket server(any_port_v4, options);
  const endpoint to = server.local_endpoint();
  std::size_t got = 0;
  std::uint32_t reported = 0;
  const auto receive = [&]() -> task<> {
    datagram_batch batch(256, 64);
    for (bool over = false; !over;) {
      co_await server.receive_batch(batch);
      for (const auto& each : batch) {
        if (each.size() == 4) {  // "over"
          over = true;
          reported = each.info().dropped;
        } else {
          ++got;
        }
      }
    }
  };
  std::thread flood([to] {
    cosock::loop on;
    on.run([](endpoint to) -> task<> {
      udp_socket client = udp_socket::connected_to(to);
      const std::vector<const_buffer> part(1000, const_buffer("eight..."));
      for (std::size_t sent = 0; sent != many;) sent += co_await client.send_batch(part);
    }(to));
  });
  const auto end = [&]() -> task<> {
    // Not before the flood is over, and again for as long as it may have been lost.
    while (got + server.dropped() < many) co_await cosock::sleep_for(1ms);
    udp_socket client = udp_socket::connected_to(to);
    co_await client.send("over");
  };
  co_await cosock::when_all(receive(), end());
  flood.join();
  BOOST_TEST(got + reported == many);
  BOOST_TEST(server.dropped() == reported);
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(errors)

/// A port of 127.0.0.1 where nobody listens.
endpoint closed_port() {
  udp_socket s(any_port_v4);
  return s.local_endpoint();
}

COROUTINE_TEST_CASE(port_unreachable_does_not_stop_a_connected_socket) {
  for (const bool batches : {false, true}) {
    const endpoint to = closed_port();
    udp_socket client = udp_socket::connected_to(to);
    char into[16];
    co_await client.send("anybody?");
    datagram_batch batch(4, 16);
    error_code why;
    if (batches) {
      const auto result = co_await as_result(client.receive_batch(batch));
      why = result.error();
    } else {
      const auto result = co_await as_result(client.receive(into));
      why = result.error();
    }
    BOOST_TEST(why == errc::connection_refused);
    // A sender learns of it too, and the next try is made.
    co_await client.send("anybody now?");
    const auto sent = co_await as_result(client.send("and now?"));
    BOOST_TEST(sent.error() == errc::connection_refused);
    udp_socket server(to);
    co_await client.send("now!");
    BOOST_TEST(co_await next_text(server) == "now!");
    co_await server.send_to("yes", client.local_endpoint());
    BOOST_TEST(co_await next_text(client) == "yes");
  }
}

COROUTINE_TEST_CASE(port_unreachable_is_nothing_to_others) {
  udp_socket s(any_port_v4);
  co_await s.send_to("anybody?", closed_port());
  BOOST_TEST(co_await stays_silent(s));
}

/// An error between the datagrams of a batch does not lose any.
COROUTINE_TEST_CASE(an_error_with_datagrams_in_the_queue_loses_none) {
  udp_socket server(any_port_v4);
  udp_socket client = udp_socket::connected_to(server.local_endpoint());
  co_await server.send_to("one", client.local_endpoint());
  co_await server.send_to("two", client.local_endpoint());
  server.close();
  co_await client.send("gone?");
  datagram_batch batch(8, 16);
  const auto refused = co_await as_result(client.receive_batch(batch));
  BOOST_TEST(refused.error() == errc::connection_refused);
  BOOST_TEST(co_await client.receive_batch(batch) == 2u);
}

COROUTINE_TEST_CASE(broadcast_needs_the_option) {
  udp_socket s(endpoint(address::any_v4(), 0));
  const endpoint all(address::parse("127.255.255.255"), 9);
  BOOST_TEST((co_await as_result(s.send_to("x", all))).error() == errc::permission_denied);
  BOOST_TEST(!s.broadcast());
  s.set_broadcast(true);
  BOOST_TEST(s.broadcast());
  udp_socket receiver(endpoint(address::any_v4(), 0));
  co_await s.send_to("to all", endpoint(all.address(), receiver.local_endpoint().port()));
  BOOST_TEST(co_await next_text(receiver) == "to all");
}

COROUTINE_TEST_CASE(what_cannot_be_adopted_is_closed) {
  BOOST_TEST(thrown_by([] { (void)udp_socket::adopt(-1); }) == system_code(EBADF));
  const int ping = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, IPPROTO_ICMP);
  if (ping >= 0)
    BOOST_TEST(thrown_by([&] { (void)udp_socket::adopt(ping); }) == errc::wrong_protocol_type);
  for (const auto& [family, type] : {std::pair(AF_INET, SOCK_STREAM), {AF_UNIX, SOCK_DGRAM}}) {
    const int fd = ::socket(family, type | SOCK_CLOEXEC, 0);
    BOOST_TEST(thrown_by([&] { (void)udp_socket::adopt(fd); }).failed());
    BOOST_TEST(::fcntl(fd, F_GETFD) == -1);
  }
  co_return;
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(offload)

/// Datagrams of one size with a short one at the end, sent at once.
std::vector<std::string> run_of(std::size_t count, std::size_t size, std::size_t last) {
  std::vector<std::string> all;
  for (std::size_t i = 0; i != count; ++i)
    all.push_back(std::string(i + 1 == count ? last : size, static_cast<char>('a' + i % 26)));
  return all;
}

udp_options joining() {
  udp_options options;
  options.receive_offload = true;
  options.receive_buffer = 8 << 20;
  return options;
}

/// Takes `count` datagrams with batches whose memory is so large for each.
task<std::vector<std::string>> take(udp_socket& s, std::size_t count, std::size_t bytes_each,
                                    std::size_t at_once = 16) {
  std::vector<std::string> all;
  datagram_batch batch(at_once, bytes_each);
  while (all.size() < count) {
    const std::size_t n = co_await s.receive_batch(batch);
    std::size_t seen = 0;
    for (const auto& each : batch) {
      all.emplace_back(static_cast<const char*>(each.data().data()), each.size());
      BOOST_TEST(!each.truncated());
      ++seen;
    }
    BOOST_TEST(seen == n);
  }
  co_return all;
}

COROUTINE_TEST_CASE(joined_datagrams_are_split_again) {
  udp_socket server(any_port_v4, joining());
  udp_socket client(any_port_v4);
  for (const auto& [count, last] : {std::pair<std::size_t, std::size_t>(10, 300),
                                    {10, 1},
                                    {10, 1000},
                                    {64, 1000},
                                    {65, 7},
                                    {500, 3}}) {
    BOOST_TEST_INFO_SCOPE(count << " datagrams, the last of " << last);
    const std::vector<std::string> texts = run_of(count, 1000, last);
    const std::vector<const_buffer> all(texts.begin(), texts.end());
    // Large memory: split in place. Small memory: one by one. A batch of 3: in several calls.
    for (const auto& [bytes, at_once] :
         {std::pair<std::size_t, std::size_t>(65536, 16), {1500, 16}, {1500, 3}}) {
      BOOST_TEST(co_await client.send_batch(all, server.local_endpoint()) == count);
      const std::vector<std::string> got = co_await take(server, count, bytes, at_once);
      BOOST_TEST((got == texts));
    }
    // One at a time, and then the rest as batches of either kind.
    for (const std::size_t bytes : {1500, 65536}) {
      BOOST_TEST(co_await client.send_batch(all, server.local_endpoint()) == count);
      std::vector<std::string> got;
      for (int i = 0; i != 5; ++i) got.push_back(co_await next_text(server));
      co_await server.wait_readable();
      const std::vector<std::string> rest = co_await take(server, count - 5, bytes);
      got.insert(got.end(), rest.begin(), rest.end());
      BOOST_TEST((got == texts));
    }
  }
}

COROUTINE_TEST_CASE(a_joined_datagram_that_does_not_fit_is_truncated_alone) {
  udp_socket server(any_port_v4, joining());
  udp_socket client(any_port_v4);
  const std::vector<std::string> texts = run_of(4, 100, 50);
  const std::vector<const_buffer> all(texts.begin(), texts.end());
  co_await client.send_batch(all, server.local_endpoint());
  char into[60];
  for (int i = 0; i != 4; ++i) {
    const auto got = co_await server.receive_from(into);
    BOOST_TEST(got.size == (i == 3 ? 50u : 60u));
    BOOST_TEST(got.length == (i == 3 ? 50u : 100u));
    BOOST_TEST(got.truncated == (i != 3));
    BOOST_TEST(got.from == client.local_endpoint());
  }
  BOOST_TEST(co_await stays_silent(server));
}

/// That the system joins and splits at all is seen by the system calls it takes: a socket that
/// joins is handed one message.
COROUTINE_TEST_CASE(the_system_does_split_and_join) {
  udp_socket server(any_port_v4, joining());
  if (::setsockopt(server.native_handle(), SOL_UDP, UDP_SEGMENT, "\0\0\0", 4) != 0) {
    BOOST_TEST_MESSAGE("skipped: the kernel has no UDP_SEGMENT");
    co_return;
  }
  udp_socket client(any_port_v4);
  const std::vector<std::string> texts = run_of(10, 1000, 500);
  const std::vector<const_buffer> all(texts.begin(), texts.end());
  co_await client.send_batch(all, server.local_endpoint());
  std::string into(65536, '\0');
  const ssize_t n = ::recv(server.native_handle(), into.data(), into.size(), MSG_DONTWAIT);
  BOOST_TEST(n == 9500);
  // And one that does not join gets them apart, in the same order.
  udp_socket plain(any_port_v4);
  co_await client.send_batch(all, plain.local_endpoint());
  BOOST_TEST((co_await take(plain, 10, 2000) == texts));
}

COROUTINE_TEST_CASE(memory_in_one_piece_is_sent_like_any_other) {
  udp_socket server(any_port_v4, joining());
  udp_socket client = udp_socket::connected_to(server.local_endpoint());
  std::string whole;
  for (char c = 'a'; c != 'k'; ++c) whole += std::string(1200, c);
  std::vector<const_buffer> all;
  for (std::size_t i = 0; i != 10; ++i) all.emplace_back(whole.data() + 1200 * i, 1200);
  co_await client.send_batch(all);
  const std::vector<std::string> got = co_await take(server, 10, 65536);
  std::string joined;
  for (const auto& each : got) joined += each;
  BOOST_TEST((joined == whole));
}

/// Larger than the way takes in one piece: the system does not split that, and the datagrams are
/// sent in fragments as they would be alone.
NETWORK_COROUTINE_TEST_CASE(a_refusal_to_split_is_made_good) {
  const int fd = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  ifreq request = {};
  std::strncpy(request.ifr_name, "lo", IFNAMSIZ - 1);
  request.ifr_mtu = 1500;
  BOOST_REQUIRE(::ioctl(fd, SIOCSIFMTU, &request) == 0);
  ::close(fd);
  udp_socket server(any_port_v4, joining());
  udp_socket client(any_port_v4);
  for (const std::size_t size : {3000, 1000, 1400, 1473}) {
    const std::vector<std::string> texts = run_of(20, size, size / 2);
    const std::vector<const_buffer> all(texts.begin(), texts.end());
    BOOST_TEST(co_await client.send_batch(all, server.local_endpoint()) == 20u);
    BOOST_TEST((co_await take(server, 20, 65536) == texts));
  }
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(options)

COROUTINE_TEST_CASE(options_round_trip) {
  for (const endpoint& at : {any_port_v4, any_port_v6}) {
    udp_socket s(at);
    s.set_hops(9);
    BOOST_TEST(s.hops() == 9);
    s.set_traffic_class(0x10);
    BOOST_TEST(s.traffic_class() == 0x10);
    s.set_multicast_hops(5);
    BOOST_TEST(s.multicast_hops() == 5);
    BOOST_TEST(s.multicast_loopback());
    s.set_multicast_loopback(false);
    BOOST_TEST(!s.multicast_loopback());
    s.set_receive_buffer(20000);
    BOOST_TEST(s.receive_buffer() == 40000);
    s.set_send_buffer(20000);
    BOOST_TEST(s.send_buffer() == 40000);
    BOOST_TEST(s.dropped() == 0u);
    BOOST_TEST(thrown_by([&] { s.set_hops(300); }) == errc::invalid_argument);
    s.close();
    BOOST_TEST(thrown_by([&] { s.set_hops(9); }) == cosock::error::closed);
    BOOST_TEST(thrown_by([&] { (void)s.traffic_class(); }) == cosock::error::closed);
    BOOST_TEST(thrown_by([&] { s.join(address::parse("239.1.1.1")); }) == cosock::error::closed);
    BOOST_TEST(thrown_by([&] { s.connect(at); }) == cosock::error::closed);
    BOOST_TEST(thrown_by([&] { s.disconnect(); }) == cosock::error::closed);
  }
  co_return;
}

COROUTINE_TEST_CASE(an_adopted_socket_goes_on_as_it_was) {
  udp_options options;
  options.receive_hops = true;
  options.receive_offload = true;
  udp_socket first(any_port_v4, options);
  const endpoint to = first.local_endpoint();
  udp_socket s = udp_socket::adopt(first.release());
  udp_socket client(any_port_v4);
  const std::vector<const_buffer> three(3, const_buffer("same"));
  co_await client.send_batch(three, to);
  char into[16];
  packet_info info;
  co_await s.receive_from(into, info);
  BOOST_TEST(info.hops > 0);
  BOOST_TEST(co_await next_text(s) == "same");
  BOOST_TEST(co_await next_text(s) == "same");
}

BOOST_AUTO_TEST_CASE(interfaces) {
  const network_interface lo = network_interface::by_name("lo");
  BOOST_TEST(lo.interface_index() == ::if_nametoindex("lo"));
  BOOST_TEST(network_interface::by_address(address::loopback_v4()).interface_index() ==
             lo.interface_index());
  BOOST_TEST(network_interface::by_index(7).interface_index() == 7u);
  BOOST_CHECK_EXCEPTION(
      (void)network_interface::by_name("nosuch0"), system_error, [](const system_error& e) {
        return e.code() == errc::no_such_device &&
               std::string_view(e.what()).find("nosuch0") != std::string_view::npos;
      });
  BOOST_TEST(thrown_by([] { (void)network_interface::by_name(""); }) == errc::no_such_device);
  BOOST_TEST(thrown_by([] { (void)network_interface::by_name(std::string_view("lo\0x", 4)); }) ==
             errc::no_such_device);
  BOOST_TEST(thrown_by([] { (void)network_interface::by_address(address::parse("192.0.2.1")); }) ==
             errc::address_not_available);
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(multicast)

const address group_v4 = address::parse("239.7.7.7");
const address group_v6 = address::parse("ff15::7:7");

udp_socket member_socket(bool v6) {
  udp_options options;
  options.reuse_address = true;
  return udp_socket(endpoint(v6 ? address::any_v6() : address::any_v4(), 0), options);
}

void routes_to_loopback() {
  BOOST_REQUIRE(std::system("ip link set lo multicast on && ip route add 239.0.0.0/8 dev lo") == 0);
}

NETWORK_COROUTINE_TEST_CASE(members_get_what_is_sent_until_they_leave) {
  routes_to_loopback();
  const network_interface lo = network_interface::by_name("lo");
  for (const network_interface& on : {lo, network_interface::by_address(address::loopback_v4())}) {
    udp_socket member = member_socket(false);
    const endpoint to(group_v4, member.local_endpoint().port());
    udp_socket sender(any_port_v4);
    sender.set_multicast_interface(on);
    co_await sender.send_to("too early", to);
    member.join(group_v4, on);
    BOOST_TEST(thrown_by([&] { member.join(group_v4, on); }) == errc::address_in_use);
    co_await sender.send_to("hello", to);
    BOOST_TEST(co_await next_text(member) == "hello");
    member.leave(group_v4, on);
    BOOST_TEST(thrown_by([&] { member.leave(group_v4, on); }) == errc::address_not_available);
    co_await sender.send_to("too late", to);
    BOOST_TEST(co_await stays_silent(member));
  }
}

/// On an interface that is no loopback by itself.
NETWORK_COROUTINE_TEST_CASE(loopback_of_multicast_can_be_off) {
  BOOST_REQUIRE(std::system("ip link add d0 type veth peer name d1 && ip link set d1 up && ip addr add 10.231.7.1/24 dev d0 &&"
                            "ip link set d0 up multicast on") == 0);
  const network_interface d0 = network_interface::by_name("d0");
  udp_socket member = member_socket(false);
  member.join(group_v4, d0);
  const endpoint to(group_v4, member.local_endpoint().port());
  udp_socket sender(endpoint(address::parse("10.231.7.1"), 0));
  sender.set_multicast_interface(d0);
  co_await sender.send_to("here", to);
  BOOST_TEST(co_await next_text(member) == "here");
  sender.set_multicast_loopback(false);
  co_await sender.send_to("not here", to);
  sender.set_multicast_loopback(true);
  co_await sender.send_to("again", to);
  BOOST_TEST(co_await next_text(member) == "again");
}

NETWORK_COROUTINE_TEST_CASE(a_member_that_wants_one_sender_hears_no_other) {
  routes_to_loopback();
  const network_interface lo = network_interface::by_name("lo");
  udp_socket member = member_socket(false);
  const endpoint to(group_v4, member.local_endpoint().port());
  const address wanted = address::parse("127.0.0.3");
  udp_socket good(endpoint(wanted, 0));
  udp_socket other(endpoint(address::parse("127.0.0.4"), 0));
  for (udp_socket* each : {&good, &other}) each->set_multicast_interface(lo);
  member.join(group_v4, wanted, lo);
  co_await other.send_to("from the other", to);
  co_await good.send_to("from the good", to);
  BOOST_TEST(co_await next_text(member) == "from the good");
  member.join(group_v4, other.local_endpoint().address(), lo);
  co_await other.send_to("from both", to);
  BOOST_TEST(co_await next_text(member) == "from both");
  member.leave(group_v4, wanted, lo);
  co_await good.send_to("no more", to);
  BOOST_TEST(co_await stays_silent(member));
}

NETWORK_COROUTINE_TEST_CASE(what_cannot_be_joined) {
  routes_to_loopback();
  udp_socket member = member_socket(false);
  BOOST_TEST(thrown_by([&] { member.join(group_v4, network_interface::by_index(4711)); }) ==
             errc::no_such_device);
  BOOST_CHECK_EXCEPTION(
      member.join(address::parse("10.1.1.1")), system_error, [](const system_error& e) {
        return e.code() == errc::invalid_argument &&
               std::string_view(e.what()).find("10.1.1.1") != std::string_view::npos;
      });
  BOOST_TEST(thrown_by([&] { member.leave(group_v4); }).failed());
  BOOST_TEST(thrown_by([&] {
               member.set_multicast_interface(network_interface::by_index(4711));
             }).failed());
  co_return;
}

/// IPv6 has no multicast on loopback: over a pair of interfaces.
NETWORK_COROUTINE_TEST_CASE(multicast_v6) {
  BOOST_REQUIRE(std::system("ip link add m0 type veth peer name m1 &&"
                            "ip addr add fd31:7::1/64 dev m0 nodad && ip link set m0 up &&"
                            "ip addr add fd31:8::1/64 dev m1 nodad && ip link set m1 up") == 0);
  wait_for_multicast("m0");
  const network_interface m0 = network_interface::by_address(address::parse("fd31:7::1"));
  udp_socket member = member_socket(true);
  member.join(group_v6, m0);
  BOOST_TEST(thrown_by([&] { member.join(group_v6, m0); }) == errc::address_in_use);
  udp_socket sender(endpoint(address::parse("fd31:7::1"), 0));
  sender.set_multicast_interface(m0);
  sender.set_multicast_hops(1);
  co_await sender.send_to("six", endpoint(group_v6, member.local_endpoint().port()));
  BOOST_TEST(co_await next_text(member) == "six");
  member.leave(group_v6, m0);
  BOOST_TEST(thrown_by([&] { member.leave(group_v6, m0); }) == errc::address_not_available);
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
