// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// The endings of each operation on local connections and acceptors.

#include <cosock/local.hpp>

#define BOOST_TEST_MODULE endings_local
#include "local_tools.hpp"
#include "stream_endings.hpp"

#include <cosock/acceptors.hpp>
#include <cosock/descriptors.hpp>

#include <memory>
#include <string>
#include <vector>

namespace {

using cosock::byte_stream;
using cosock::local_acceptor;
using cosock::local_acceptor_options;
using cosock::local_acceptors;
using cosock::local_endpoint;
using cosock::local_seqpacket_socket;
using cosock::local_socket;
using cosock::local_stream_socket;
using cosock::shared_local_acceptor;
using cosock::task;
using test::completion;
using test::operation_kind;
using test::raw_local;
using test::stream_kind;
using test::stream_subject;
using test::waitable;
using test::waiting_for;
using test::way;

template <class Socket>
task<std::shared_ptr<stream_subject>> make_connected(int type) {
  auto [own, peer] = raw_local::pair(type);
  auto s = std::make_shared<stream_subject>();
  s->fd = own.fd();
  s->stream = std::make_unique<Socket>(Socket::adopt(own.release()));
  s->peer = cosock::unique_descriptor::adopt(peer.release());
  co_return s;
}

const stream_kind streams = {
    .name = "local_stream",
    .make =
        [](cosock::loop& on) { return on.run(make_connected<local_stream_socket>(SOCK_STREAM)); },
    .reset = test::reset_local,
    .receive_fails_with = test::system_code(ECONNRESET),
    .send_fails_with = test::system_code(EPIPE),
};
const stream_kind packets = {
    .name = "local_seqpacket",
    .make =
        [](cosock::loop& on) {
          return on.run(make_connected<local_seqpacket_socket>(SOCK_SEQPACKET));
        },
    .reset = test::reset_local,
    .receive_fails_with = test::system_code(ECONNRESET),
    .send_fails_with = test::system_code(ECONNRESET),
};

template <class Socket>
constexpr int type_of = std::is_same_v<Socket, local_stream_socket> ? SOCK_STREAM : SOCK_SEQPACKET;

task<> receive_with_descriptors(byte_stream& s) {
  char into[8];
  const auto got = co_await static_cast<local_socket&>(s).receive_with_descriptors(into, 1);
  BOOST_TEST(std::string(into, got.size) == "data");
}
task<> send_with_descriptors(byte_stream& s) {
  auto& socket = static_cast<local_socket&>(s);
  const int passed[] = {socket.native_handle()};
  const std::size_t n = co_await socket.send_with_descriptors("more", passed);
  BOOST_TEST(n == 4u);
}
task<> receive_message(byte_stream& s) {
  char into[8];
  const auto got = co_await static_cast<local_seqpacket_socket&>(s).receive_message(into);
  BOOST_TEST(std::string(into, got.size) == "data");
}
task<> send_message(byte_stream& s) {
  const std::size_t n = co_await static_cast<local_seqpacket_socket&>(s).send_message("more");
  BOOST_TEST(n == 4u);
}

template <class Acceptor>
struct acceptor_state {
  std::unique_ptr<Acceptor> acceptor;
  local_endpoint at;
  std::vector<raw_local> clients;
};
template <class Acceptor>
waitable accept_from(std::unique_ptr<Acceptor> acceptor, int type) {
  const auto of = std::make_shared<acceptor_state<Acceptor>>();
  of->at = acceptor->local_endpoint();
  of->acceptor = std::move(acceptor);
  static const auto accept = [](Acceptor& from) -> task<> {
    const auto accepted = co_await from.accept();
    BOOST_TEST(accepted.is_open());
  };
  return {
      .wait = [of] { return accept(*of->acceptor); },
      .provide = [of, type] { BOOST_REQUIRE(of->clients.emplace_back(type).connect(of->at) == 0); },
      .close = [of] { of->acceptor->close(); },
      .destroy = [of] { of->acceptor.reset(); }};
}

template <class Socket>
waitable local_accept(cosock::loop& on) {
  using acceptor = cosock::local_acceptor<Socket>;
  return accept_from(std::make_unique<acceptor>(on, local_endpoint()), type_of<Socket>);
}

task<std::unique_ptr<shared_local_acceptor<>>> take_acceptor(local_acceptors<>& from) {
  co_return std::make_unique<shared_local_acceptor<>>(from.acceptor(0));
}
waitable shared_accept(cosock::loop& on) {
  local_acceptors listeners(local_endpoint(), 1);
  return accept_from(on.run(take_acceptor(listeners)), SOCK_STREAM);
}

struct full_backlog {
  explicit full_backlog(int type) : listening(type), in_backlog(type) {}
  raw_local listening;
  raw_local in_backlog;
};
/// Waits while the backlog is full.
template <class Socket>
waitable local_connect(cosock::loop&) {
  const auto of = std::make_shared<full_backlog>(type_of<Socket>);
  static std::atomic<int> count = 0;
  const local_endpoint at = local_endpoint::abstract(
      "cosock-endings-" + std::to_string(::getpid()) + '-' + std::to_string(++count));
  BOOST_REQUIRE(of->listening.bind(at) == 0);
  BOOST_REQUIRE(::listen(of->listening.fd(), 0) == 0);
  BOOST_REQUIRE(of->in_backlog.connect(at) == 0);
  static const auto connect = [](local_endpoint to) -> task<> {
    const Socket made = co_await cosock::connect<Socket>(to);
    BOOST_TEST(made.is_open());
  };
  return {.wait = [at] { return connect(at); },
          .provide =
              [of] {
                const auto accepted = cosock::unique_descriptor::adopt(
                    ::accept(of->listening.fd(), nullptr, nullptr));
                BOOST_REQUIRE(accepted.get() >= 0);
              },
          .fail = [of] { of->listening.close(); }};
}

std::vector<operation_kind> all_rows() {
  std::vector<operation_kind> rows;
  for (const stream_kind& k : {streams, packets}) {
    test::append(rows, test::stream_rows(k));
    rows.push_back(test::stream_row(k, "receive_with_descriptors", waiting_for::data,
                                    receive_with_descriptors));
    rows.push_back(
        test::stream_row(k, "send_with_descriptors", waiting_for::room, send_with_descriptors));
  }
  rows.push_back(test::stream_row(packets, "receive_message", waiting_for::data, receive_message));
  rows.push_back(test::stream_row(packets, "send_message", waiting_for::room, send_message));
  const auto add_accept = [&](const char* name, waitable (*make)(cosock::loop&)) {
    rows.push_back({.name = name,
                    .make = make,
                    .except = {{way::fail, "a lack of descriptors ends it, in local_accept.cpp"}}});
  };
  add_accept("local_stream_accept", local_accept<local_stream_socket>);
  add_accept("local_seqpacket_accept", local_accept<local_seqpacket_socket>);
  add_accept("shared_local_accept", shared_accept);
  const auto add_connect = [&](const char* name, waitable (*make)(cosock::loop&)) {
    rows.push_back(
        {.name = name,
         .make = make,
         .fails_with = test::system_code(ECONNREFUSED),
         .except = {{way::close, "there is no object"}, {way::destroy, "there is no object"}}});
  };
  add_connect("local_stream_connect", local_connect<local_stream_socket>);
  add_connect("local_seqpacket_connect", local_connect<local_seqpacket_socket>);
  return rows;
}

const test::register_endings registered(all_rows());

}  // namespace
