// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// What a server binds to: passive look-ups.

#include <cosock/resolve.hpp>

#define BOOST_TEST_MODULE passive
#include "netns.hpp"

#include <cosock/connect.hpp>
#include <cosock/tcp.hpp>
#include <cosock/udp.hpp>

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/syscall.h>

#include <cstddef>

using cosock::address;
using cosock::connect;
using cosock::endpoint;
using cosock::family;
using cosock::resolve;
using cosock::task;
using cosock::tcp_acceptor;

namespace {

std::string joined(const std::vector<endpoint>& all) {
  std::string text;
  for (const endpoint& each : all) text += (text.empty() ? "" : " ") + each.to_string();
  return text;
}

bool has_v6() {
  const int fd = ::socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
  ::close(fd);
  return fd >= 0;
}

/// Has socket(2) fail for IPv6 in this process, as on a system that was booted without it.
void remove_v6() {
  sock_filter program[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_socket, 0, 3),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, args[0])),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AF_INET6, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EAFNOSUPPORT),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const sock_fprog filter = {sizeof program / sizeof *program, program};
  test::check(::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0, "no_new_privs");
  test::check(::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0, "seccomp");
}

}  // namespace

COROUTINE_TEST_CASE(every_endpoint_of_a_passive_look_up_can_be_bound) {
  std::uint16_t port = 0;
  {
    const tcp_acceptor probe(endpoint(address::any_v4(), 0));
    port = probe.local_endpoint().port();
  }
  std::vector<tcp_acceptor> acceptors;
  std::vector<cosock::udp_socket> sockets;
  for (const endpoint& each : co_await resolve("", port, {.passive = true})) {
    acceptors.emplace_back(each);
    sockets.emplace_back(each);
  }
  BOOST_REQUIRE(acceptors.size() == 1u);

  const auto client = co_await connect(endpoint(address::loopback_v4(), port));
  const auto served = co_await acceptors[0].accept();
  BOOST_TEST(served.remote_endpoint().address().unmapped() == address::loopback_v4());
}

COROUTINE_TEST_CASE(the_wanted_family_is_what_is_bound) {
  BOOST_TEST(joined(co_await resolve("", 80, {.passive = true})) ==
             (has_v6() ? "[::]:80" : "0.0.0.0:80"));
  BOOST_TEST(joined(co_await resolve("", 80, {.family = family::v4, .passive = true})) ==
             "0.0.0.0:80");
  BOOST_TEST(joined(co_await resolve("", 80, {.family = family::v6, .passive = true})) ==
             "[::]:80");
  BOOST_TEST(joined(co_await resolve("127.0.0.1", 80, {.passive = true})) == "127.0.0.1:80");
}

CHILD_COROUTINE_TEST_CASE(a_system_without_v6_binds_to_v4) {
  remove_v6();
  BOOST_TEST(joined(co_await resolve("", 80, {.passive = true})) == "0.0.0.0:80");
  for (const endpoint& each : co_await resolve("", 0, {.passive = true}))
    BOOST_TEST(tcp_acceptor(each).local_endpoint().address() == address::any_v4());
  BOOST_TEST(joined(co_await resolve("", 80, {.family = family::v4, .passive = true})) ==
             "0.0.0.0:80");
}
