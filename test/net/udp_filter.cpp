// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// A UDP socket with a filter of addresses.

#include <cosock/udp.hpp>

#define BOOST_TEST_MODULE udp_filter
#include "netns.hpp"
#include "support.hpp"
#include "udp_fixture.hpp"

#include <cosock/when.hpp>

#include <linux/sock_diag.h>

#include <cstring>
#include <string>
#include <vector>

namespace {

using namespace test;
using cosock::address;
using cosock::address_range;
using cosock::as_result;
using cosock::const_buffer;
using cosock::datagram_batch;
using cosock::endpoint;
using cosock::error;
using cosock::outgoing_datagram;
using cosock::packet_info;
using cosock::task;
using cosock::udp_socket;
using cosock::udp_socket_options;

const address_range two[] = {address_range::parse("127.0.0.2")};
const address_range loopback[] = {address_range::parse("127.0.0.0/8"), address_range::parse("::1")};
const std::string denied = ": the filter does not permit the address";

endpoint at(const char* host) { return {address::parse(host), 0}; }

/// Permits all but 127.0.0.2.
udp_socket_options denying(std::span<const address_range> ranges = two) {
  return {.filter = {.deny = ranges}};
}
udp_socket_options joining() {
  udp_socket_options options = denying();
  options.receive_offload = true;
  return options;
}

template <class A>
task<boost::system::error_code> failure_of(A operation) {
  const auto result = co_await as_result(std::move(operation));
  co_return result ? boost::system::error_code() : result.error();
}

template <class F>
std::string message_of(F call) {
  try {
    call();
  } catch (const boost::system::system_error& e) {
    BOOST_TEST(is(error::address_denied)(e));
    return e.what();
  }
  return "permitted";
}

/// A socket with a filter, a peer that it permits, and one that it does not.
struct peers {
  explicit peers(const udp_socket_options& options = denying(),
                 const endpoint& server_at = any_port_v4)
      : server(server_at, options), port(server.local_endpoint().port()) {}
  /// Sends from a permitted or a denied address.
  task<> send(udp_socket& from, const_buffer text) {
    co_await from.send_to(text, endpoint(address::loopback_v4(), port));
  }
  udp_socket server;
  std::uint16_t port;
  udp_socket good{any_port_v4};
  udp_socket bad{at("127.0.0.2")};
};

std::vector<std::string> texts_of(const datagram_batch<>& batch) {
  std::vector<std::string> texts;
  for (const auto& entry : batch)
    texts.emplace_back(static_cast<const char*>(entry.data().data()), entry.size());
  return texts;
}

using texts = std::vector<std::string>;

}  // namespace

BOOST_AUTO_TEST_SUITE(sending)

COROUTINE_TEST_CASE(a_datagram_to_a_denied_address_is_not_sent) {
  peers p;
  const endpoint bad = p.bad.local_endpoint();
  std::string text;
  try {
    co_await p.server.send_to("no", bad);
  } catch (const boost::system::system_error& e) {
    BOOST_TEST(is(error::address_denied)(e));
    text = e.what();
  }
  BOOST_TEST(text == bad.to_string() + denied);
  const std::vector<const_buffer> pieces = {const_buffer("a", 1), const_buffer("b", 1)};
  BOOST_TEST(co_await failure_of(p.server.send_to(pieces, bad)) ==
             make_error_code(error::address_denied));
  const packet_info source{.local = address::loopback_v4()};
  BOOST_TEST(co_await failure_of(p.server.send_to("no", bad, source)) ==
             make_error_code(error::address_denied));
  // The socket is as usable as before.
  co_await p.server.send_to("yes", p.good.local_endpoint());
  BOOST_TEST(co_await next_text(p.good) == "yes");
  BOOST_TEST(co_await stays_silent(p.bad));
}

COROUTINE_TEST_CASE(mapped_and_unspecified_destinations_are_covered) {
  udp_socket both(endpoint(address::any_v6(), 0), denying(loopback));
  udp_socket peer(any_port_v4);
  const std::uint16_t port = peer.local_endpoint().port();
  for (const char* host :
       {"127.0.0.1", "::ffff:127.0.0.1", "0.0.0.0", "::ffff:0.0.0.0", "::", "::1"})
    BOOST_TEST(co_await failure_of(both.send_to("no", endpoint(address::parse(host), port))) ==
                   make_error_code(error::address_denied),
               host);
  BOOST_TEST(co_await stays_silent(peer));
}

COROUTINE_TEST_CASE(an_allow_list_leaves_all_else_out) {
  udp_socket_options options;
  options.filter.allow = two;
  udp_socket s(any_port_v4, options);
  udp_socket peer(at("127.0.0.2"));
  udp_socket other(any_port_v4);
  co_await s.send_to("yes", peer.local_endpoint());
  BOOST_TEST(co_await next_text(peer) == "yes");
  for (const endpoint& to : {other.local_endpoint(), endpoint::parse("239.1.2.3:9"),
                             endpoint::parse("255.255.255.255:9")})
    BOOST_TEST(co_await failure_of(s.send_to("no", to)) == make_error_code(error::address_denied));
}

