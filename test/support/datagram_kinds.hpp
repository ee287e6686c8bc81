// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// The kinds of sockets that the cases of datagram_*.cpp run for.

#include <cosock/local_datagram.hpp>
#include <cosock/udp.hpp>

#include <boost/mpl/list.hpp>
#include <boost/system/error_code.hpp>

#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <string>
#include <thread>

namespace test::datagram_kinds {

struct udp_v4 {
  using socket = cosock::udp_socket;
  static socket make() { return socket({cosock::address::loopback_v4(), 0}); }
  static constexpr bool can_disconnect = true;
  /// Room for the datagrams of the largest test.
  static void make_room(socket& s) { s.set_receive_buffer(8 << 20); }
  /// What a send without a peer fails with.
  static boost::system::error_code no_peer() {
    return {EDESTADDRREQ, boost::system::system_category()};
  }
};

struct udp_v6 : udp_v4 {
  static socket make() { return socket({cosock::address::loopback_v6(), 0}); }
  static constexpr bool can_disconnect = false;
};

/// Lets the system join and split; the results are the same.
struct udp_offload : udp_v4 {
  static socket make() {
    cosock::udp_socket_options options;
    options.receive_offload = true;
    return socket({cosock::address::loopback_v4(), 0}, options);
  }
};

struct udp_no_offload : udp_v6 {
  static socket make() {
    cosock::udp_socket_options options;
    options.send_offload = false;
    options.receive_dropped = true;
    return socket({cosock::address::loopback_v6(), 0}, options);
  }
};

struct local_abstract {
  using socket = cosock::local_datagram_socket;
  static socket make() { return socket(cosock::local_endpoint()); }
  static constexpr bool can_disconnect = true;
  static void make_room(socket&) {}
  static boost::system::error_code no_peer() {
    return {ENOTCONN, boost::system::system_category()};
  }
};

struct local_path : local_abstract {
  static socket make() {
    static std::atomic<int> count = 0;
    const std::string name =
        "cosock-datagram-" + std::to_string(::getpid()) + '-' + std::to_string(++count);
    const auto path = std::filesystem::temp_directory_path() / name;
    return socket(cosock::local_endpoint::path(path.string()));
  }
};

using every_kind =
    boost::mpl::list<udp_v4, udp_v6, udp_offload, udp_no_offload, local_abstract, local_path>;

}  // namespace test::datagram_kinds
