// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// Datagrams that the system joins and splits arrive as they were sent.

#include <cosock/udp.hpp>

#define BOOST_TEST_MODULE udp_offload
#include "netns.hpp"
#include "support.hpp"
#include "udp_fixture.hpp"

#include <net/if.h>
#include <netinet/udp.h>
#include <sys/ioctl.h>

#include <string>
#include <vector>

namespace {

using namespace test;
using cosock::const_buffer;
using cosock::datagram_batch;
using cosock::task;
using cosock::udp_socket;
using cosock::udp_socket_options;

BOOST_AUTO_TEST_SUITE(offload)

/// Datagrams of one size with a short one at the end, sent at once.
std::vector<std::string> run_of(std::size_t count, std::size_t size, std::size_t last) {
  std::vector<std::string> all;
  for (std::size_t i = 0; i != count; ++i)
    all.push_back(std::string(i + 1 == count ? last : size, static_cast<char>('a' + i % 26)));
  return all;
}

udp_socket_options joining() {
  udp_socket_options options;
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
  udp_socket client = co_await cosock::connect_udp(server.local_endpoint());
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

}  // namespace
