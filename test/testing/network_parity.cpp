// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#include <cosock/testing/network.hpp>

#define BOOST_TEST_MODULE network_parity
#include "network_fixture.hpp"

#include <unistd.h>

#include <string>
#include <vector>

// The same programs on the loopback interface of the kernel and on that of a simulated host: what they
// see must be the same. Differences that remain are listed in docs/simulation.md.

namespace {

using cosock::address;
using cosock::as_result;
using cosock::endpoint;
using cosock::task;
using cosock::tcp_acceptor;
using cosock::tcp_socket;
using cosock::udp_socket;
using test::all_of;
using test::attempt;
using test::outcome;
using namespace std::chrono_literals;

using behavior = task<> (*)(std::string& seen);

endpoint loopback(std::uint16_t port = 0) { return {address::loopback_v4(), port}; }

void note(std::string& seen, const std::string& what) { seen += what + "; "; }

/// Lets everything arrive that was sent.
auto a_while() { return cosock::sleep_for(2ms); }

/// What a receive of up to 100 bytes sees.
task<std::string> received(cosock::byte_stream& from) {
  char buffer[100];
  const auto got = co_await as_result(from.receive(cosock::buffer(buffer)));
  if (got.has_error()) co_return got.error().message();
  co_return '"' + std::string(buffer, *got) + '"';
}
task<std::string> sent(cosock::byte_stream& to, std::string bytes) {
  const auto n = co_await as_result(to.send(cosock::buffer(bytes)));
  co_return n.has_error() ? n.error().message() : std::to_string(*n);
}

/// Both ends of a connection.
struct connection {
  tcp_socket client;
  tcp_socket server;
};
task<connection> connected() {
  tcp_acceptor acceptor(loopback());
  connection c;
  c.client = co_await cosock::connect(acceptor.local_endpoint());
  c.server = co_await acceptor.accept();
  co_return c;
}

task<> refused(std::string& seen) {
  std::uint16_t port;
  {
    const tcp_acceptor closed(loopback());
    port = closed.local_endpoint().port();
  }
  note(seen, co_await outcome(cosock::connect(loopback(port))));
}
task<> bytes_both_ways(std::string& seen) {
  connection c = co_await connected();
  note(seen, co_await sent(c.client, "to the server"));
  note(seen, co_await received(c.server));
  note(seen, co_await sent(c.server, "and back"));
  note(seen, co_await received(c.client));
}
task<> ends_of_both_directions(std::string& seen) {
  connection c = co_await connected();
  c.client.shutdown_send();
  note(seen, co_await received(c.server));
  note(seen, co_await received(c.server));
  note(seen, co_await sent(c.server, "late"));
  note(seen, co_await received(c.client));
  c.server.shutdown_send();
  note(seen, co_await received(c.client));
  note(seen, attempt([&] { c.client.shutdown_send(); }));
  note(seen, co_await sent(c.client, "x"));
}
task<> sends_to_a_closed_peer(std::string& seen) {
  connection c = co_await connected();
  c.server.close();
  co_await a_while();
  note(seen, co_await received(c.client));
  for (int i = 0; i != 3; ++i) {
    note(seen, co_await sent(c.client, "x"));
    co_await a_while();
  }
  note(seen, co_await received(c.client));
}
task<> close_with_unread_input(std::string& seen) {
  connection c = co_await connected();
  note(seen, co_await sent(c.client, "unread"));
  co_await a_while();
  c.server.close();
  co_await a_while();
  for (int i = 0; i != 2; ++i) note(seen, co_await received(c.client));
  note(seen, co_await sent(c.client, "x"));
}
task<> abort_behind_data(std::string& seen) {
  connection c = co_await connected();
  note(seen, co_await sent(c.server, "data"));
  co_await a_while();
  c.server.abort();
  co_await a_while();
  for (int i = 0; i != 3; ++i) note(seen, co_await received(c.client));
  for (int i = 0; i != 2; ++i) note(seen, co_await sent(c.client, "x"));
}
task<> abort_after_the_end(std::string& seen) {
  connection c = co_await connected();
  c.server.shutdown_send();
  co_await a_while();
  c.server.abort();
  co_await a_while();
  note(seen, co_await received(c.client));
  for (int i = 0; i != 2; ++i) note(seen, co_await sent(c.client, "x"));
}
task<> send_meets_a_reset(std::string& seen) {
  connection c = co_await connected();
  c.server.abort();
  co_await a_while();
  for (int i = 0; i != 2; ++i) note(seen, co_await sent(c.client, "x"));
  note(seen, co_await received(c.client));
}
task<> waits_for_the_peer_to_close(std::string& seen) {
  connection c = co_await connected();
  note(seen, co_await sent(c.server, "data"));
  c.server.shutdown_send();
  note(seen, co_await outcome(c.client.wait_peer_closed()));
  note(seen, co_await received(c.client));
  note(seen, co_await received(c.client));
}
task<> names_of_a_lost_connection(std::string& seen) {
  connection c = co_await connected();
  const endpoint before = c.client.remote_endpoint();
  c.server.abort();
  co_await a_while();
  note(seen, attempt([&] { seen += c.client.remote_endpoint() == before ? "same " : "other "; }));
  note(seen, attempt([&] { seen += c.client.local_endpoint().address().to_string(); }));
}
task<> addresses_in_use(std::string& seen) {
  tcp_acceptor first(loopback());
  const std::uint16_t port = first.local_endpoint().port();
  for (const address& a : {address::loopback_v4(), address::any_v4(), address::loopback_v6(),
                           address::parse("127.0.0.2"), address::parse("192.0.2.1")})
    note(seen, attempt([&] { tcp_acceptor second(endpoint(a, port)); }));
  note(seen, attempt([&] { tcp_acceptor second(endpoint(address::any_v6(), port)); }));
  note(seen,
       attempt([&] { tcp_acceptor second(endpoint(address::any_v6(), port), {.v6_only = true}); }));
  note(seen, attempt([&] { tcp_acceptor second(loopback(port), {.reuse_port = true}); }));
  co_return;
}
task<> shared_ports(std::string& seen) {
  tcp_acceptor first(loopback(), {.reuse_port = true});
  const std::uint16_t port = first.local_endpoint().port();
  note(seen, attempt([&] { tcp_acceptor second(loopback(port), {.reuse_port = true}); }));
  note(seen, attempt([&] { tcp_acceptor second(loopback(port)); }));
  co_return;
}
task<> families(std::string& seen) {
  tcp_acceptor both(endpoint(address::any_v6(), 0));
  const std::uint16_t port = both.local_endpoint().port();
  for (const address& a :
       {address::loopback_v4(), address::loopback_v6(), address::any_v4(), address::any_v6()}) {
    tcp_socket c = co_await cosock::connect(endpoint(a, port));
    const tcp_socket s = co_await both.accept();
    note(seen, s.remote_endpoint().address().to_string() + ' ' +
                   c.remote_endpoint().address().to_string());
  }
  both.close();
  tcp_acceptor v6(endpoint(address::any_v6(), 0), {.v6_only = true});
  note(seen, co_await outcome(cosock::connect(loopback(v6.local_endpoint().port()))));
}
task<> an_acceptor_that_closes(std::string& seen) {
  tcp_acceptor acceptor(loopback());
  tcp_socket c = co_await cosock::connect(acceptor.local_endpoint());
  note(seen, co_await sent(c, "x"));
  acceptor.close();
  co_await a_while();
  for (int i = 0; i != 2; ++i) note(seen, co_await received(c));
}
task<> connections_from_a_port(std::string& seen) {
  tcp_acceptor acceptor(loopback());
  tcp_socket first = co_await cosock::connect(acceptor.local_endpoint());
  const endpoint local = first.local_endpoint();
  note(seen, co_await outcome(cosock::connect(acceptor.local_endpoint(), {.local = local})));
  const endpoint foreign(address::parse("192.0.2.1"), 0);
  note(seen, co_await outcome(cosock::connect(acceptor.local_endpoint(), {.local = foreign})));
  const endpoint other(address::parse("127.0.0.9"), 0);
  const tcp_socket second = co_await cosock::connect(acceptor.local_endpoint(), {.local = other});
  note(seen, second.local_endpoint().address().to_string());
}
task<> options_of_tcp(std::string& seen) {
  connection c = co_await connected();
  for (tcp_socket* s : {&c.client, &c.server}) {
    const cosock::keep_alive_options k = s->keep_alive();
    note(seen, std::to_string(s->no_delay()) + ' ' + std::to_string(k.enabled) + ' ' +
                   std::to_string(k.idle->count()) + ' ' + std::to_string(k.interval->count()) +
                   ' ' + std::to_string(*k.count) + ' ' + std::to_string(s->linger().has_value()) +
                   ' ' + std::to_string(s->user_timeout().has_value()));
  }
  for (const int bytes : {0, 1, 10'000}) {
    c.client.set_receive_buffer(bytes);
    c.client.set_send_buffer(bytes);
    note(seen,
         std::to_string(c.client.receive_buffer()) + ' ' + std::to_string(c.client.send_buffer()));
  }
  c.client.set_linger(3s);
  c.client.set_user_timeout(1500us);
  note(seen, std::to_string(c.client.linger()->count()) + ' ' +
                 std::to_string(c.client.user_timeout()->count()));
  for (const auto idle : {0s, 1s, 32767s, 32768s})
    note(seen, attempt([&] { c.client.set_keep_alive({.idle = idle}); }));
  for (const int count : {0, 127, 128})
    note(seen, attempt([&] { c.client.set_keep_alive({.count = count}); }));
}
task<> empty_transfers(std::string& seen) {
  connection c = co_await connected();
  note(seen, co_await sent(c.client, ""));
  char none;
  note(seen, co_await outcome(c.client.receive(cosock::mutable_buffer(&none, 0))));
  c.client.shutdown_send();
  note(seen, co_await received(c.server));
}
task<> small_buffers(std::string& seen) {
  tcp_acceptor acceptor(loopback(), {.receive_buffer = 4096});
  tcp_socket c = co_await cosock::connect(acceptor.local_endpoint(), {.send_buffer = 4096});
  tcp_socket s = co_await acceptor.accept();
  const std::string all(1 << 20, 'x');
  const auto full = co_await as_result(cosock::with_timeout(50ms, c.send(cosock::buffer(all))));
  note(seen, full.error().message());
  c.shutdown_send();
  const std::string rest = co_await all_of(s);
  note(seen, !rest.empty() && rest.size() < 400'000 ? "bounded" : std::to_string(rest.size()));
}

// UDP

task<> datagrams(std::string& seen) {
  udp_socket a(loopback());
  udp_socket b(loopback());
  co_await a.send_to(cosock::buffer("hello", 5), b.local_endpoint());
  co_await a.send_to(cosock::buffer("", 0), b.local_endpoint());
  co_await a.send_to(cosock::buffer("too long", 8), b.local_endpoint());
  char buffer[6];
  for (int i = 0; i != 3; ++i) {
    const auto got = co_await b.receive_from(cosock::buffer(buffer));
    note(seen, std::string(buffer, got.size) + ' ' + std::to_string(got.length) + ' ' +
                   std::to_string(got.truncated) + ' ' +
                   std::to_string(got.from == a.local_endpoint()));
  }
}
task<> datagrams_to_nobody(std::string& seen) {
  std::uint16_t port;
  {
    const udp_socket closed(loopback());
    port = closed.local_endpoint().port();
  }
  udp_socket s = co_await cosock::connect_udp(loopback(port));
  char byte;
  for (int i = 0; i != 2; ++i) {
    note(seen, co_await outcome(s.send(cosock::buffer("x", 1))));
    co_await a_while();
    note(seen, co_await outcome(s.receive(cosock::buffer(&byte, 1))));
  }
  note(seen, co_await outcome(s.send(cosock::buffer("x", 1))));
  co_await a_while();
  note(seen, co_await outcome(s.send(cosock::buffer("x", 1))));
}
task<> bad_datagrams(std::string& seen) {
  udp_socket s(loopback());
  const std::string large(65508, 'x');
  note(seen, co_await outcome(s.send_to(cosock::buffer(large), s.local_endpoint())));
  const std::string largest(65507, 'x');
  note(seen, co_await outcome(s.send_to(cosock::buffer(largest), s.local_endpoint())));
  note(seen, co_await outcome(s.send(cosock::buffer("x", 1))));
  note(seen, co_await outcome(s.send_to(cosock::buffer("x", 1), loopback(0))));
  note(seen, attempt([&] { udp_socket other(s.local_endpoint()); }));
  note(seen, attempt([&] { udp_socket other(endpoint(address::parse("192.0.2.1"), 0)); }));
}
task<> connected_datagrams(std::string& seen) {
  udp_socket a(loopback());
  udp_socket b(endpoint(address::any_v4(), 0));
  udp_socket stranger(loopback());
  note(seen, b.local_endpoint().address().to_string());
  b.connect(a.local_endpoint());
  note(seen, b.local_endpoint().address().to_string());
  note(seen, std::to_string(b.remote_endpoint() == a.local_endpoint()));
  co_await stranger.send_to(cosock::buffer("no", 2), b.local_endpoint());
  co_await a.send_to(cosock::buffer("yes", 3), b.local_endpoint());
  char buffer[10];
  const auto got = co_await b.receive(cosock::buffer(buffer));
  note(seen, std::string(buffer, got.size));
  b.disconnect();
  note(seen, b.local_endpoint().address().to_string());
  note(seen, attempt([&] { static_cast<void>(b.remote_endpoint()); }));
  note(seen, co_await outcome(b.send(cosock::buffer("x", 1))));
}

// Local sockets

std::string own_name(const char* what) { return what + std::to_string(::getpid()); }

task<> local_streams(std::string& seen) {
  const auto at = cosock::local_endpoint::abstract(own_name("parity stream"));
  note(seen, co_await outcome(cosock::connect(at)));
  cosock::local_acceptor acceptor(at);
  note(seen, attempt([&] { cosock::local_acceptor second(at); }));
  cosock::local_stream_socket c = co_await cosock::connect(at);
  cosock::local_stream_socket s = co_await acceptor.accept();
  note(seen, std::to_string(c.remote_endpoint() == at) + std::to_string(s.local_endpoint() == at) +
                 std::to_string(s.remote_endpoint().is_unnamed()));
  note(seen, co_await sent(c, "hello"));
  note(seen, co_await received(s));
  c.shutdown_send();
  note(seen, co_await received(s));
  note(seen, co_await sent(c, "x"));
  note(seen, co_await sent(s, "late"));
  note(seen, co_await received(c));
  s.close();
  note(seen, co_await received(c));
  acceptor.close();
  note(seen, co_await outcome(cosock::connect(at)));
}
task<> local_streams_that_close(std::string& seen) {
  auto [a, b] = cosock::local_pair();
  note(seen, co_await sent(a, "unread"));
  b.close();
  note(seen, co_await received(a));
  note(seen, co_await received(a));
  note(seen, co_await sent(a, "x"));
  auto [c, d] = cosock::local_pair();
  note(seen, co_await sent(c, "read"));
  c.close();
  note(seen, co_await received(d));
  note(seen, co_await received(d));
  note(seen, co_await sent(d, "x"));
}
task<> local_messages(std::string& seen) {
  auto [a, b] = cosock::local_pair<cosock::local_seqpacket_socket>();
  for (const char* text : {"one", "", "three"}) note(seen, co_await sent(a, text));
  a.close();
  char buffer[4];
  for (int i = 0; i != 4; ++i) {
    const auto got = co_await as_result(b.receive_message(cosock::buffer(buffer)));
    if (got.has_error()) {
      note(seen, got.error().message());
    } else {
      note(seen, std::to_string(got->size) + ' ' + std::to_string(got->length) + ' ' +
                     std::to_string(got->end));
      if (got->end) break;
    }
  }
  note(seen, co_await sent(b, "x"));
}
task<> local_backlog(std::string& seen) {
  const auto at = cosock::local_endpoint::abstract(own_name("parity backlog"));
  cosock::local_acceptor acceptor(at, {.backlog = 1});
  std::vector<cosock::local_stream_socket> all;
  for (int i = 0; i != 2; ++i) all.push_back(co_await cosock::connect(at));
  note(seen, co_await outcome(cosock::with_timeout(20ms, cosock::connect(at))));
  co_await acceptor.accept();
  note(seen, co_await outcome(cosock::with_timeout(200ms, cosock::connect(at))));
}
task<> local_datagrams(std::string& seen) {
  const auto at = cosock::local_endpoint::abstract(own_name("parity datagram"));
  cosock::local_datagram_socket s{cosock::local_endpoint()};
  note(seen, co_await outcome(s.send_to(cosock::buffer("x", 1), at)));
  cosock::local_datagram_socket to(at);
  note(seen, co_await outcome(s.send_to(cosock::buffer("hello", 5), at)));
  char buffer[3];
  const auto got = co_await to.receive(cosock::buffer(buffer));
  note(seen, std::to_string(got.size) + ' ' + std::to_string(got.length));
  s.connect(at);
  note(seen, co_await outcome(s.send(cosock::buffer("x", 1))));
  to.close();
  note(seen, co_await outcome(s.send(cosock::buffer("x", 1))));
}

struct row {
  const char* name;
  behavior program;
};
#define ROW(name) \
  { #name, &name }
const row rows[] = {ROW(refused),
                    ROW(bytes_both_ways),
                    ROW(ends_of_both_directions),
                    ROW(sends_to_a_closed_peer),
                    ROW(close_with_unread_input),
                    ROW(abort_behind_data),
                    ROW(abort_after_the_end),
                    ROW(send_meets_a_reset),
                    ROW(waits_for_the_peer_to_close),
                    ROW(names_of_a_lost_connection),
                    ROW(addresses_in_use),
                    ROW(shared_ports),
                    ROW(families),
                    ROW(an_acceptor_that_closes),
                    ROW(connections_from_a_port),
                    ROW(options_of_tcp),
                    ROW(empty_transfers),
                    ROW(small_buffers),
                    ROW(datagrams),
                    ROW(datagrams_to_nobody),
                    ROW(bad_datagrams),
                    ROW(connected_datagrams),
                    ROW(local_streams),
                    ROW(local_streams_that_close),
                    ROW(local_messages),
                    ROW(local_backlog),
                    ROW(local_datagrams)};

task<> within_limit(behavior program, std::string& seen) {
  const auto result = co_await as_result(cosock::with_timeout(20s, program(seen)));
  if (result.has_error()) seen += "ended by " + result.error().message();
}

}  // namespace

BOOST_AUTO_TEST_CASE(programs_see_the_same_on_the_kernel_and_on_a_simulated_host) {
  for (const row& each : rows) {
    std::string real;
    std::string simulated;
    cosock::loop loop;
    loop.run(within_limit(each.program, real));
    cosock::testing::network net;
    net.host({"10.0.0.1", "2001:db8::1"}).start([&]() -> task<> {
      return within_limit(each.program, simulated);
    });
    net.run();
    BOOST_TEST(simulated == real,
               each.name << "\n  kernel:    " << real << "\n  simulated: " << simulated);
  }
}
