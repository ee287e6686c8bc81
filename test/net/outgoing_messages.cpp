// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#include "net/outgoing_messages.hpp"

#define BOOST_TEST_MODULE outgoing_messages
#include <boost/test/unit_test.hpp>

#include <netinet/udp.h>

#include <cstddef>
#include <cstring>
#include <deque>
#include <memory>
#include <string>
#include <vector>

// Which datagrams of a batch travel in one message, and as what. Nothing is sent.

using cosock::address;
using cosock::const_buffer;
using cosock::endpoint;
using cosock::packet_info;
using cosock::detail::datagram_traits;
using cosock::detail::outgoing_list;
using cosock::detail::outgoing_messages;

namespace {

struct item {
  const_buffer data;
  endpoint to;
  const packet_info* source = nullptr;
  std::optional<int> traffic_class = std::nullopt;
};

const endpoint first_peer = endpoint::parse("192.0.2.1:7");
const endpoint second_peer = endpoint::parse("192.0.2.2:7");

/// A batch, in memory that is not contiguous unless it is told so.
class batch {
 public:
  batch& add(std::size_t size, const endpoint& to = first_peer, const packet_info* source = nullptr,
             std::optional<int> traffic_class = std::nullopt) {
    memory_.push_back(std::string(size + 1, 'x'));  // with a gap
    items_.push_back({const_buffer(memory_.back().data(), size), to, source, traffic_class});
    return *this;
  }
  batch& add_contiguous(std::size_t size, std::size_t count) {
    memory_.push_back(std::string(size * count, 'x'));
    for (std::size_t i = 0; i != count; ++i)
      items_.push_back({const_buffer(memory_.back().data() + i * size, size), first_peer});
    return *this;
  }
  batch& add_many(std::size_t size, std::size_t count) {
    for (std::size_t i = 0; i != count; ++i) add(size);
    return *this;
  }
  /// All with destinations and sources of their own, or to the connected peer.
  outgoing_list list(bool connected = false) const {
    outgoing_list l;
    l.first = reinterpret_cast<const char*>(items_.data());
    l.count = items_.size();
    l.stride = sizeof(item);
    if (!connected) {
      l.peer_at = offsetof(item, to);
      l.info_at = offsetof(item, source);
      l.class_at = offsetof(item, traffic_class);
    }
    return l;
  }

 private:
  std::deque<std::string> memory_;
  std::vector<item> items_;
};

/// What fill() makes of a batch.
class filled {
 public:
  explicit filled(const batch& b, std::size_t first = 0, const datagram_traits& traits = {},
                  bool connected = false)
      : list_(b.list(connected)),
        traits_(traits),
        messages_(std::make_unique<outgoing_messages>(
            list_, &cosock::detail::sockaddr_traits<endpoint>::codec, traits_, -1)) {
    messages_->fill(first);
  }
  std::vector<unsigned> datagrams() const {
    std::vector<unsigned> counts;
    for (std::size_t i = 0; i != messages_->count(); ++i) counts.push_back(messages_->datagrams(i));
    return counts;
  }
  const msghdr& header(std::size_t i) const { return messages_->headers()[i].msg_hdr; }
  std::size_t segment(std::size_t i) const { return messages_->segment(i); }
  std::size_t bytes(std::size_t i) const {
    std::size_t n = 0;
    for (std::size_t piece = 0; piece != header(i).msg_iovlen; ++piece)
      n += header(i).msg_iov[piece].iov_len;
    return n;
  }
  /// The control message of this kind; null if there is none.
  const cmsghdr* control(std::size_t i, int level, int type) const {
    msghdr m = header(i);
    if (!m.msg_control) return nullptr;
    for (cmsghdr* c = CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c))
      if (c->cmsg_level == level && c->cmsg_type == type) return c;
    return nullptr;
  }
  /// The size to which the system is to split the message; 0: not at all.
  unsigned split_size(std::size_t i) const {
    const cmsghdr* const c = control(i, SOL_UDP, UDP_SEGMENT);
    std::uint16_t size = 0;
    if (c) std::memcpy(&size, CMSG_DATA(c), sizeof size);
    return size;
  }

 private:
  outgoing_list list_;
  datagram_traits traits_;
  std::unique_ptr<outgoing_messages> messages_;
};

using counts = std::vector<unsigned>;

}  // namespace

