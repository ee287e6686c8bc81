// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// The endings of each operation on TCP connections and acceptors.

#include <cosock/tcp.hpp>

#define BOOST_TEST_MODULE endings_tcp
#include "raw_socket.hpp"
#include "stream_endings.hpp"

#include <cosock/connect.hpp>

#include <memory>

namespace {

using cosock::task;
using cosock::tcp_acceptor;
using cosock::tcp_socket;
using test::operation_kind;
using test::raw_socket;
using test::stream_subject;
using test::waitable;
using test::way;

task<std::shared_ptr<stream_subject>> connected() {
  tcp_acceptor acceptor(test::any_port_v4);
  raw_socket peer(acceptor.local_endpoint());
  auto s = std::make_shared<stream_subject>();
  auto socket = std::make_unique<tcp_socket>(co_await acceptor.accept());
  socket->set_send_buffer(64 << 10);
  s->fd = socket->native_handle();
  s->stream = std::move(socket);
  s->peer = cosock::unique_descriptor::adopt(peer.release());
  co_return s;
}

void reset(stream_subject& s) {
  raw_socket::of(s.peer.release()).reset();
  test::wait_behind_the_loops_back(s.fd, POLLERR);
}

const test::stream_kind tcp = {
    .name = "tcp",
    .make = [](cosock::loop& on) { return on.run(connected()); },
    .reset = reset,
    .receive_fails_with = test::system_code(ECONNRESET),
    .send_fails_with = test::system_code(ECONNRESET),
};

struct accept_state {
  explicit accept_state(cosock::loop& on)
      : acceptor(std::make_unique<tcp_acceptor>(on, test::any_port_v4)) {}
  std::unique_ptr<tcp_acceptor> acceptor;
  std::vector<raw_socket> clients;
};
task<> accept(accept_state& of) {
  const tcp_socket accepted = co_await of.acceptor->accept();
  BOOST_TEST(accepted.remote_endpoint() == of.clients.back().local_endpoint());
}
task<> accept_with_peer(accept_state& of) {
  cosock::endpoint peer;
  const tcp_socket accepted = co_await of.acceptor->accept(peer);
  BOOST_TEST(peer == of.clients.back().local_endpoint());
}
template <auto operation>
waitable accept_row(cosock::loop& on) {
  const auto of = std::make_shared<accept_state>(on);
  return {.wait = [of] { return operation(*of); },
          .provide =
              [of] {
                of->clients.emplace_back(of->acceptor->local_endpoint());
                test::wait_behind_the_loops_back(of->acceptor->native_handle(), POLLIN);
              },
          .close = [of] { of->acceptor->close(); },
          .destroy = [of] { of->acceptor.reset(); }};
}

/// For the whole program, because it takes a while to fill.
struct silent_port {
  silent_port() { hole = std::make_unique<test::black_hole>(); }
  ~silent_port() { hole.reset(); }
  static inline std::unique_ptr<test::black_hole> hole;
};
BOOST_TEST_GLOBAL_FIXTURE(silent_port);

waitable tcp_connect(cosock::loop&) {
  static const auto connect = [](cosock::endpoint to) -> task<> {
    static_cast<void>(co_await cosock::connect(to));
  };
  return {.wait = [] { return connect(silent_port::hole->at()); }};
}
waitable tcp_connect_to_list(cosock::loop&) {
  static const auto connect = [](cosock::endpoint to) -> task<> {
    const std::vector<cosock::endpoint> list(2, to);
    static_cast<void>(co_await cosock::connect(list));
  };
  return {.wait = [] { return connect(silent_port::hole->at()); }};
}
waitable tcp_connect_to_host(cosock::loop&) {
  static const auto connect = [](std::uint16_t port) -> task<> {
    static_cast<void>(co_await cosock::connect("127.0.0.1", port));
  };
  return {.wait = [] { return connect(silent_port::hole->at().port()); }};
}

std::vector<operation_kind> all_rows() {
  std::vector<operation_kind> rows = test::stream_rows(tcp);
  const auto add_accept = [&](const char* name, waitable (*make)(cosock::loop&)) {
    rows.push_back({.name = name,
                    .make = make,
                    .except = {{way::fail, "a lack of descriptors ends it, in tcp_accept.cpp"}}});
  };
  add_accept("tcp_accept", accept_row<accept>);
  add_accept("tcp_accept_with_peer", accept_row<accept_with_peer>);
  const auto add_connect = [&](const char* name, waitable (*make)(cosock::loop&)) {
    rows.push_back({.name = name,
                    .make = make,
                    .except = {{way::provide, "the system asks again after a second only"},
                               {way::fail, "nobody answers"},
                               {way::close, "there is no object"},
                               {way::destroy, "there is no object"}}});
  };
  add_connect("tcp_connect", tcp_connect);
  add_connect("tcp_connect_to_list", tcp_connect_to_list);
  add_connect("tcp_connect_to_host", tcp_connect_to_host);
  return rows;
}

const test::register_endings registered(all_rows());

}  // namespace