COROUTINE_TEST_CASE(a_batch_is_sent_up_to_the_first_denied_address) {
  peers p;
  const endpoint good = p.good.local_endpoint();
  const endpoint bad = p.bad.local_endpoint();
  const const_buffer data("x", 1);
  std::vector<outgoing_datagram<>> all(5, {data, good});
  all[3].to = bad;
  std::size_t sent = 0;
  try {
    co_await p.server.send_batch(all);
  } catch (const cosock::transfer_error& e) {
    BOOST_TEST(is(error::address_denied)(e));
    BOOST_TEST(std::string(e.what()).starts_with("after 3 datagrams"), e.what());
    sent = e.datagrams_transferred();
  }
  BOOST_TEST(sent == 3u);
  for (int i = 0; i != 3; ++i) BOOST_TEST(co_await next_text(p.good) == "x");
  BOOST_TEST(co_await stays_silent(p.good));

  all[0].to = bad;
  BOOST_TEST(co_await failure_of(p.server.send_batch(all)) ==
             make_error_code(error::address_denied));
  const std::vector<const_buffer> buffers(3, data);
  BOOST_TEST(co_await failure_of(p.server.send_batch(buffers, bad)) ==
             make_error_code(error::address_denied));
  BOOST_TEST(co_await p.server.send_batch(buffers, good) == 3u);
  BOOST_TEST(co_await stays_silent(p.bad));
  BOOST_TEST(co_await p.server.send_batch(std::vector<outgoing_datagram<>>()) == 0u);
}

/// More than the socket checks at once, and more than one system call sends.
COROUTINE_TEST_CASE(a_large_batch_is_sent_as_a_whole) {
  udp_socket_options options = denying();
  options.receive_buffer = 8 << 20;
  for (const bool offload : {true, false}) {
    options.send_offload = offload;
    udp_socket receiver(any_port_v4, options);
    udp_socket sender(any_port_v4, options);
    constexpr std::size_t count = 2500;
    const std::vector<outgoing_datagram<>> all(
        count, {const_buffer("datagram", 8), receiver.local_endpoint()});
    std::size_t received = 0;
    const auto receive = [&]() -> task<> {
      datagram_batch batch(64, 100);
      while (received != count) received += co_await receiver.receive_batch(batch);
    };
    const auto send = [&]() -> task<> { BOOST_TEST(co_await sender.send_batch(all) == count); };
    co_await cosock::when_all(send(), receive());
    std::vector<outgoing_datagram<>> last(all);
    last.back().to = endpoint(address::parse("127.0.0.2"), 9);
    std::size_t sent = 0;
    try {
      co_await sender.send_batch(last);
    } catch (const cosock::transfer_error& e) {
      sent = e.datagrams_transferred();
    }
    BOOST_TEST(sent == count - 1);
  }
}

COROUTINE_TEST_CASE(a_connection_to_a_denied_address_fails) {
  peers p;
  const endpoint bad = p.bad.local_endpoint();
  BOOST_TEST(message_of([&] { p.server.connect(bad); }) == bad.to_string() + denied);
  const auto connected = co_await as_result(cosock::connect_udp(bad, denying()));
  BOOST_TEST(error_message(connected.error()) == bad.to_string() + denied);
  p.server.connect(p.good.local_endpoint());
  co_await p.server.send("yes");
  BOOST_TEST(co_await p.server.send_batch(std::vector<const_buffer>(2, const_buffer("b", 1))) ==
             2u);
  BOOST_TEST(co_await next_text(p.good) == "yes");
  BOOST_TEST(message_of([&] { p.server.connect(bad); }) == bad.to_string() + denied);
  BOOST_TEST(p.server.remote_endpoint() == p.good.local_endpoint());
}

COROUTINE_TEST_CASE(connect_udp_applies_it_to_each_address) {
  const auto result = co_await as_result(cosock::connect_udp("127.0.0.2", "80", denying()));
  BOOST_TEST(result.error() == make_error_code(error::address_denied));
  BOOST_TEST(error_message(result.error()) == "127.0.0.2: 127.0.0.2:80" + denied);
  const udp_socket other = co_await cosock::connect_udp("127.0.0.3", "80", denying());
  BOOST_TEST(other.remote_endpoint().to_string() == "127.0.0.3:80");
}

