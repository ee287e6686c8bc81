// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// The endings of each operation on every kind of datagram socket.

#include <cosock/datagram.hpp>

#define BOOST_TEST_MODULE endings_datagram
#include "datagram_kinds.hpp"
#include "raw_socket.hpp"
#include "stream_endings.hpp"

#include <array>
#include <memory>
#include <string>
#include <vector>

namespace {

using namespace test::datagram_kinds;
using cosock::const_buffer;
using cosock::local_datagram_socket;
using cosock::task;
using cosock::udp_socket;
using test::operation_kind;
using test::waitable;
using test::way;

/// A socket, and another one whose descriptor the test uses.
template <class Socket>
struct subject {
  std::unique_ptr<Socket> socket;
  Socket peer;
  int fd = -1;

  subject(Socket own, Socket other)
      : socket(std::make_unique<Socket>(std::move(own))),
        peer(std::move(other)),
        fd(socket->native_handle()) {}
  void send_to_socket() const {
    sockaddr_storage name;
    socklen_t size = sizeof name;
    BOOST_REQUIRE(::getsockname(fd, reinterpret_cast<sockaddr*>(&name), &size) == 0);
    BOOST_REQUIRE(::sendto(peer.native_handle(), "data", 4, 0,
                           reinterpret_cast<const sockaddr*>(&name), size) == 4);
    test::wait_behind_the_loops_back(fd, POLLIN);
  }
};

template <class Kind>
task<std::shared_ptr<subject<typename Kind::socket>>> make_subject() {
  co_return std::make_shared<subject<typename Kind::socket>>(Kind::make(), Kind::make());
}

struct receive {
  static constexpr const char* name = "receive";
  template <class Socket>
  static task<> perform(Socket& s) {
    char into[16];
    const cosock::receive_result got = co_await s.receive(into);
    BOOST_TEST(std::string(into, got.size) == "data");
  }
};
struct receive_scattered {
  static constexpr const char* name = "receive_scattered";
  template <class Socket>
  static task<> perform(Socket& s) {
    char one[1];
    char into[16];
    const std::array<cosock::mutable_buffer, 2> two = {cosock::mutable_buffer(one),
                                                       cosock::mutable_buffer(into)};
    const cosock::receive_result got = co_await s.receive(two);
    BOOST_TEST(one[0] == 'd');
    BOOST_TEST(std::string(into, got.size - 1) == "ata");
  }
};
struct receive_from {
  static constexpr const char* name = "receive_from";
  template <class Socket>
  static task<> perform(Socket& s) {
    char into[16];
    const auto got = co_await s.receive_from(into);
    BOOST_TEST(std::string(into, got.size) == "data");
  }
};
struct receive_batch {
  static constexpr const char* name = "receive_batch";
  template <class Socket>
  static task<> perform(Socket& s) {
    typename Socket::batch batch(4, 16);
    const std::size_t n = co_await s.receive_batch(batch);
    BOOST_TEST(n == 1u);
    const auto first = *batch.begin();
    BOOST_TEST(std::string(static_cast<const char*>(first.data().data()), first.size()) == "data");
  }
};
struct wait_readable {
  static constexpr const char* name = "wait_readable";
  template <class Socket>
  static task<> perform(Socket& s) {
    co_await s.wait_readable();
  }
};

template <class Kind, class Operation>
operation_kind receiving_row(const std::string& kind) {
  return {.name = kind + "_" + Operation::name,
          .make = [](cosock::loop& on) -> waitable {
            const auto s = on.run(make_subject<Kind>());
            return {.wait = [s] { return Operation::perform(*s->socket); },
                    .provide = [s] { s->send_to_socket(); },
                    .close = [s] { s->socket->close(); },
                    .destroy = [s] { s->socket.reset(); }};
          },
          .except = {{way::fail, "nobody answers a socket that is not connected"}}};
}
template <class Kind>
void add_receiving(std::vector<operation_kind>& rows, const std::string& kind) {
  rows.push_back(receiving_row<Kind, receive>(kind));
  rows.push_back(receiving_row<Kind, receive_scattered>(kind));
  rows.push_back(receiving_row<Kind, receive_from>(kind));
  rows.push_back(receiving_row<Kind, receive_batch>(kind));
  rows.push_back(receiving_row<Kind, wait_readable>(kind));
}

task<std::shared_ptr<subject<udp_socket>>> make_connected_udp() {
  udp_socket peer = udp_v4::make();
  udp_socket own = co_await cosock::connect_udp(peer.local_endpoint());
  co_return std::make_shared<subject<udp_socket>>(std::move(own), std::move(peer));
}
template <class Operation>
operation_kind connected_udp_row() {
  return {.name = std::string("udp_connected_") + Operation::name,
          .make = [](cosock::loop& on) -> waitable {
            const auto s = on.run(make_connected_udp());
            return {.wait = [s] { return Operation::perform(*s->socket); },
                    .provide = [s] { s->send_to_socket(); },
                    .fail =
                        [s] {
                          s->peer.close();
                          BOOST_REQUIRE(::send(s->fd, "lost", 4, 0) == 4);
                          test::wait_behind_the_loops_back(s->fd, POLLERR);
                        },
                    .close = [s] { s->socket->close(); },
                    .destroy = [s] { s->socket.reset(); }};
          },
          .fails_with = test::system_code(ECONNREFUSED)};
}

// Sends wait on local sockets only: UDP drops what it has no room for.

using local_subject = std::shared_ptr<subject<local_datagram_socket>>;

task<local_subject> make_local_pair() {
  auto [own, peer] = cosock::local_pair<local_datagram_socket>();
  co_return std::make_shared<subject<local_datagram_socket>>(std::move(own), std::move(peer));
}
task<local_subject> make_local_unconnected() { return make_subject<local_abstract>(); }

struct send {
  static constexpr const char* name = "send";
  static constexpr auto make = make_local_pair;
  static task<> perform(subject<local_datagram_socket>& s) {
    const std::size_t n = co_await s.socket->send("more");
    BOOST_TEST(n == 4u);
  }
};
struct send_to {
  static constexpr const char* name = "send_to";
  static constexpr auto make = make_local_unconnected;
  static task<> perform(subject<local_datagram_socket>& s) {
    const std::size_t n = co_await s.socket->send_to("more", s.peer.local_endpoint());
    BOOST_TEST(n == 4u);
  }
};
struct send_outgoing {
  static constexpr const char* name = "send_outgoing";
  static constexpr auto make = make_local_unconnected;
  static task<> perform(subject<local_datagram_socket>& s) {
    const std::size_t n =
        co_await s.socket->send_to({.data = "more", .to = s.peer.local_endpoint()});
    BOOST_TEST(n == 4u);
  }
};
struct send_batch {
  static constexpr const char* name = "send_batch";
  static constexpr auto make = make_local_pair;
  static task<> perform(subject<local_datagram_socket>& s) {
    const std::array<const_buffer, 2> two = {const_buffer("one"), const_buffer("more")};
    const std::size_t n = co_await s.socket->send_batch(two);
    BOOST_TEST(n == 2u);
  }
};
struct send_batch_to {
  static constexpr const char* name = "send_batch_to";
  static constexpr auto make = make_local_unconnected;
  static task<> perform(subject<local_datagram_socket>& s) {
    const std::array<const_buffer, 2> two = {const_buffer("one"), const_buffer("more")};
    const std::size_t n = co_await s.socket->send_batch(two, s.peer.local_endpoint());
    BOOST_TEST(n == 2u);
  }
};
struct send_with_descriptors {
  static constexpr const char* name = "send_with_descriptors";
  static constexpr auto make = make_local_pair;
  static task<> perform(subject<local_datagram_socket>& s) {
    const int passed[] = {s.fd};
    const std::size_t n = co_await s.socket->send_with_descriptors("more", passed);
    BOOST_TEST(n == 4u);
  }
};
struct wait_writable {
  static constexpr const char* name = "wait_writable";
  static constexpr auto make = make_local_pair;
  static task<> perform(subject<local_datagram_socket>& s) { co_await s.socket->wait_writable(); }
};
struct receive_with_descriptors {
  static constexpr const char* name = "receive_with_descriptors";
  static task<> perform(local_datagram_socket& s) {
    char into[16];
    const auto got = co_await s.receive_with_descriptors(into, 1);
    BOOST_TEST(std::string(into, got.size) == "data");
  }
};

/// Fills the queue of the peer.
void fill_queue(const subject<local_datagram_socket>& s) {
  sockaddr_storage name;
  socklen_t size = sizeof name;
  BOOST_REQUIRE(::getsockname(s.peer.native_handle(), reinterpret_cast<sockaddr*>(&name), &size) ==
                0);
  const auto* to = reinterpret_cast<const sockaddr*>(&name);
  const bool connected = size <= sizeof(sa_family_t);
  while (::sendto(s.fd, "fill", 4, MSG_DONTWAIT, connected ? nullptr : to, connected ? 0 : size) ==
         4)
    continue;
  BOOST_REQUIRE(errno == EAGAIN);
}

template <class Operation>
operation_kind sending_row() {
  operation_kind row = {
      .name = std::string("local_datagram_") + Operation::name,
      .make = [](cosock::loop& on) -> waitable {
        const auto s = on.run(Operation::make());
        fill_queue(*s);
        return {.wait = [s] { return Operation::perform(*s); },
                .provide = [s] { test::make_room(s->peer.native_handle(), s->fd); },
                .fail = [s] { s->peer.close(); },
                .close = [s] { s->socket->close(); },
                .destroy = [s] { s->socket.reset(); }};
      },
      .fails_with = test::system_code(ECONNREFUSED),
  };
  return row;
}

std::vector<operation_kind> all_rows() {
  std::vector<operation_kind> rows;
  add_receiving<udp_v4>(rows, "udp_v4");
  add_receiving<udp_v6>(rows, "udp_v6");
  add_receiving<udp_offload>(rows, "udp_offload");
  add_receiving<udp_no_offload>(rows, "udp_no_offload");
  add_receiving<local_abstract>(rows, "local_abstract");
  add_receiving<local_path>(rows, "local_path");
  rows.push_back(receiving_row<local_abstract, receive_with_descriptors>("local_abstract"));
  rows.push_back(connected_udp_row<receive>());
  rows.push_back(connected_udp_row<receive_from>());
  rows.push_back(connected_udp_row<receive_batch>());
  rows.push_back(sending_row<send>());
  rows.push_back(sending_row<send_to>());
  rows.push_back(sending_row<send_outgoing>());
  rows.push_back(sending_row<send_batch>());
  rows.push_back(sending_row<send_batch_to>());
  rows.push_back(sending_row<send_with_descriptors>());
  rows.push_back(test::that_does_not_fail(sending_row<wait_writable>()));
  return rows;
}

const test::register_endings registered(all_rows());

}  // namespace