BOOST_AUTO_TEST_CASE(datagrams_of_one_size_are_joined) {
  const filled f(batch().add(100).add(100).add(100));
  BOOST_TEST(f.datagrams() == counts({3}), boost::test_tools::per_element());
  BOOST_TEST(f.split_size(0) == 100u);
  BOOST_TEST(f.segment(0) == 100u);
  BOOST_TEST(f.bytes(0) == 300u);
  BOOST_TEST(f.header(0).msg_iovlen == 3u);
}

BOOST_AUTO_TEST_CASE(the_last_of_those_that_are_joined_may_be_shorter) {
  const filled f(batch().add(100).add(100).add(1).add(1));
  BOOST_TEST(f.datagrams() == counts({3, 1}), boost::test_tools::per_element());
  BOOST_TEST(f.split_size(0) == 100u);
  BOOST_TEST(f.bytes(0) == 201u);
}

BOOST_AUTO_TEST_CASE(a_longer_one_begins_a_message) {
  const filled f(batch().add(100).add(101).add(101));
  BOOST_TEST(f.datagrams() == counts({1, 2}), boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(one_alone_is_not_split) {
  const filled f(batch().add(100));
  BOOST_TEST(f.split_size(0) == 0u);
  BOOST_TEST(f.header(0).msg_control == nullptr);
}

BOOST_AUTO_TEST_CASE(empty_ones_are_messages_of_their_own) {
  const filled f(batch().add(0).add(0).add(10).add(0).add(10));
  BOOST_TEST(f.datagrams() == counts({1, 1, 1, 1, 1}), boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(memory_that_goes_on_is_one_piece) {
  const filled f(batch().add_contiguous(50, 4));
  BOOST_TEST(f.datagrams() == counts({4}), boost::test_tools::per_element());
  BOOST_TEST(f.header(0).msg_iovlen == 1u);
  BOOST_TEST(f.bytes(0) == 200u);
}

BOOST_AUTO_TEST_CASE(other_destinations_are_other_messages) {
  const filled f(batch().add(10).add(10).add(10, second_peer).add(10));
  BOOST_TEST(f.datagrams() == counts({2, 1, 1}), boost::test_tools::per_element());
  const auto& name = *static_cast<const sockaddr_in*>(f.header(1).msg_name);
  BOOST_TEST(f.header(1).msg_namelen == sizeof name);
  BOOST_TEST(ntohl(name.sin_addr.s_addr) == 0xc0000202u);
  BOOST_TEST(ntohs(name.sin_port) == 7u);
}

BOOST_AUTO_TEST_CASE(to_a_connected_peer_no_destination_is_named) {
  const filled f(batch().add(10).add(10, second_peer), 0, {}, true);
  BOOST_TEST(f.datagrams() == counts({2}), boost::test_tools::per_element());
  BOOST_TEST(f.header(0).msg_name == nullptr);
  BOOST_TEST(f.header(0).msg_namelen == 0u);
}

BOOST_AUTO_TEST_CASE(other_sources_are_other_messages) {
  packet_info source;
  source.local = address::parse("192.0.2.9");
  const filled f(batch().add(10).add(10, first_peer, &source).add(10, first_peer, &source));
  BOOST_TEST(f.datagrams() == counts({1, 2}), boost::test_tools::per_element());
  BOOST_TEST(f.control(0, IPPROTO_IP, IP_PKTINFO) == nullptr);
  const cmsghdr* const c = f.control(1, IPPROTO_IP, IP_PKTINFO);
  BOOST_REQUIRE(c);
  in_pktinfo info;
  std::memcpy(&info, CMSG_DATA(c), sizeof info);
  BOOST_TEST(ntohl(info.ipi_spec_dst.s_addr) == 0xc0000209u);
  BOOST_TEST(f.split_size(1) == 10u);
}

BOOST_AUTO_TEST_CASE(other_traffic_classes_are_other_messages) {
  const auto add = [](batch& b, std::optional<int> traffic_class) {
    b.add(10, first_peer, nullptr, traffic_class);
  };
  batch b;
  add(b, std::nullopt);
  for (const int each : {1, 1, 2, 0}) add(b, each);
  const filled f(b);
  BOOST_TEST(f.datagrams() == counts({1, 2, 1, 1}), boost::test_tools::per_element());
  BOOST_TEST(f.control(0, IPPROTO_IP, IP_TOS) == nullptr);
  const int expected[] = {-1, 1, 2, 0};
  for (std::size_t i = 1; i != 4; ++i) {
    const cmsghdr* const c = f.control(i, IPPROTO_IP, IP_TOS);
    BOOST_REQUIRE(c);
    int value = -1;
    std::memcpy(&value, CMSG_DATA(c), sizeof value);
    BOOST_TEST(value == expected[i]);
  }
  BOOST_TEST(f.split_size(1) == 10u);
}

BOOST_AUTO_TEST_CASE(a_message_has_room_for_all_that_it_may_carry) {
  packet_info source;
  source.local = address::parse("2001:db8::9");
  const endpoint to = endpoint::parse("[2001:db8::1]:7");
  datagram_traits v6;
  v6.family = AF_INET6;
  const filled f(batch().add(10, to, &source, 1).add(10, to, &source, 1), 0, v6);
  BOOST_TEST(f.datagrams() == counts({2}), boost::test_tools::per_element());
  BOOST_TEST(f.control(0, IPPROTO_IPV6, IPV6_PKTINFO) != nullptr);
  BOOST_TEST(f.control(0, IPPROTO_IPV6, IPV6_TCLASS) != nullptr);
  BOOST_TEST(f.control(0, IPPROTO_IP, IP_TOS) == nullptr);
  BOOST_TEST(f.split_size(0) == 10u);
  BOOST_TEST(f.header(0).msg_controllen == cosock::detail::max_sent_control);
}

BOOST_AUTO_TEST_CASE(no_source_is_a_group_or_all) {
  for (const char* local : {"224.0.0.1", "255.255.255.255", "0.0.0.0", "::1"}) {
    packet_info source;
    source.local = address::parse(local);
    const filled f(batch().add(10, first_peer, &source));
    BOOST_TEST(f.header(0).msg_control == nullptr, local);
    source.interface_index = 3;  // which counts alone
    const filled over(batch().add(10, first_peer, &source));
    BOOST_TEST(over.control(0, IPPROTO_IP, IP_PKTINFO) != nullptr, local);
  }
}

BOOST_AUTO_TEST_CASE(an_ipv6_socket_has_mapped_destinations) {
  datagram_traits v6;
  v6.family = AF_INET6;
  const filled f(batch().add(10), 0, v6);
  const auto& name = *static_cast<const sockaddr_in6*>(f.header(0).msg_name);
  BOOST_TEST(f.header(0).msg_namelen == sizeof name);
  BOOST_TEST(name.sin6_family == AF_INET6);
  BOOST_TEST(IN6_IS_ADDR_V4MAPPED(&name.sin6_addr));
  BOOST_TEST(ntohs(name.sin6_port) == 7u);
}

BOOST_AUTO_TEST_CASE(what_the_system_refused_to_split_is_not_joined) {
  datagram_traits t;
  t.gso_size_limit = 100;
  const filled f(batch().add(100).add(100).add(99).add(99), 0, t);
  BOOST_TEST(f.datagrams() == counts({1, 1, 2}), boost::test_tools::per_element());
  t.gso_size_limit = 0;
  const filled none(batch().add(1).add(1), 0, t);
  BOOST_TEST(none.datagrams() == counts({1, 1}), boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(a_message_carries_64_datagrams) {
  const filled f(batch().add_contiguous(1, 130));
  BOOST_TEST(f.datagrams() == counts({64, 64, 2}), boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(a_message_carries_what_fits_into_a_datagram) {
  const filled f(batch().add_contiguous(1400, 100));
  BOOST_TEST(f.datagrams() == counts({46, 46, 8}), boost::test_tools::per_element());
  BOOST_TEST(f.bytes(0) == 46u * 1400);
  const filled large(batch().add(40'000).add(40'000));
  BOOST_TEST(large.datagrams() == counts({1, 1}), boost::test_tools::per_element());
  const filled largest(batch().add(65'507).add(65'507));
  BOOST_TEST(largest.datagrams() == counts({1, 1}), boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(one_call_carries_64_messages_and_the_next_goes_on) {
  batch b;
  for (std::size_t i = 0; i != 70; ++i) b.add(1 + i);  // each longer than the one before
  const filled f(b);
  BOOST_TEST(f.datagrams() == counts(64, 1u), boost::test_tools::per_element());
  const filled rest(b, 64);
  BOOST_TEST(rest.datagrams() == counts(6, 1u), boost::test_tools::per_element());
  BOOST_TEST(rest.bytes(0) == 65u);
}

BOOST_AUTO_TEST_CASE(one_call_carries_as_many_pieces_as_the_system_takes) {
  const filled f(batch().add_many(8, 1100));
  BOOST_TEST(f.datagrams() == counts(16, 64u), boost::test_tools::per_element());
  const filled rest(batch().add_many(8, 1100), 1024);
  BOOST_TEST(rest.datagrams() == counts({64, 12}), boost::test_tools::per_element());
}
