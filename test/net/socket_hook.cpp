// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// The hook that sets options of the system on a socket before it is bound or connected.

#include <cosock/socket.hpp>

#define BOOST_TEST_MODULE socket_hook
#include "connect_fixture.hpp"
#include "local_tools.hpp"
#include "manual_event.hpp"
#include "raw_socket.hpp"

#include <cosock/connect.hpp>
#include <cosock/local_datagram.hpp>
#include <cosock/udp.hpp>

#include <netinet/tcp.h>
#include <netinet/udp.h>

#include <stdexcept>
#include <vector>

namespace {

using namespace test;
using cosock::address;
using cosock::as_result;
using cosock::local_acceptor;
using cosock::local_datagram_socket;
using cosock::local_endpoint;
using cosock::local_seqpacket_socket;
using cosock::local_stream_socket;
using cosock::packet_info;
using cosock::tcp_acceptor;
using cosock::udp_socket;

int option(int fd, int level, int name) {
  int value = -1;
  socklen_t size = sizeof value;
  BOOST_REQUIRE(::getsockopt(fd, level, name, &value, &size) == 0);
  return value;
}
void set_option(int fd, int level, int name, int value) {
  test::check(::setsockopt(fd, level, name, &value, sizeof value) == 0, "setsockopt");
}

void set_priority(int fd) { set_option(fd, SOL_SOCKET, SO_PRIORITY, 5); }
int priority(int fd) { return option(fd, SOL_SOCKET, SO_PRIORITY); }

/// Whether the socket is bound to a port or a name.
bool is_bound(int fd) {
  sockaddr_storage name;
  socklen_t size = sizeof name;
  BOOST_REQUIRE(::getsockname(fd, reinterpret_cast<sockaddr*>(&name), &size) == 0);
  if (name.ss_family == AF_UNIX) return size > sizeof(sa_family_t);
  return reinterpret_cast<const sockaddr_in&>(name).sin_port != 0;  // at the same place for IPv6
}

/// A hook that records the calls.
struct hook_recorder {
  void operator()(int fd) {
    BOOST_TEST(!is_bound(fd));
    descriptors.push_back(fd);
    set_priority(fd);
  }
  std::vector<int> descriptors;
};
/// A hook that refuses, from the call with this number on.
struct refuser {
  void operator()(int) {
    if (++calls >= first) throw std::runtime_error("refused by the hook");
  }
  int first = 1;
  int calls = 0;
};
/// The same with the exception of a system call.
void refuse_as_system(int) {
  throw system_error({EPERM, boost::system::system_category()}, "the hook");
}
bool is_of_hook(const std::runtime_error& e) {
  return e.what() == std::string("refused by the hook");
}
bool is_of_system_hook(const system_error& e) {
  return e.code() == boost::system::errc::operation_not_permitted && contains(e.what(), "the hook");
}

}  // namespace

BOOST_AUTO_TEST_SUITE(sockets_that_are_bound)

COROUTINE_TEST_CASE(an_acceptor_calls_it_before_bind) {
  for (const endpoint& at : {any_port_v4, any_port_v6}) {
    hook_recorder hook;
    const tcp_acceptor acceptor(at, {.configure = hook});
    BOOST_TEST(hook.descriptors == std::vector<int>{acceptor.native_handle()},
               boost::test_tools::per_element());
    BOOST_TEST(priority(acceptor.native_handle()) == 5);
  }
  co_return;
}

COROUTINE_TEST_CASE(an_acceptor_may_bind_to_an_address_that_the_machine_does_not_have) {
  const endpoint missing = endpoint::parse("192.0.2.1:0");
  BOOST_CHECK_THROW((tcp_acceptor(missing)), system_error);
  const auto allow = [](int fd) { set_option(fd, IPPROTO_IP, IP_FREEBIND, 1); };
  const tcp_acceptor acceptor(missing, {.configure = allow});
  BOOST_TEST(acceptor.local_endpoint().address() == missing.address());
  co_return;
}

