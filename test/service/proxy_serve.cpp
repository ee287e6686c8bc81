// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#include <cosock/proxy_protocol.hpp>

#define BOOST_TEST_MODULE proxy_serve
#include "proxy_fixture.hpp"

#include <cosock/acceptors.hpp>
#include <cosock/loops.hpp>

#include <sys/socket.h>

#include <atomic>
#include <stdexcept>

// behind_proxy() with peers that are trusted, over the sockets of the system.

namespace {

using namespace test;
using namespace std::string_literals;
using cosock::local_endpoint;
using cosock::local_stream_socket;

COROUTINE_TEST_CASE(a_handler_knows_the_client_and_where_it_has_connected) {
  for (const endpoint& at : {any_port, any_port_v6})
    for (const std::string& header : {v1_line, v2_bytes()}) {
      tcp_acceptor acceptor(at);
      proxied_server server;
      co_await server.run(acceptor, [&]() -> task<> {
        BOOST_TEST(co_await ask(acceptor.local_endpoint(), header + "hello") == "bye");
      });
      BOOST_REQUIRE(server.seen.size() == 1u);
      BOOST_TEST(server.seen[0].source == "192.0.2.1:4660");
      BOOST_TEST(server.seen[0].destination == "198.51.100.2:443");
      BOOST_TEST(server.seen[0].data == "hello");
      BOOST_TEST(server.reports.empty());
      BOOST_TEST(server.counters.bytes_in == header.size() + 5);
    }
}

COROUTINE_TEST_CASE(a_header_that_arrives_byte_by_byte_is_received) {
  for (const std::string& header : {v1_line, v2_bytes()}) {
    tcp_acceptor acceptor(any_port);
    proxied_server server;
    co_await server.run(acceptor, [&]() -> task<> {
      tcp_socket s = co_await cosock::connect(acceptor.local_endpoint());
      for (const char& c : header) {
        BOOST_TEST(server.begun == 0);
        co_await s.send({&c, 1});
        for (int turn = 0; turn != 3; ++turn) co_await cosock::yield();
      }
      BOOST_TEST(co_await ask(s, "hello") == "bye");
    });
    BOOST_REQUIRE(server.seen.size() == 1u);
    BOOST_TEST(server.seen[0].data == "hello");
  }
}

COROUTINE_TEST_CASE(no_byte_beyond_the_header_is_read) {
  for (const std::string& header :
       {v1_line, "PROXY UNKNOWN\r\n"s, v2_bytes(), proxy_header().to_bytes()}) {
    tcp_acceptor acceptor(any_port);
    proxied_server server;
    std::string rest;
    const auto handler = [&](tcp_socket s) -> task<> {
      // What is left in the socket of the system itself.
      const int fd = s.release();
      char bytes[100];
      const ssize_t n = ::recv(fd, bytes, sizeof bytes, MSG_DONTWAIT);
      rest.assign(bytes, n > 0 ? static_cast<std::size_t>(n) : 0);
      ::close(fd);
      co_return;
    };
    co_await server.run_with(acceptor, handler, [&]() -> task<> {
      tcp_socket s = co_await cosock::connect(acceptor.local_endpoint());
      co_await s.send(header + "\r\n\r\nx");
      BOOST_TEST(co_await is_closed(s));
    });
    BOOST_TEST(rest == "\r\n\r\nx");
  }
}

COROUTINE_TEST_CASE(a_server_that_speaks_first_does_so_behind_the_header) {
  tcp_acceptor acceptor(any_port);
  proxied_server server;
  const auto handler = [](tcp_socket& s, const cosock::connection&) -> task<> {
    co_await s.send("greetings");
    char reply[5];
    co_await s.receive_exactly(reply);
    co_await s.send({reply, 5});
  };
  co_await server.run_with(acceptor, handler, [&]() -> task<> {
    tcp_socket s = co_await cosock::connect(acceptor.local_endpoint());
    co_await cosock::send_proxy_header(s, proxy_header(any_port, any_port));
    char greeting[9];
    co_await s.receive_exactly(greeting);
    co_await s.send("reply");
    BOOST_TEST(co_await cosock::receive_to_end(s, 100) == "reply");
  });
  BOOST_TEST(server.reports.empty());
}

COROUTINE_TEST_CASE(headers_up_to_the_largest_one_are_received_in_pieces_too) {
  for (const std::size_t size : {521, 537, 4000, 65532}) {
    tcp_acceptor acceptor(any_port);
    proxied_server server({.max_size = proxy_header::max_v2_size});
    proxy_header header;
    header.tlvs.push_back({0xe0, std::string(size, 'x')});
    const std::string bytes = header.to_bytes();
    co_await server.run(acceptor, [&]() -> task<> {
      tcp_socket s = co_await cosock::connect(acceptor.local_endpoint());
      for (std::size_t at = 0; at < bytes.size(); at += 3000) {
        co_await s.send(std::string_view(bytes).substr(at, 3000));
        co_await cosock::yield();
      }
      BOOST_TEST(co_await ask(s, "hello") == "bye");
    });
    BOOST_REQUIRE(server.seen.size() == 1u);
    BOOST_TEST((server.seen[0].header == header));
    BOOST_TEST(server.seen[0].data == "hello");
  }
}

COROUTINE_TEST_CASE(local_peers_and_local_clients) {
  const proxy_header header(local_endpoint::path("/run/client"), local_endpoint::abstract("front"));
  cosock::local_acceptor acceptor{local_endpoint()};
  proxied_server server;
  co_await server.run(acceptor, [&]() -> task<> {
    local_stream_socket s = co_await cosock::connect(acceptor.local_endpoint());
    BOOST_TEST(co_await ask(s, header.to_bytes() + "hello") == "bye");
    local_stream_socket pieces = co_await cosock::connect(acceptor.local_endpoint());
    for (const char& c : v1_line) co_await pieces.send({&c, 1});
    BOOST_TEST(co_await ask(pieces, "again") == "bye");
  });
  BOOST_REQUIRE(server.seen.size() == 2u);
  BOOST_TEST((server.seen[0].header == header));
  BOOST_TEST(server.seen[0].data == "hello");
  BOOST_TEST(server.seen[1].header->source->to_string() == "192.0.2.1:4660");
  BOOST_TEST(server.seen[1].data == "again");
}

COROUTINE_TEST_CASE(headers_without_addresses_leave_the_peer_as_the_source) {
  tcp_acceptor acceptor(any_port);
  proxied_server server;
  endpoint from;
  proxy_header local;
  local.is_local = true;
  for (const std::string& header :
       {local.to_bytes(), proxy_header().to_bytes(), "PROXY UNKNOWN\r\n"s}) {
    server.seen.clear();
    co_await server.run(acceptor, [&]() -> task<> {
      tcp_socket s = co_await cosock::connect(acceptor.local_endpoint());
      from = s.local_endpoint();
      BOOST_TEST(co_await ask(s, header) == "bye");
    });
    BOOST_REQUIRE(server.seen.size() == 1u);
    BOOST_TEST(server.seen[0].source == from.to_string());
    BOOST_TEST(server.seen[0].header.has_value());
    acceptor = tcp_acceptor(any_port);
  }
}

COROUTINE_TEST_CASE(a_trusted_peer_that_sends_no_header_is_closed_and_the_report_says_why) {
  const struct {
    std::string sent;
    std::string says;
  } table[] = {
      {"GET / HTTP/1.1\r\n",
       "a trusted proxy begins a connection with a PROXY header, and this one did not"},
      {"PROXY TCP5 1.2.3.4 5.6.7.8 1 2\r\n", "PROXY header: the protocol is \"TCP5\""},
      {"PROXY TCP4\n", "PROXY header: a LF without a CR before it"},
      {"\r\n\r\n\0\r\nQUIT\n\x31"s, "PROXY header: the version of a binary header is 2"},
      {"\r\n\r\n\0\r\nQUIT\n\x21\x11\x10\x00"s,
       "PROXY header: it has 4112 bytes, where proxy_options::max_size is 4096"},
      {"PROXY TCP4 1.2", "the connection ended after 14 bytes of a PROXY header"},
  };
  for (const auto& [sent, says] : table) {
    tcp_acceptor acceptor(any_port);
    proxied_server server;
    std::string from;
    co_await server.run(acceptor, [&]() -> task<> {
      tcp_socket s = co_await cosock::connect(acceptor.local_endpoint());
      from = s.local_endpoint().to_string();
      BOOST_TEST(co_await ask(s, sent) == "");
    });
    BOOST_TEST(server.begun == 0);
    BOOST_TEST(server.counters.failed == 1u);
    BOOST_REQUIRE(server.reports.size() == 1u);
    BOOST_TEST(server.reports[0].starts_with("connection from " + from + ": " + from + ": "),
               server.reports[0]);
    BOOST_TEST(contains(server.reports[0], says), server.reports[0]);
  }
}

COROUTINE_TEST_CASE(a_check_of_the_port_is_no_error) {
  tcp_acceptor acceptor(any_port);
  proxied_server server;
  co_await server.run(acceptor, [&]() -> task<> {
    BOOST_TEST(co_await ask(acceptor.local_endpoint(), "") == "");
    tcp_socket reset = co_await cosock::connect(acceptor.local_endpoint());
    reset.abort();
    BOOST_TEST(co_await ask(acceptor.local_endpoint(), v1_line) == "bye");
  });
  BOOST_TEST(server.begun == 1);
  BOOST_TEST(server.counters.accepted == 3u);
  BOOST_TEST(server.reports.empty());
}

COROUTINE_TEST_CASE(a_reset_is_no_error_of_a_check_but_of_a_client) {
  proxy_header check;
  check.is_local = true;
  for (const std::string& header : {check.to_bytes(), v1_line}) {
    tcp_acceptor acceptor(any_port);
    proxied_server server;
    co_await server.run(acceptor, [&]() -> task<> {
      tcp_socket s = co_await cosock::connect(acceptor.local_endpoint());
      co_await s.send(header);
      while (server.begun == 0) co_await cosock::yield();
      s.abort();
    });
    BOOST_TEST(server.reports.size() == (header == v1_line ? 1u : 0u));
  }
}

COROUTINE_TEST_CASE(the_report_of_a_handler_names_the_client_and_the_proxy) {
  tcp_acceptor acceptor(any_port);
  proxied_server server;
  std::string from;
  const auto handler = [](tcp_socket&) -> task<> {
    co_await cosock::yield();
    throw std::runtime_error("failed");
  };
  co_await server.run_with(acceptor, handler, [&]() -> task<> {
    tcp_socket s = co_await cosock::connect(acceptor.local_endpoint());
    from = s.local_endpoint().to_string();
    co_await ask(s, v1_line);
  });
  BOOST_REQUIRE(server.reports.size() == 1u);
  BOOST_TEST(server.reports[0] == "connection from 192.0.2.1:4660 through " + from + ": failed");
}

COROUTINE_TEST_CASE(programs_without_serve_receive_headers_too) {
  tcp_acceptor acceptor(any_port);
  tcp_socket client = co_await cosock::connect(acceptor.local_endpoint());
  tcp_socket peer = co_await acceptor.accept();
  co_await client.send(v2_bytes() + "x");
  const proxy_header header = co_await cosock::receive_proxy_header(peer);
  BOOST_TEST(header.source->to_string() == "192.0.2.1:4660");
  char one[1];
  BOOST_TEST(co_await peer.receive(one) == 1u);
  co_await client.send("no header");
  BOOST_CHECK_EXCEPTION(co_await cosock::receive_proxy_header(peer), boost::system::system_error,
                        is(cosock::error::malformed_proxy_header));
  auto [a, b] = cosock::local_pair();
  b.shutdown_send();
  BOOST_CHECK_EXCEPTION(co_await cosock::receive_proxy_header(a), boost::system::system_error,
                        is(cosock::error::end_of_stream));
}

COROUTINE_TEST_CASE(a_cancelled_receive_of_a_header_takes_no_byte) {
  tcp_acceptor acceptor(any_port);
  tcp_socket client = co_await cosock::connect(acceptor.local_endpoint());
  tcp_socket peer = co_await acceptor.accept();
  const std::string bytes = v2_bytes();
  co_await client.send(std::string_view(bytes).substr(0, 20));
  co_await peer.wait_readable();
  cosock::cancel_scope scope;
  const auto cancel = [&]() -> task<> {
    for (int i = 0; i != 3; ++i) co_await cosock::yield();
    scope.cancel();
  };
  const auto receive = [&]() -> task<> {
    const auto ended = co_await cosock::as_result(scope.run(cosock::receive_proxy_header(peer)));
    BOOST_TEST((ended.error() == cosock::error::cancelled));
  };
  co_await cosock::when_all(receive(), cancel());
  co_await client.send(std::string_view(bytes).substr(20));
  BOOST_TEST((co_await cosock::receive_proxy_header(peer)).source->port() == 4660);
}

COROUTINE_TEST_CASE(several_loops_share_the_list_of_trusted_peers) {
  const trusted_proxies trusted{"127.0.0.1"};
  cosock::tcp_acceptors acceptors(any_port, 2);
  std::atomic<int> served = 0;
  const auto server = [&](unsigned index) -> task<> {
    tcp_acceptor acceptor = acceptors.acceptor(index);
    const auto handler = [&](tcp_socket& s, const cosock::connection& c) -> task<> {
      if (c.source().to_string() == "192.0.2.1:4660") ++served;
      co_await s.send("bye");
    };
    co_await cosock::serve(acceptor, behind_proxy(trusted, handler));
  };
  const auto clients = [&]() -> task<> {
    for (int i = 0; i != 40; ++i)
      BOOST_TEST(co_await ask(acceptors.local_endpoint(), v1_line) == "bye");
  };
  co_await cosock::when_any(cosock::run_loops(2, server), clients());
  BOOST_TEST(served == 40);
}

BOOST_AUTO_TEST_CASE(a_list_of_trusted_peers_says_what_is_accepted) {
  const trusted_proxies trusted{"10.0.0.0/8", "::1", "192.0.2.1"};
  const auto contains = [&](std::string_view a) {
    return trusted.contains(cosock::address::parse(a));
  };
  BOOST_TEST(contains("10.255.0.1"));
  BOOST_TEST(contains("::ffff:10.1.2.3"));
  BOOST_TEST(contains("::1"));
  BOOST_TEST(contains("192.0.2.1"));
  BOOST_TEST(!contains("192.0.2.2"));
  BOOST_TEST(!contains("::2"));
  BOOST_TEST(!trusted.contains(local_endpoint()));
  BOOST_TEST(trusted_proxies{"unix"}.contains(local_endpoint::path("/x")));
  BOOST_TEST(!trusted_proxies().contains(cosock::address()));
  for (const std::string_view wrong :
       {"10.0.0.0/33", "10.0.0.1/8", "localhost", "", "UNIX", "10.0.0.0/8,::1"}) {
    try {
      static_cast<void>(trusted_proxies{wrong});
      BOOST_ERROR("accepted");
    } catch (const boost::system::system_error& e) {
      BOOST_TEST((e.code() == cosock::error::invalid_address));
      BOOST_TEST(std::string(e.what()).starts_with("trusted proxy \"" + std::string(wrong) + '"'),
                 e.what());
      BOOST_TEST(std::string(e.what()).ends_with("; a network, an address or unix is accepted"));
    }
  }
  const auto echo = [](tcp_socket&) -> task<> { co_return; };
  for (const std::size_t size : {std::size_t{0}, std::size_t{231}, proxy_header::max_v2_size + 1})
    BOOST_CHECK_THROW(behind_proxy(trusted, echo, {.max_size = size}), std::invalid_argument);
}

}  // namespace
