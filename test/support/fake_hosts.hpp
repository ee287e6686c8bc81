// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// Hosts that do what the test says, behind a network device.

#include "manual_event.hpp"
#include "netns.hpp"
#include "raw_socket.hpp"

#include <linux/if_tun.h>
#include <netinet/in.h>

#include <deque>
#include <map>

namespace test {

using cosock::address;
using cosock::endpoint;
using cosock::loop;

/// A network of hosts that do nothing by themselves: 10.231.7.0/24 and fd31:7::/64 lie behind a
/// network device, at the other end of which the test reads packets and writes answers.
class fake_hosts {
 public:
  fake_hosts() {
    ifreq request = {};
    std::strcpy(request.ifr_name, "fake_hosts");
    request.ifr_flags = IFF_TUN | IFF_NO_PI;
    test::check(tun_.fd() >= 0 && ::ioctl(tun_.fd(), TUNSETIFF, &request) == 0, "/dev/net/tun");

    const raw_socket v4(SOCK_DGRAM);
    system_name name(endpoint::parse("10.231.7.1:0"));
    std::memcpy(&request.ifr_addr, name.get(), sizeof request.ifr_addr);
    test::check(::ioctl(v4.fd(), SIOCSIFADDR, &request) == 0, "SIOCSIFADDR");
    name = system_name(endpoint::parse("255.255.255.0:0"));
    std::memcpy(&request.ifr_netmask, name.get(), sizeof request.ifr_netmask);
    test::check(::ioctl(v4.fd(), SIOCSIFNETMASK, &request) == 0, "SIOCSIFNETMASK");

    raw_socket v6(SOCK_DGRAM, AF_INET6);
    struct {  // struct in6_ifreq
      in6_addr address;
      std::uint32_t prefix;
      int interface;
    } request_v6 = {};
    std::memcpy(&request_v6.address, address::parse("fd31:7::1").bytes().data(), 16);
    request_v6.prefix = 64;
    request_v6.interface = static_cast<int>(::if_nametoindex("fake_hosts"));
    test::check(::ioctl(v6.fd(), SIOCSIFADDR, &request_v6) == 0, "SIOCSIFADDR for IPv6");
    test::bring_up("fake_hosts");
    // The address is of no use before the system has taken its time over it.
    while (v6.bind(endpoint::parse("[fd31:7::1]:0")) != 0) ::sched_yield();
  }

  /// Runs the loop until it asks another host for a connection, and gives that host.
  endpoint next_attempt(loop& on) {
    while (attempts_.empty()) {
      on.poll();
      read();
    }
    const endpoint first = attempts_.front();
    attempts_.pop_front();
    return first;
  }
  /// Whether somebody was asked whom the test has not seen yet.
  bool another_attempt(loop& on) {
    run_until_idle(on);
    read();
    return !attempts_.empty();
  }

  void accept(const endpoint& host) { answer(host, syn | ack); }
  void refuse(const endpoint& host) { answer(host, rst | ack); }
  /// Has a router say that it cannot reach the host; IPv4 only.
  void lose(const endpoint& host) {
    const std::string& asked = hosts_.at(host).packet;
    std::string message = std::string("\3\1\0\0\0\0\0\0", 8) + asked.substr(0, 28);
    put_sum(message, 2, sum_of(message));
    write(
        v4_header(1, address::parse("10.231.7.254"), address::parse("10.231.7.1"), message.size()) +
        message);
  }
  /// Whether the client has ended its connection to the host.
  bool ended(const endpoint& host) {
    read();
    return hosts_.at(host).ended;
  }

 private:
  enum : unsigned { fin = 1, syn = 2, rst = 4, ack = 16 };
  struct state {
    std::string packet;  // the one that asked
    bool ended = false;
  };

  static unsigned get16(const std::string& from, std::size_t at) {
    return static_cast<unsigned char>(from[at]) * 256u + static_cast<unsigned char>(from[at + 1]);
  }
  static std::string put16(unsigned value) {
    return {static_cast<char>(value >> 8), static_cast<char>(value)};
  }
  static std::string put32(std::uint32_t value) {
    return put16(value >> 16) + put16(value & 0xffff);
  }
  static unsigned sum_of(const std::string& bytes) {
    unsigned sum = 0;
    for (std::size_t i = 0; i + 1 < bytes.size(); i += 2) sum += get16(bytes, i);
    while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
    return ~sum & 0xffff;
  }
  static void put_sum(std::string& into, std::size_t at, unsigned sum) {
    into.replace(at, 2, put16(sum));
  }
  static std::string bytes_of(const address& a) {
    return {reinterpret_cast<const char*>(a.bytes().data()), a.is_v4() ? 4u : 16u};
  }
  static std::string v4_header(char protocol, const address& from, const address& to,
                               std::size_t size) {
    std::string header = std::string("\x45\0", 2) + put16(static_cast<unsigned>(20 + size)) +
                         std::string("\0\0\x40\0\x40", 5) + protocol + std::string(2, '\0') +
                         bytes_of(from) + bytes_of(to);
    put_sum(header, 10, sum_of(header));
    return header;
  }

