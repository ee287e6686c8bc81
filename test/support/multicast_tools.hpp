// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

#include "netns.hpp"
#include "support.hpp"

#include <cosock/udp.hpp>

#include <netinet/in.h>

#include <string>

// Members of multicast groups, and senders, in a network of their own.

namespace test {

using cosock::address;
using cosock::network_interface;
using cosock::udp_socket;

/// Three interfaces that carry multicast, each with a peer that nobody listens on.
inline void make_interfaces() {
  std::string all = "ip link set lo multicast on";
  for (int i = 0; i != 3; ++i) {
    const std::string n = std::to_string(i);
    all += " && ip link add d" + n + " type veth peer name e" + n + " && ip link set e" + n +
           " up && ip addr add 10.231." + n + ".1/24 dev d" + n + " && ip -6 addr add fd31:" + n +
           "::1/64 dev d" + n + " nodad && ip -6 addr add fe80::" + n + "1/64 dev d" + n +
           " nodad && ip link set d" + n + " up multicast on";
  }
  BOOST_REQUIRE(std::system(all.c_str()) == 0);
  for (const char* each : {"d0", "d1", "d2"}) wait_for_multicast(each);
}

inline network_interface named(const char* name) { return network_interface::by_name(name); }

inline address any(bool v6) { return v6 ? address::any_v6() : address::any_v4(); }
inline address group(bool v6, int which) {
  return address::parse((v6 ? "ff15::7:" : "239.7.7.") + std::to_string(which));
}

/// Bound to every address, on a port that several may share.
inline udp_socket member_on(std::uint16_t port, bool v6) {
  return udp_socket(cosock::endpoint(any(v6), port),
                    {.reuse_address = true, .receive_address = true});
}

struct sender {
  explicit sender(bool v6) : v6(v6), socket(cosock::endpoint(any(v6), 0)) {}
  cosock::task<> send(const char* text, const address& to, std::uint16_t port, const char* over) {
    socket.set_multicast_interface(named(over));
    co_await socket.send_to(std::string_view(text), cosock::endpoint(to, port));
  }
  bool v6;
  udp_socket socket;
};

/// What has arrived, with commas between; a send returns after that.
inline cosock::task<std::string> heard_by(udp_socket& s) {
  std::string all;
  char into[64];
  for (;;) {
    const auto got = co_await cosock::as_result(cosock::with_timeout(5ms, s.receive(into)));
    if (!got) co_return all;
    if (!all.empty()) all += ", ";
    all.append(into, got->size);
  }
}

}  // namespace test
