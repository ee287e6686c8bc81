// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// What a peer sent before it reset the connection is received, also after a send has failed.

#define BOOST_TEST_MODULE lost_connection
#include "stream_fixture.hpp"
#include "support.hpp"

#include <cosock/connect.hpp>
#include <cosock/copy.hpp>
#include <cosock/local.hpp>
#include <cosock/reader.hpp>
#include <cosock/when.hpp>

#include <sys/socket.h>
#include <unistd.h>

#include <memory>
#include <string>

namespace {

using cosock::as_result;
using cosock::nursery;
using cosock::task;
using cosock::tcp_socket;
using cosock::with_nursery;
using test::is_broken;
using test::let_others_run;

const std::string answer = "413 too large\n";
const std::string request(8 << 20, 'x');

/// A stream, and the descriptor of its peer, which the test uses as another program would.
struct connection {
  std::unique_ptr<cosock::byte_stream> stream;
  cosock::unique_descriptor peer;

  /// The peer reads a little of the request, answers, and closes: a reset, as bytes are unread.
  void answer_and_reset() {
    char some[100];
    BOOST_REQUIRE(::recv(peer.get(), some, sizeof some, 0) > 0);
    BOOST_REQUIRE(::send(peer.get(), answer.data(), answer.size(), MSG_NOSIGNAL) > 0);
    peer = {};
  }
};

task<connection> tcp(cosock::address at) {
  cosock::tcp_acceptor acceptor(cosock::endpoint(at, 0));
  auto [client, server] =
      co_await cosock::when_all(cosock::connect(acceptor.local_endpoint()), acceptor.accept());
  connection c;
  c.stream = std::make_unique<tcp_socket>(std::move(client));
  c.peer = cosock::unique_descriptor::adopt(server.release());
  co_return c;
}
task<connection> tcp_v4() { return tcp(cosock::address::loopback_v4()); }
task<connection> tcp_v6() { return tcp(cosock::address::loopback_v6()); }
task<connection> local_stream() {
  auto pair = cosock::local_pair();
  connection c;
  c.stream = std::make_unique<cosock::local_stream_socket>(std::move(pair.first));
  c.peer = cosock::unique_descriptor::adopt(pair.second.release());
  co_return c;
}
task<connection> local_messages() {
  auto pair = cosock::local_pair<cosock::local_seqpacket_socket>();
  connection c;
  c.stream = std::make_unique<cosock::local_seqpacket_socket>(std::move(pair.first));
  c.peer = cosock::unique_descriptor::adopt(pair.second.release());
  co_return c;
}
using maker = task<connection> (*)();
constexpr maker makers[] = {tcp_v4, tcp_v6, local_stream, local_messages};

/// Sends until that fails; packets are small.
task<> send_in_vain(cosock::byte_stream& to) {
  const std::string_view piece(request.data(), 1000);
  while (co_await as_result(to.send(piece))) {
  }
}

COROUTINE_TEST_CASE(an_answer_is_received_after_the_send_has_failed) {
  for (const maker make : makers) {
    connection c = co_await make();
    co_await with_nursery([&](nursery& n) -> task<> {
      n.start([&] { return send_in_vain(*c.stream); });
      co_await let_others_run();
      c.answer_and_reset();
    });
    char into[100];
    const auto got = co_await as_result(c.stream->receive(into));
    BOOST_REQUIRE((got.has_value()));
    BOOST_TEST(std::string_view(into, *got) == answer);
    // Then the loss, again and again, and never the end.
    for (int i = 0; i != 3; ++i)
      BOOST_TEST(is_broken((co_await test::outcome_of(c.stream->receive(into))).error));
    BOOST_TEST(is_broken((co_await test::outcome_of(c.stream->send("x"))).error));
  }
}

COROUTINE_TEST_CASE(a_receiver_that_waits_all_along_has_the_answer) {
  for (const maker make : makers) {
    connection c = co_await make();
    char into[100];
    test::outcome got;
    co_await with_nursery([&](nursery& n) -> task<> {
      n.start([&] { return send_in_vain(*c.stream); });
      n.start([&]() -> task<> { got = co_await test::outcome_of(c.stream->receive(into)); });
      co_await let_others_run();
      c.answer_and_reset();
    });
    BOOST_TEST(!got.error);
    BOOST_TEST(std::string_view(into, got.bytes) == answer);
  }
}

COROUTINE_TEST_CASE(a_reader_has_the_answer) {
  for (const maker make : {tcp_v4, local_stream}) {
    connection c = co_await make();
    cosock::buffered_reader reader(*c.stream);
    co_await with_nursery([&](nursery& n) -> task<> {
      n.start([&] { return send_in_vain(*c.stream); });
      co_await let_others_run();
      c.answer_and_reset();
    });
    const auto line = co_await reader.read_line();
    BOOST_REQUIRE(line.has_value());
    BOOST_TEST(*line == "413 too large");
    BOOST_TEST(is_broken((co_await as_result(reader.read_line())).error()));
  }
}

COROUTINE_TEST_CASE(messages_with_descriptors_come_before_the_loss) {
  connection c = co_await local_messages();
  auto& socket = static_cast<cosock::local_seqpacket_socket&>(*c.stream);
  for (const bool with_descriptors : {false, true}) {
    BOOST_REQUIRE(::send(c.peer.get(), answer.data(), answer.size(), MSG_NOSIGNAL) > 0);
    if (with_descriptors) continue;
    co_await socket.send("never read");
  }
  c.peer = {};
  char into[100];
  const auto first = co_await socket.receive_with_descriptors(into, 1);
  BOOST_TEST(std::string_view(into, first.size) == answer);
  const auto second = co_await socket.receive_message(into);
  BOOST_TEST(std::string_view(into, second.size) == answer);
  BOOST_TEST(is_broken((co_await as_result(socket.receive_message(into))).error()));
  BOOST_TEST(is_broken((co_await as_result(socket.receive_with_descriptors(into, 1))).error()));
}

COROUTINE_TEST_CASE(a_copy_passes_on_what_came_before_the_loss) {
  for (const maker make : makers) {
    connection c = co_await make();
    co_await with_nursery([&](nursery& n) -> task<> {
      n.start([&] { return send_in_vain(*c.stream); });
      co_await let_others_run();
      c.answer_and_reset();
    });
    connection target = co_await tcp_v4();
    try {
      (void)co_await cosock::copy(*c.stream, *target.stream);
      BOOST_ERROR("the loss is an error");
    } catch (const cosock::transfer_error& e) {
      BOOST_TEST(is_broken(e.code()));
      BOOST_TEST(e.bytes_transferred() == answer.size());
    }
    char into[100];
    BOOST_TEST(::recv(target.peer.get(), into, sizeof into, 0) ==
               static_cast<ssize_t>(answer.size()));
  }
}

/// An early answer of the server reaches the client through a proxy, whose sending fails.
COROUTINE_TEST_CASE(a_proxy_passes_on_an_early_answer) {
  for (const maker make : {tcp_v4, local_stream}) {
    connection client = co_await tcp_v4();
    tcp_socket front = tcp_socket::adopt(client.peer.release());
    connection back = co_await make();
    std::string got;
    co_await with_nursery([&](nursery& n) -> task<> {
      n.start([&]() -> task<> {
        const auto all = co_await cosock::copy_both(front, *back.stream);
        BOOST_TEST_INFO(all.error.message());
        BOOST_TEST(is_broken(all.error));
        BOOST_TEST(all.second_to_first == answer.size());
        front.close();
      });
      n.start([&]() -> task<> {
        (void)co_await as_result(client.stream->send(request));
        char into[100];
        while (const auto size = co_await as_result(client.stream->receive(into))) {
          if (*size == 0) break;
          got.append(into, *size);
        }
      });
      // Until the request has come.
      for (int unread = 0; unread < 1000; ::ioctl(back.peer.get(), FIONREAD, &unread))
        co_await cosock::yield();
      back.answer_and_reset();
    });
    BOOST_TEST(got == answer);
  }
}

/// Much comes before the reset: what is spliced is whole too.
COROUTINE_TEST_CASE(a_splice_passes_on_all_that_came_before_the_loss) {
  connection c = co_await tcp_v4();
  auto& source = static_cast<tcp_socket&>(*c.stream);
  source.set_receive_buffer(1 << 20);
  co_await source.send("never read");
  const std::string much(300 << 10, 'y');
  std::size_t sent = 0;
  while (sent != much.size()) {
    const ssize_t n =
        ::send(c.peer.get(), much.data() + sent, much.size() - sent, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n < 0) break;
    sent += static_cast<std::size_t>(n);
  }
  c.peer = {};
  // Now the loss is known, to a send.
  BOOST_TEST(is_broken(co_await test::send_until_error(source)));
  connection target = co_await tcp_v4();
  std::size_t received = 0;
  co_await with_nursery([&](nursery& n) -> task<> {
    n.start([&]() -> task<> {
      tcp_socket sink = tcp_socket::adopt(target.peer.release());
      std::string into(64 << 10, ' ');
      while (const std::size_t size = co_await sink.receive(into)) received += size;
    });
    const auto all = co_await as_result(cosock::copy(source, *target.stream));
    BOOST_TEST(is_broken(all.error()));
    target.stream->close();
  });
  BOOST_TEST(received == sent);
}

}  // namespace