COROUTINE_TEST_CASE(the_hook_may_change_what_the_options_have_set) {
  bool was_set = false;
  const auto hook = [&](int fd) {
    was_set = option(fd, SOL_SOCKET, SO_REUSEADDR) != 0;
    set_option(fd, SOL_SOCKET, SO_REUSEADDR, 0);
  };
  const tcp_acceptor acceptor(any_port_v4, {.configure = hook});
  BOOST_TEST(was_set);
  BOOST_TEST(option(acceptor.native_handle(), SOL_SOCKET, SO_REUSEADDR) == 0);
  co_return;
}

COROUTINE_TEST_CASE(a_udp_socket_calls_it_before_bind) {
  for (const endpoint& at : {any_port_v4, any_port_v6}) {
    hook_recorder hook;
    const udp_socket socket(at, {.configure = hook});
    BOOST_TEST(hook.descriptors == std::vector<int>{socket.native_handle()},
               boost::test_tools::per_element());
    BOOST_TEST(priority(socket.native_handle()) == 5);
    const udp_socket client =
        co_await cosock::connect_udp(socket.local_endpoint(), {.configure = set_priority});
    BOOST_TEST(priority(client.native_handle()) == 5);
  }
  co_return;
}

COROUTINE_TEST_CASE(information_that_it_enables_is_received) {
  const auto hook = [](int fd) { set_option(fd, IPPROTO_IP, IP_RECVTTL, 1); };
  udp_socket socket(any_port_v4, {.configure = hook});
  udp_socket client(any_port_v4);
  client.set_hops(42);
  char into[8];
  packet_info info;
  cosock::datagram_batch batch(2, 8);
  for (int i = 0; i != 2; ++i) co_await client.send_to("x", socket.local_endpoint());
  co_await socket.receive_from(into, info);
  BOOST_TEST(info.hops.value() == 42);
  BOOST_TEST(co_await socket.receive_batch(batch) == 1u);
  BOOST_TEST((*batch.begin()).info().hops.value() == 42);
}

COROUTINE_TEST_CASE(datagrams_are_split_if_it_lets_the_system_join_them) {
  const auto hook = [](int fd) {
    const int yes = 1;
    ::setsockopt(fd, SOL_UDP, UDP_GRO, &yes, sizeof yes);  // not on an old system
  };
  udp_socket socket(any_port_v4, {.configure = hook});
  udp_socket client(any_port_v4);
  const std::vector<cosock::const_buffer> four(4, cosock::const_buffer("datagram"));
  co_await client.send_batch(four, socket.local_endpoint());
  for (int i = 0; i != 4; ++i) {
    char into[64];
    const cosock::receive_result got = co_await socket.receive(into);
    BOOST_TEST(std::string(into, got.size) == "datagram");
  }
}

COROUTINE_TEST_CASE(local_sockets_call_it_before_bind) {
  const temporary_folder folder;
  for (const local_endpoint& at : {local_endpoint(), folder.at("socket")}) {
    hook_recorder hook;
    const local_acceptor acceptor(at, {.configure = hook});
    local_datagram_socket datagrams(at.is_path() ? folder.at("other") : at, {.configure = hook});
    BOOST_TEST(
        hook.descriptors == (std::vector<int>{acceptor.native_handle(), datagrams.native_handle()}),
        boost::test_tools::per_element());
    BOOST_TEST(priority(acceptor.native_handle()) == 5);
    BOOST_TEST(priority(datagrams.native_handle()) == 5);
  }
  co_return;
}

