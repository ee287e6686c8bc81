// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// Datagrams of every size, to and from every kind of socket.

#include <cosock/datagram.hpp>

#define BOOST_TEST_MODULE datagram_transfers
#include "datagram_fixture.hpp"
#include "support.hpp"

#include <array>
#include <string>
#include <vector>

namespace {

using namespace test;
using namespace test::datagram_kinds;
using cosock::as_result;
using cosock::buffer;
using cosock::mutable_buffer;
using cosock::receive_result;

DATAGRAM_CHECK(send_receive) {
  socket_of<Kind> a = Kind::make();
  socket_of<Kind> b = Kind::make();
  char into[16];
  BOOST_TEST(co_await a.send_to("question", b.local_endpoint()) == 8u);
  const auto question = co_await b.receive_from(into);
  BOOST_TEST(text(into, question.size) == "question");
  BOOST_TEST(question.length == 8u);
  BOOST_TEST(!question.truncated);
  BOOST_TEST(question.from == a.local_endpoint());
  BOOST_TEST(co_await b.send_to("answer", question.from) == 6u);
  const receive_result answer = co_await a.receive(into);
  BOOST_TEST(text(into, answer.size) == "answer");
}

DATAGRAM_CHECK(connected) {
  socket_of<Kind> a = Kind::make();
  socket_of<Kind> b = Kind::make();
  socket_of<Kind> other = Kind::make();
  const endpoint_of<Kind> to = a.local_endpoint();
  BOOST_TEST(co_await failure_of(a.send("to whom?")) == Kind::no_peer());
  a.connect(b.local_endpoint());
  b.connect(to);
  BOOST_TEST((a.remote_endpoint() == b.local_endpoint()));
  char into[16];
  co_await a.send("one");
  receive_result got = co_await b.receive(into);
  BOOST_TEST(text(into, got.size) == "one");
  // What comes from others is refused, or never seen.
  (void)co_await as_result(other.send_to("intruder", to));
  co_await b.send("two");
  got = co_await a.receive(into);
  BOOST_TEST(text(into, got.size) == "two");
  if (!Kind::can_disconnect) {
    BOOST_CHECK_EXCEPTION(a.disconnect(), boost::system::system_error,
                          is(boost::system::errc::operation_not_supported));
    co_return;
  }
  a.disconnect();
  (void)co_await as_result(other.send_to("guest", to));
  got = co_await a.receive(into);
  BOOST_TEST(text(into, got.size) == "guest");
}

DATAGRAM_CHECK(empty_datagrams_are_delivered) {
  socket_of<Kind> a = Kind::make();
  socket_of<Kind> b = Kind::make();
  char into[16];
  BOOST_TEST(co_await a.send_to("", b.local_endpoint()) == 0u);
  co_await a.send_to("next", b.local_endpoint());
  const auto empty = co_await b.receive_from(into);
  BOOST_TEST(empty.size == 0u);
  BOOST_TEST(!empty.truncated);
  BOOST_TEST(!empty.end);
  BOOST_TEST((empty.from == a.local_endpoint()));
  BOOST_TEST(co_await size_of_next(b) == 4u);
}

DATAGRAM_CHECK(truncation_reported) {
  socket_of<Kind> a = Kind::make();
  socket_of<Kind> b = Kind::make();
  char into[8];
  for (const std::size_t room : {5, 4, 1, 0}) {
    BOOST_TEST_INFO_SCOPE("room for " << room);
    co_await a.send_to("12345", b.local_endpoint());
    co_await a.send_to("rest", b.local_endpoint());
    const receive_result cut = co_await b.receive(buffer(into, room));
    BOOST_TEST(cut.size == room);
    BOOST_TEST(cut.length == 5u);
    BOOST_TEST(cut.truncated == (room < 5));
    BOOST_TEST(text(into, cut.size) == std::string("12345").substr(0, room));
    const auto next = co_await b.receive_from(into);
    BOOST_TEST(text(into, next.size) == "rest");
  }
}

DATAGRAM_CHECK(truncation_reported_in_batches) {
  socket_of<Kind> a = Kind::make();
  socket_of<Kind> b = Kind::make();
  char memory[9];
  const std::array<mutable_buffer, 4> rooms = {buffer(memory, 5), buffer(memory + 5, 3),
                                               buffer(memory + 8, 1), mutable_buffer()};
  batch_of<Kind> batch(rooms);
  for (int i = 0; i != 4; ++i) co_await a.send_to("12345", b.local_endpoint());
  BOOST_TEST(co_await b.receive_batch(batch) == 4u);
  std::size_t i = 0;
  for (const auto& each : batch) {
    BOOST_TEST(each.size() == rooms[i].size());
    BOOST_TEST(each.data().data() == rooms[i].data());
    BOOST_TEST(each.length() == 5u);
    BOOST_TEST(each.truncated() == (i != 0));
    ++i;
  }
  BOOST_TEST(i == 4u);
}

DATAGRAM_CHECK(scatter_and_gather) {
  socket_of<Kind> a = Kind::make();
  socket_of<Kind> b = Kind::make();
  const std::array<std::string_view, 4> parts = {"head", "", "er and ", "body"};
  BOOST_TEST(co_await a.send_to(parts, b.local_endpoint()) == 15u);
  char first[3];
  char second[5];
  char third[20];
  const std::array<mutable_buffer, 3> pieces = {buffer(first, 3), buffer(second, 5),
                                                buffer(third, 20)};
  receive_result got = co_await b.receive(pieces);
  BOOST_TEST(got.size == 15u);
  BOOST_TEST(text(first, 3) + text(second, 5) + text(third, 7) == "header and body");
  a.connect(b.local_endpoint());
  BOOST_TEST(co_await a.send(parts) == 15u);
  const std::array<mutable_buffer, 2> small = {pieces[0], pieces[1]};
  got = co_await b.receive_from(small);
  BOOST_TEST(got.size == 8u);
  BOOST_TEST(got.length == 15u);
  BOOST_TEST(got.truncated);
  // One datagram is one system call, which takes so many pieces and no more.
  const std::vector<std::string_view> many(1024, "x");
  BOOST_TEST(co_await a.send(many) == 1024u);
  const std::vector<std::string_view> too_many(1025, "x");
  BOOST_TEST(co_await failure_of(a.send(too_many)) == code(EMSGSIZE));
}

DATAGRAM_CHECK(max_datagram) {
  socket_of<Kind> a = Kind::make();
  socket_of<Kind> b = Kind::make();
  const std::string large(65507, 'x');
  std::string into(70000, '\0');
  BOOST_TEST(co_await a.send_to(large, b.local_endpoint()) == large.size());
  const receive_result got = co_await b.receive(into);
  BOOST_TEST(got.size == large.size());
  BOOST_TEST((into.substr(0, got.size) == large));
  const std::string too_large(1 << 20, 'x');
  BOOST_TEST(co_await failure_of(a.send_to(too_large, b.local_endpoint())) == code(EMSGSIZE));
  co_await a.send_to("fine", b.local_endpoint());
  BOOST_TEST(co_await size_of_next(b) == 4u);
}

}  // namespace
