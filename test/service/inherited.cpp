// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#include <cosock/inherited.hpp>

#define BOOST_TEST_MODULE inherited
#include "error_text.hpp"
#include "inherited_fixture.hpp"
#include "support.hpp"

#include <cosock/connect.hpp>
#include <cosock/when.hpp>

#include <netinet/in.h>

#include <stdexcept>

namespace {

using namespace test;
using boost::system::system_error;
using cosock::inherited_sockets;
using cosock::task;
using cosock::tcp_acceptor;
namespace errc = boost::system::errc;

void on_loop(task<> body) { run_case(std::move(body)); }

/// A stream passes through an acceptor.
template <class Acceptor>
task<> check_acceptor(Acceptor& acceptor) {
  const auto peer = acceptor.local_endpoint();
  auto [client, server] = co_await cosock::when_all(cosock::connect(peer), acceptor.accept());
  co_await client.send("x");
  char byte[1];
  BOOST_TEST(co_await server.receive(byte) == 1u);
}

BOOST_AUTO_TEST_CASE(without_the_variable_there_are_none) {
  const variable unset("LISTEN_FDS", std::nullopt);
  inherited_sockets none;
  BOOST_TEST(none.is_empty());
  BOOST_TEST(none.size() == 0u);
  BOOST_TEST(!none.contains("http"));
  BOOST_CHECK_EXCEPTION(static_cast<void>(none.take<tcp_acceptor>("http")), system_error,
                        says(errc::invalid_argument, "\"http\"", "no socket was inherited"));
  BOOST_CHECK_EXCEPTION(static_cast<void>(none.take<tcp_acceptor>(0)), system_error,
                        says(errc::invalid_argument, "no socket was inherited"));
}

BOOST_AUTO_TEST_CASE(sockets_of_each_kind_are_taken_by_name_and_by_position) {
  inherited_fixture given(
      sockets(internet_socket(SOCK_STREAM, true), local_socket_of(SOCK_STREAM, true),
              local_socket_of(SOCK_SEQPACKET, true), internet_socket(SOCK_DGRAM),
              local_socket_of(SOCK_DGRAM)),
      "http:local:packets:dns:log");
  on_loop([]() -> task<> {
    inherited_sockets inherited;
    BOOST_TEST(inherited.size() == 5u);
    BOOST_TEST(inherited.name(3) == "dns");
    BOOST_CHECK_THROW(static_cast<void>(inherited.name(5)), std::out_of_range);
    BOOST_TEST(inherited.contains("log"));

    auto http = inherited.take<tcp_acceptor>("http");
    co_await check_acceptor(http);
    auto local = inherited.take<cosock::local_acceptor<>>(1);
    co_await check_acceptor(local);
    auto packets =
        inherited.take<cosock::local_acceptor<cosock::local_seqpacket_socket>>("packets");
    BOOST_TEST(packets.is_open());
    auto dns = inherited.take<cosock::udp_socket>("dns");
    cosock::udp_socket asks(cosock::endpoint(cosock::address::loopback_v4(), 0));
    co_await asks.send_to("x", dns.local_endpoint());
    char byte[1];
    BOOST_TEST((co_await dns.receive(byte)).size == 1u);
    auto log = inherited.take<cosock::local_datagram_socket>(4);
    BOOST_TEST(log.is_open());
    BOOST_TEST(!inherited.contains("log"));
    BOOST_TEST(!inherited.is_empty());  // they were inherited
  }());
}

BOOST_AUTO_TEST_CASE(connections_are_taken) {
  int pair[2];
  check(::socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0, "socketpair");
  auto other = unique_descriptor::adopt(::fcntl(pair[1], F_DUPFD_CLOEXEC, 100));  // not 3 or 4
  ::close(pair[1]);
  auto listens = internet_socket(SOCK_STREAM, true);
  sockaddr_in name = {};
  socklen_t size = sizeof name;
  check(::getsockname(listens.get(), reinterpret_cast<sockaddr*>(&name), &size) == 0,
        "getsockname");
  auto client = new_socket(AF_INET, SOCK_STREAM);
  check(::connect(client.get(), reinterpret_cast<sockaddr*>(&name), size) == 0, "connect");
  inherited_fixture given(sockets(unique_descriptor::adopt(pair[0]), std::move(client)),
                          "connection:connection");
  on_loop([](int other) -> task<> {
    inherited_sockets inherited;
    auto first = inherited.take<cosock::local_stream_socket>("connection");
    BOOST_TEST(::write(other, "hi", 2) == 2);
    char bytes[2];
    BOOST_TEST(co_await first.receive(bytes) == 2u);
    const auto second = inherited.take<cosock::tcp_socket>("connection");
    BOOST_TEST(second.is_open());
  }(other.get()));
}

BOOST_AUTO_TEST_CASE(the_environment_is_cleared_and_descriptors_are_close_on_exec) {
  inherited_fixture given(sockets(internet_socket(SOCK_STREAM, true)));
  const variable identity("LISTEN_PIDFDID", "17");
  BOOST_REQUIRE(::fcntl(3, F_GETFD) == 0);
  const inherited_sockets inherited;
  BOOST_TEST(inherited.name(0) == "unknown");
  BOOST_TEST(::fcntl(3, F_GETFD) == FD_CLOEXEC);
  for (const char* name : {"LISTEN_FDS", "LISTEN_FDNAMES", "LISTEN_PID", "LISTEN_PIDFDID"})
    BOOST_TEST(std::getenv(name) == nullptr);
  BOOST_TEST(inherited_sockets().is_empty());  // once
  BOOST_TEST(is_open(3));
}

BOOST_AUTO_TEST_CASE(sockets_that_are_not_taken_are_closed) {
  inherited_fixture given(sockets(internet_socket(SOCK_STREAM, true), internet_socket(SOCK_DGRAM)),
                          "a:b");
  on_loop([]() -> task<> {
    std::optional<cosock::udp_socket> taken;
    {
      inherited_sockets inherited;
      taken = inherited.take<cosock::udp_socket>("b");
      inherited_sockets moved = std::move(inherited);
      BOOST_TEST(is_open(3));
    }
    BOOST_TEST(!is_open(3));
    BOOST_TEST(is_open(4));
    co_return;
  }());
}

BOOST_AUTO_TEST_CASE(a_socket_is_taken_once) {
  inherited_fixture given(sockets(internet_socket(SOCK_STREAM, true), internet_socket(SOCK_DGRAM)),
                          "a:b");
  on_loop([]() -> task<> {
    inherited_sockets inherited;
    const auto first = inherited.take<tcp_acceptor>("a");
    BOOST_CHECK_EXCEPTION(
        static_cast<void>(inherited.take<tcp_acceptor>("a")), std::logic_error,
        [](const std::logic_error& e) { return contains(e.what(), "\"a\" was taken before"); });
    BOOST_CHECK_THROW(static_cast<void>(inherited.take<tcp_acceptor>(0)), std::logic_error);
    co_return;
  }());
}

BOOST_AUTO_TEST_CASE(errors_say_what_is_accepted_and_the_socket_can_still_be_taken) {
  inherited_fixture given(sockets(internet_socket(SOCK_STREAM, true), internet_socket(SOCK_DGRAM),
                                  local_socket_of(SOCK_STREAM, true)),
                          "http:dns:control");
  on_loop([]() -> task<> {
    inherited_sockets inherited;
    BOOST_CHECK_EXCEPTION(
        static_cast<void>(inherited.take<tcp_acceptor>("https")), system_error,
        says(errc::invalid_argument, "\"https\"", "accepted: \"http\", \"dns\", \"control\""));
    BOOST_CHECK_EXCEPTION(static_cast<void>(inherited.take<tcp_acceptor>(3)), system_error,
                          says(errc::invalid_argument, "socket 3", "accepted: 0 to 2"));
    BOOST_CHECK_EXCEPTION(static_cast<void>(inherited.take<tcp_acceptor>("dns")), system_error,
                          says(errc::wrong_protocol_type, "\"dns\", descriptor 4, is a UDP socket",
                               "accepted: a TCP socket that listens"));
    BOOST_CHECK_EXCEPTION(static_cast<void>(inherited.take<tcp_acceptor>("control")), system_error,
                          says(errc::wrong_protocol_type, "a local stream socket that listens"));
    BOOST_CHECK_EXCEPTION(static_cast<void>(inherited.take<cosock::tcp_socket>("http")),
                          system_error,
                          says(errc::wrong_protocol_type, "accepted: a connected TCP socket"));
    BOOST_CHECK_EXCEPTION(static_cast<void>(inherited.take<cosock::tcp_acceptors>("control", 2)),
                          system_error,
                          says(errc::wrong_protocol_type, "accepted: a TCP socket that listens"));
    const auto control = inherited.take<cosock::local_acceptor<>>("control");
    BOOST_TEST(control.is_open());
    co_return;
  }());
}

BOOST_AUTO_TEST_CASE(outside_of_a_loop_nothing_is_taken) {
  inherited_fixture given(sockets(internet_socket(SOCK_STREAM, true)), "http");
  inherited_sockets inherited;
  BOOST_CHECK_THROW(static_cast<void>(inherited.take<tcp_acceptor>("http")), std::logic_error);
  BOOST_TEST(inherited.contains("http"));
}

BOOST_AUTO_TEST_CASE(malformed_variables_are_refused_and_nothing_is_changed) {
  inherited_fixture given(sockets(internet_socket(SOCK_STREAM, true)), "http");
  const auto refused = [&](auto expected) {
    BOOST_CHECK_EXCEPTION(inherited_sockets(), system_error, expected);
    BOOST_TEST(std::getenv("LISTEN_FDS") != nullptr);
    BOOST_TEST(::fcntl(3, F_GETFD) == 0);
  };
  for (const char* number : {"", "0", "-1", "+1", " 1", "1 ", "one", "0x1", "99999999999999999999",
                             "2147483645", "18446744073709551617"}) {
    given.number().assign(number);
    refused(says(errc::invalid_argument, "LISTEN_FDS is", "accepted: the number of sockets"));
  }
  given.number().assign("1");
  for (const char* names : {"", ":", "a:b", "a:"}) {
    given.names().assign(names);
    if (*names)
      refused(says(errc::invalid_argument, "LISTEN_FDNAMES is", "accepted: a name for each"));
  }
  given.names().assign(std::nullopt);
  const std::string own = std::to_string(::getpid());
  for (const std::string& pid : {std::string("1"), own + "0", std::string(""), std::string("me")}) {
    given.pid().assign(pid);
    refused(says(errc::invalid_argument, "LISTEN_PID is \"" + pid + '"',
                 "accepted: the process " + own));
  }
  given.pid().assign(std::nullopt);
  refused(says(errc::invalid_argument, "LISTEN_PID is not set"));
}

BOOST_AUTO_TEST_CASE(descriptors_that_are_no_sockets_are_refused) {
  auto file = unique_descriptor::adopt(::open("/dev/null", O_RDONLY));
  inherited_fixture given(sockets(internet_socket(SOCK_STREAM, true), std::move(file)), "a:b");
  BOOST_CHECK_EXCEPTION(inherited_sockets(), system_error,
                        says(errc::not_a_socket, "descriptor 4 is no socket", "accepted: sockets"));
  BOOST_TEST(::fcntl(3, F_GETFD) == 0);
  ::close(4);
  BOOST_CHECK_EXCEPTION(inherited_sockets(), system_error,
                        says(errc::bad_file_descriptor, "descriptor 4 is no socket"));
}

BOOST_AUTO_TEST_CASE(sockets_for_several_loops) {
  inherited_fixture given(
      sockets(internet_socket(SOCK_STREAM, true), internet_socket(SOCK_STREAM, true),
              local_socket_of(SOCK_STREAM, true)),
      "http:http:control");
  inherited_sockets inherited;
  auto control = inherited.take<cosock::local_acceptors<>>("control", 3);
  BOOST_TEST(control.size() == 3u);
  auto http = inherited.take<cosock::tcp_acceptors>("http", 3);
  BOOST_TEST(http.size() == 3u);
  BOOST_TEST(!inherited.contains("http"));
  BOOST_CHECK_THROW(static_cast<void>(inherited.take<cosock::tcp_acceptors>("http", 3)),
                    std::logic_error);
  on_loop([](cosock::tcp_acceptors& http, cosock::local_acceptors<>& control) -> task<> {
    // The first and the last share a socket.
    auto zero = http.acceptor(0);
    auto one = http.acceptor(1);
    auto two = http.acceptor(2);
    BOOST_TEST(zero.local_endpoint() == two.local_endpoint());
    BOOST_TEST(zero.local_endpoint() != one.local_endpoint());
    BOOST_TEST(zero.local_endpoint() == http.local_endpoint());
    co_await check_acceptor(zero);
    co_await check_acceptor(one);
    co_await check_acceptor(two);
    auto local = control.acceptor(2);
    co_await check_acceptor(local);
  }(http, control));
}

BOOST_AUTO_TEST_CASE(fewer_loops_than_sockets_are_refused) {
  for (const unsigned loops : {0u, 1u, cosock::max_loops + 1}) {
    inherited_fixture given(
        sockets(internet_socket(SOCK_STREAM, true), internet_socket(SOCK_STREAM, true)),
        "http:http");
    inherited_sockets inherited;
    BOOST_CHECK_THROW(static_cast<void>(inherited.take<cosock::tcp_acceptors>("http", loops)),
                      std::invalid_argument);
    BOOST_TEST(!is_open(3));
  }
}

BOOST_AUTO_TEST_CASE(without_a_number_each_socket_has_a_loop) {
  std::vector<unique_descriptor> many;
  std::string names;
  for (unsigned i = 0; i != cosock::usable_cores() + 1; ++i) {
    many.push_back(internet_socket(SOCK_STREAM, true));
    names += i == 0 ? "x" : ":x";
  }
  inherited_fixture given(std::move(many), names);
  inherited_sockets inherited;
  const auto taken = inherited.take<cosock::tcp_acceptors>("x", std::nullopt);
  BOOST_TEST(taken.size() == cosock::usable_cores() + 1);
}

}  // namespace