COROUTINE_TEST_CASE(an_exception_leaves_the_constructor_and_nothing_open) {
  const temporary_folder folder;
  const std::size_t before = open_descriptors();
  refuser hook;
  BOOST_CHECK_EXCEPTION((tcp_acceptor(any_port_v4, {.configure = hook})), std::runtime_error,
                        is_of_hook);
  BOOST_CHECK_EXCEPTION((udp_socket(any_port_v4, {.configure = hook})), std::runtime_error,
                        is_of_hook);
  BOOST_CHECK_EXCEPTION(
      (void)co_await cosock::connect_udp(endpoint::parse("127.0.0.1:1"), {.configure = hook}),
      std::runtime_error, is_of_hook);
  BOOST_CHECK_EXCEPTION((local_acceptor(folder.at("a"), {.configure = hook})), std::runtime_error,
                        is_of_hook);
  BOOST_CHECK_EXCEPTION((local_datagram_socket(folder.at("a"), {.configure = hook})),
                        std::runtime_error, is_of_hook);
  BOOST_CHECK_EXCEPTION((tcp_acceptor(any_port_v4, {.configure = refuse_as_system})), system_error,
                        is_of_system_hook);
  BOOST_TEST(hook.calls == 5);
  BOOST_TEST(!exists(folder / "a"));
  BOOST_TEST(open_descriptors() == before);
  co_return;
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(connections)

COROUTINE_TEST_CASE(it_is_called_before_connect) {
  const listener server;
  hook_recorder hook;
  const tcp_socket client = co_await connect(server.at(), {.configure = hook});
  BOOST_TEST(hook.descriptors == std::vector<int>{client.native_handle()},
             boost::test_tools::per_element());
  BOOST_TEST(priority(client.native_handle()) == 5);
  const tcp_socket bound = co_await connect(server.at(), {.local = any_port_v4, .configure = hook});
  BOOST_TEST(priority(bound.native_handle()) == 5);
}

COROUTINE_TEST_CASE(it_may_change_the_options_of_a_connection) {
  const listener server;
  bool was_set = false;
  const auto hook = [&](int fd) {
    was_set = option(fd, IPPROTO_TCP, TCP_NODELAY) != 0;
    set_option(fd, IPPROTO_TCP, TCP_NODELAY, 0);
  };
  const tcp_socket client = co_await connect(server.at(), {.configure = hook});
  BOOST_TEST(was_set);
  BOOST_TEST(!client.no_delay());
}

COROUTINE_TEST_CASE(it_is_called_for_each_attempt_to_a_host) {
  const listener server;
  const closed_port closed(address::parse("127.0.0.2"));
  hook_recorder hook;
  const std::vector<endpoint> peers = {closed.at(), server.at()};
  const tcp_socket client = co_await connect(peers, {.configure = hook});
  BOOST_TEST(hook.descriptors.size() == 2u);
  BOOST_TEST(priority(client.native_handle()) == 5);
  const tcp_socket by_host =
      co_await connect("127.0.0.1", server.at().port(), {.configure = set_priority});
  BOOST_TEST(priority(by_host.native_handle()) == 5);
}

COROUTINE_TEST_CASE(an_exception_ends_the_attempt_and_leaves_nothing_open) {
  const listener server;
  const std::size_t before = open_descriptors();
  refuser hook;
  try {
    (void)co_await connect(server.at(), {.configure = hook});
    BOOST_ERROR("connected");
  } catch (const std::runtime_error& e) {
    BOOST_TEST(is_of_hook(e));
  }
  try {
    (void)co_await as_result(connect(server.at(), {.configure = hook}));
    BOOST_ERROR("connected");
  } catch (const std::runtime_error& e) {
    BOOST_TEST(is_of_hook(e));
  }
  const auto result = co_await as_result(connect(server.at(), {.configure = refuse_as_system}));
  BOOST_TEST((result.error() == boost::system::errc::operation_not_permitted));
  BOOST_CHECK_EXCEPTION((void)result.value(), system_error, is_of_system_hook);
  BOOST_TEST(open_descriptors() == before);
}

/// The first attempt gets no answer, the hook refuses in the second, and the third is not made.
COROUTINE_TEST_CASE(an_exception_ends_all_attempts_to_a_host) {
  const black_hole silent;
  const listener server;
  const std::vector<endpoint> peers = {silent.at(), server.at(), server.at()};
  const std::size_t before = open_descriptors();
  for (const auto delay : {0ms, 1ms}) {
    refuser hook{.first = 2};
    try {
      (void)co_await connect(peers, {.attempt_delay = delay, .configure = hook});
      BOOST_ERROR("connected");
    } catch (const std::runtime_error& e) {
      BOOST_TEST(is_of_hook(e));
    }
    BOOST_TEST(hook.calls == 2);
    BOOST_TEST(open_descriptors() == before);
  }
}

/// It is not the failure of one address, after which the others would be tried.
COROUTINE_TEST_CASE(an_exception_of_a_system_call_ends_all_attempts_too) {
  const listener server;
  const std::vector<endpoint> peers = {server.at(), server.at()};
  const std::size_t before = open_descriptors();
  int calls = 0;
  const auto hook = [&](int fd) {
    ++calls;
    refuse_as_system(fd);
  };
  for (int i = 0; i != 2; ++i) {
    try {
      if (i == 0)
        (void)co_await connect(peers, {.configure = hook});
      else
        (void)co_await connect("127.0.0.1", server.at().port(), {.configure = hook});
      BOOST_ERROR("connected");
    } catch (const system_error& e) {
      BOOST_TEST(is_of_system_hook(e), e.what());
    }
  }
  BOOST_TEST(calls == 2);
  BOOST_TEST(open_descriptors() == before);
}

NETWORK_COROUTINE_TEST_CASE(a_udp_socket_for_a_host_calls_it) {
  const udp_socket client =
      co_await cosock::connect_udp("localhost", "7", {.configure = set_priority});
  BOOST_TEST(priority(client.native_handle()) == 5);
  int calls = 0;
  const auto hook = [&](int fd) {
    ++calls;
    refuse_as_system(fd);
  };
  const std::size_t before = open_descriptors();
  try {
    (void)co_await cosock::connect_udp("localhost", "7", {.configure = hook});
    BOOST_ERROR("connected");
  } catch (const system_error& e) {
    BOOST_TEST(is_of_system_hook(e), e.what());
  }
  BOOST_TEST(calls == 1);  // not again for the other address of the host
  BOOST_TEST(open_descriptors() == before);
}

COROUTINE_TEST_CASE(a_hook_may_cancel_the_attempt) {
  const listener server;
  const std::size_t before = open_descriptors();
  cosock::cancel_scope scope;
  const auto hook = [&](int) { scope.cancel(); };
  const auto result = co_await as_result(scope.run(connect(server.at(), {.configure = hook})));
  BOOST_TEST((result.error() == cosock::error::cancelled));
  BOOST_TEST(open_descriptors() == before);
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(local_connections)

COROUTINE_TEST_CASE(it_is_called_before_connect) {
  local_acceptor acceptor{local_endpoint()};
  hook_recorder hook;
  const auto client = co_await cosock::connect(acceptor.local_endpoint(), {.configure = hook});
  BOOST_TEST(hook.descriptors == std::vector<int>{client.native_handle()},
             boost::test_tools::per_element());
  BOOST_TEST(priority(client.native_handle()) == 5);
}

COROUTINE_TEST_CASE(it_may_bind_the_client_to_a_name) {
  cosock::local_acceptor<cosock::local_seqpacket_socket> acceptor{local_endpoint()};
  const auto pick_name = [](int fd) {
    const sa_family_t family = AF_UNIX;  // the system picks an abstract name
    test::check(::bind(fd, reinterpret_cast<const sockaddr*>(&family), sizeof family) == 0, "bind");
  };
  const auto client = co_await cosock::connect<local_seqpacket_socket>(acceptor.local_endpoint(),
                                                                       {.configure = pick_name});
  const auto peer = co_await acceptor.accept();
  BOOST_TEST(peer.remote_endpoint().is_abstract());
  BOOST_TEST((peer.remote_endpoint() == client.local_endpoint()));
}

COROUTINE_TEST_CASE(an_exception_ends_the_attempt_and_leaves_nothing_open) {
  const local_acceptor acceptor{local_endpoint()};
  const std::size_t before = open_descriptors();
  refuser hook;
  try {
    (void)co_await cosock::connect(acceptor.local_endpoint(), {.configure = hook});
    BOOST_ERROR("connected");
  } catch (const std::runtime_error& e) {
    BOOST_TEST(is_of_hook(e));
  }
  const auto result = co_await as_result(
      cosock::connect(acceptor.local_endpoint(), {.configure = refuse_as_system}));
  BOOST_TEST((result.error() == boost::system::errc::operation_not_permitted));
  cosock::cancel_scope scope;
  const auto cancel = [&](int) { scope.cancel(); };
  const auto cancelled = co_await as_result(
      scope.run(cosock::connect(acceptor.local_endpoint(), {.configure = cancel})));
  BOOST_TEST((cancelled.error() == cosock::error::cancelled));
  BOOST_TEST(open_descriptors() == before);
}

BOOST_AUTO_TEST_SUITE_END()