  static bool is_v4(const std::string& packet) { return (packet[0] >> 4 & 15) == 4; }
  static std::size_t tcp_at(const std::string& packet) { return is_v4(packet) ? 20 : 40; }
  static address address_at(const std::string& packet, std::size_t v4, std::size_t v6) {
    if (is_v4(packet)) {
      address::v4_bytes bytes;
      std::memcpy(bytes.data(), packet.data() + v4, 4);
      return address(bytes);
    }
    address::v6_bytes bytes;
    std::memcpy(bytes.data(), packet.data() + v6, 16);
    return address(bytes);
  }

  void read() {
    char data[2048];
    for (ssize_t n; (n = ::read(tun_.fd(), data, sizeof data)) > 0;) {
      const std::string packet(data, static_cast<std::size_t>(n));
      if (packet[is_v4(packet) ? 9 : 6] != IPPROTO_TCP) continue;
      const std::size_t tcp = tcp_at(packet);
      const endpoint host(address_at(packet, 16, 24),
                          static_cast<std::uint16_t>(get16(packet, tcp + 2)));
      const auto flags = static_cast<unsigned char>(packet[tcp + 13]);
      if (flags & (fin | rst)) {
        hosts_[host].ended = true;
      } else if (flags == syn && !hosts_.contains(host)) {  // and not one sent again
        hosts_[host].packet = packet;
        attempts_.push_back(host);
      }
    }
  }

  void answer(const endpoint& host, unsigned flags) {
    const std::string& asked = hosts_.at(host).packet;
    const std::size_t at = tcp_at(asked);
    const address client = address_at(asked, 12, 8);
    const std::uint32_t sequence = get16(asked, at + 4) << 16 | get16(asked, at + 6);
    std::string tcp = put16(host.port()) + asked.substr(at, 2) + put32(flags & syn ? 1000 : 0) +
                      put32(sequence + 1) + '\x50' + static_cast<char>(flags) + put16(60'000) +
                      std::string(4, '\0');
    const std::string pseudo_header = bytes_of(host.address()) + bytes_of(client) +
                                      put16(IPPROTO_TCP) + put16(static_cast<unsigned>(tcp.size()));
    put_sum(tcp, 16, sum_of(pseudo_header + tcp));
    if (client.is_v4())
      write(v4_header(IPPROTO_TCP, host.address(), client, tcp.size()) + tcp);
    else
      write(std::string("\x60\0\0\0", 4) + put16(static_cast<unsigned>(tcp.size())) +
            static_cast<char>(IPPROTO_TCP) + '\x40' + bytes_of(host.address()) + bytes_of(client) +
            tcp);
  }
  void write(const std::string& packet) {
    test::check(
        ::write(tun_.fd(), packet.data(), packet.size()) == static_cast<ssize_t>(packet.size()),
        "write to /dev/net/tun");
  }

  raw_socket tun_ = raw_socket::of(::open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC));
  std::map<endpoint, state> hosts_;
  std::deque<endpoint> attempts_;
};

/// Whether there can be fake_hosts.
inline boost::test_tools::assertion_result may_have_fake_hosts(boost::unit_test::test_unit_id id) {
  static const bool may = [&] {
    if (!test::may_have_a_network(id)) return false;
    const pid_t child = ::fork();
    if (child == 0) {
      try {
        test::enter_network();
        const fake_hosts some;
        ::_exit(0);
      } catch (...) {
        ::_exit(1);
      }
    }
    int status = -1;
    ::waitpid(child, &status, 0);
    if (status != 0) BOOST_TEST_MESSAGE("skipped: needs /dev/net/tun");
    return status == 0;
  }();
  boost::test_tools::assertion_result result(may);
  if (!may) result.message() << "needs root and /dev/net/tun";
  return result;
}

}  // namespace test