NETWORK_COROUTINE_TEST_CASE(connect_udp_takes_the_first_permitted_address) {
  const address_range v6[] = {address_range::parse("::1")};
  const udp_socket s = co_await cosock::connect_udp("localhost", "80", denying(v6));
  BOOST_TEST(s.remote_endpoint().to_string() == "127.0.0.1:80");
  const auto none = co_await as_result(cosock::connect_udp("localhost", "80", denying(loopback)));
  BOOST_TEST(none.error() == make_error_code(error::address_denied));
  BOOST_TEST(error_message(none.error()) == "localhost: [::1]:80, 127.0.0.1:80" + denied);
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(receiving)

COROUTINE_TEST_CASE(a_datagram_from_a_denied_address_is_discarded) {
  peers p;
  co_await p.send(p.bad, "no");
  co_await p.send(p.good, "first");
  co_await p.send(p.bad, "no");
  co_await p.send(p.bad, "no");
  co_await p.send(p.good, "second");
  char into[16];
  const auto got = co_await p.server.receive_from(into);
  BOOST_TEST(std::string(into, got.size) == "first");
  BOOST_TEST(got.from == p.good.local_endpoint());
  BOOST_TEST(co_await next_text(p.server) == "second");
  co_await p.send(p.bad, "no");
  BOOST_TEST(co_await stays_silent(p.server));
}

COROUTINE_TEST_CASE(a_receive_goes_on_waiting) {
  for (const udp_socket_options& options : {denying(), joining()}) {
    peers p(options);
    datagram_batch batch(4, 100);
    std::string single;
    const auto receive = [&]() -> task<> {
      single = co_await next_text(p.server);
      BOOST_TEST(co_await p.server.receive_batch(batch) == 1u);
    };
    const auto send = [&]() -> task<> {
      co_await p.send(p.bad, "no");
      for (int i = 0; i != 5; ++i) co_await cosock::yield();
      BOOST_TEST(single == "");
      co_await p.send(p.good, "yes");
      while (single.empty()) co_await cosock::yield();
      co_await p.send(p.bad, "no");
      for (int i = 0; i != 5; ++i) co_await cosock::yield();
      co_await p.send(p.good, "batch");
    };
    co_await cosock::when_all(receive(), send());
    BOOST_TEST(single == "yes");
    BOOST_TEST((texts_of(batch) == texts{"batch"}));
  }
}

COROUTINE_TEST_CASE(every_form_of_receive_applies_it) {
  peers p;
  char first[2];
  char second[16];
  co_await p.send(p.bad, "denied");
  co_await p.send(p.good, "good");
  const std::vector<cosock::mutable_buffer> pieces = {cosock::mutable_buffer(first, 2),
                                                      cosock::mutable_buffer(second, 16)};
  const auto in_pieces = co_await p.server.receive(pieces);
  BOOST_TEST(in_pieces.size == 4u);
  BOOST_TEST(std::string(first, 2) + std::string(second, 2) == "good");
  packet_info info;
  co_await p.send(p.bad, "denied");
  co_await p.send(p.good, "");
  const auto empty = co_await p.server.receive_from(second, info);
  BOOST_TEST(empty.size == 0u);
  BOOST_TEST(empty.from == p.good.local_endpoint());
  co_await p.send(p.bad, "");
  co_await p.send(p.good, "long");
  const auto cut = co_await p.server.receive(cosock::mutable_buffer(first, 1));
  BOOST_TEST(cut.truncated);
  BOOST_TEST(cut.length == 4u);
}

COROUTINE_TEST_CASE(ipv4_peers_of_an_ipv6_socket_are_covered) {
  peers p(denying(), endpoint(address::any_v6(), 0));
  co_await p.send(p.bad, "no");
  co_await p.send(p.good, "yes");
  char into[16];
  const auto got = co_await p.server.receive_from(into);
  BOOST_TEST(got.from.address().is_v4_mapped());
  BOOST_TEST(std::string(into, got.size) == "yes");
  const endpoint bad = p.bad.local_endpoint();
  const endpoint mapped(address::parse("::ffff:127.0.0.2"), bad.port());
  for (const endpoint& to : {bad, mapped}) {
    BOOST_TEST(co_await failure_of(p.server.send_to("no", to)) ==
               make_error_code(error::address_denied));
    BOOST_TEST(message_of([&] { p.server.connect(to); }) == to.to_string() + denied);
  }
}

COROUTINE_TEST_CASE(a_batch_has_the_permitted_datagrams_in_their_order) {
  udp_socket_options options = denying();
  options.receive_traffic_class = true;
  peers p(options);
  for (const char* text : {"a", "bb", "ccc"}) {
    p.good.set_traffic_class(static_cast<int>(4 * std::strlen(text)));
    co_await p.send(p.bad, "denied");
    co_await p.send(p.good, const_buffer(text, std::strlen(text)));
  }
  co_await p.send(p.bad, "denied");
  datagram_batch batch(16, 4);
  BOOST_TEST(co_await p.server.receive_batch(batch) == 3u);
  BOOST_TEST((texts_of(batch) == texts{"a", "bb", "ccc"}));
  for (const auto& entry : batch) {
    BOOST_TEST(entry.from() == p.good.local_endpoint());
    BOOST_TEST(!entry.truncated());
    BOOST_TEST(entry.info().traffic_class.value() == static_cast<int>(4 * entry.size()));
  }
  // A batch that is full of denied datagrams is filled again.
  for (int i = 0; i != 7; ++i) co_await p.send(p.bad, "denied");
  co_await p.send(p.good, "last");
  datagram_batch small(2, 10);
  BOOST_TEST(co_await p.server.receive_batch(small) == 1u);
  BOOST_TEST((texts_of(small) == texts{"last"}));
}

COROUTINE_TEST_CASE(joined_datagrams_are_discarded_together) {
  const std::string data(1000, 'd');
  const std::vector<const_buffer> all(10, const_buffer(data));
  for (const std::size_t bytes_each : {std::size_t(65536), std::size_t(1500)}) {
    peers p(joining());
    const endpoint to = p.server.local_endpoint();
    co_await p.bad.send_batch(all, to);
    co_await p.good.send_batch(all, to);
    co_await p.bad.send_batch(all, to);
    co_await p.good.send_to("end", to);
    datagram_batch batch(8, bytes_each);
    std::size_t count = 0;
    std::string last;
    while (last != "end") {
      const std::size_t n = co_await p.server.receive_batch(batch);
      const texts received = texts_of(batch);
      BOOST_TEST(received.size() == n);
      for (const auto& entry : batch) BOOST_TEST(entry.from() == p.good.local_endpoint());
      count += n;
      last = received.back();
    }
    BOOST_TEST(count == 11u);

    co_await p.bad.send_batch(all, to);
    co_await p.good.send_batch(all, to);
    co_await p.bad.send_batch(all, to);
    for (int i = 0; i != 10; ++i) BOOST_TEST(co_await next_text(p.server) == data);
    BOOST_TEST(co_await stays_silent(p.server));
    co_await p.bad.send_batch(all, to);
    co_await p.good.send_to("one", to);
    BOOST_TEST(co_await next_text(p.server) == "one");
  }
}

/// The memory of the datagrams that wait in a socket.
std::uint32_t waiting_bytes(const udp_socket& s) {
  std::uint32_t memory[SK_MEMINFO_VARS] = {};
  socklen_t size = sizeof memory;
  BOOST_REQUIRE(::getsockopt(s.native_handle(), SOL_SOCKET, SO_MEMINFO, memory, &size) == 0);
  return memory[SK_MEMINFO_RMEM_ALLOC];
}

/// A peer that is denied and sends without end does not stop the other tasks of the loop.
COROUTINE_TEST_CASE(discarding_lets_other_tasks_run) {
  for (const bool in_batches : {false, true}) {
    peers p;
    for (int i = 0; i != 200; ++i) co_await p.send(p.bad, "no");
    const std::uint32_t before = waiting_bytes(p.server);
    bool received = false;
    int turns_between = 0;
    const auto receive = [&]() -> task<> {
      datagram_batch batch(1, 10);
      if (in_batches)
        co_await p.server.receive_batch(batch);
      else
        (void)co_await next_text(p.server);
      received = true;
    };
    const auto count = [&]() -> task<> {
      while (waiting_bytes(p.server) != 0) {
        if (waiting_bytes(p.server) != before) ++turns_between;
        co_await cosock::yield();
      }
      BOOST_TEST(!received);
      co_await p.send(p.good, "yes");
    };
    co_await cosock::when_all(receive(), count());
    BOOST_TEST(turns_between > 2);
  }
}

COROUTINE_TEST_CASE(a_cancelled_receive_takes_no_permitted_datagram) {
  peers p;
  co_await p.send(p.bad, "no");
  const auto limit = co_await as_result(cosock::with_timeout(1ms, next_text(p.server)));
  BOOST_TEST(limit.error() == make_error_code(error::timed_out));
  co_await p.send(p.good, "yes");
  cosock::cancel_scope scope;
  scope.cancel();
  char into[8];
  const auto cancelled = co_await as_result(scope.run(p.server.receive(into)));
  BOOST_TEST(cancelled.error() == make_error_code(error::cancelled));
  const auto send = co_await as_result(scope.run(p.server.send_to("no", p.bad.local_endpoint())));
  BOOST_TEST(send.error() == make_error_code(error::cancelled));
  BOOST_TEST(co_await next_text(p.server) == "yes");
  p.server.close();
  BOOST_TEST(co_await failure_of(p.server.send_to("no", p.bad.local_endpoint())) ==
             make_error_code(error::closed));
}

BOOST_AUTO_TEST_SUITE_END()
