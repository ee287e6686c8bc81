// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// Datagrams of every size, alone and in batches.

#include "testing/datagram_checks.hpp"

#include <array>
#include <string>
#include <vector>

namespace cosock::testing::detail {

DATAGRAM_CHECK(send_receive) {
  char into[16];
  EXPECT(co_await in.a.send_to("question", in.b_at) == 8u);
  const auto question = co_await in.b.receive_from(into);
  EXPECT(text(into, question.size) == "question");
  EXPECT(question.length == 8u);
  EXPECT(!question.truncated);
  EXPECT((question.from == in.a_at));
  EXPECT(co_await in.b.send_to("answer", question.from) == 6u);
  EXPECT((co_await next_of(in.a) == "answer"));
}

DATAGRAM_CHECK(empty_datagrams_are_delivered) {
  char into[16];
  EXPECT(co_await in.a.send_to("", in.b_at) == 0u);
  co_await in.a.send_to("next", in.b_at);
  const auto empty = co_await in.b.receive_from(into);
  EXPECT(empty.size == 0u);
  EXPECT(!empty.truncated);
  EXPECT(!empty.end);
  EXPECT((empty.from == in.a_at));
  EXPECT((co_await next_of(in.b) == "next"));
}

DATAGRAM_CHECK(borders_are_kept) {
  const auto text_of = [](int i) {
    return std::string(static_cast<std::size_t>(i), static_cast<char>('a' + i % 26));
  };
  const auto send = [&]() -> task<> {
    for (int i = 0; i != 60; ++i) {
      const std::string one = text_of(i);
      co_await in.a.send_to(one, in.b_at);
    }
  };
  const auto receive = [&]() -> task<> {
    for (int i = 0; i != 60; ++i) {
      const std::string got = co_await next_of(in.b);
      EXPECT(got == text_of(i));
    }
  };
  co_await cosock::when_all(send(), receive());
}

DATAGRAM_CHECK(truncation_is_reported) {
  char into[8];
  for (const std::size_t room : {5, 4, 1, 0}) {
    WITH_INFO("room for " << room);
    co_await in.a.send_to("12345", in.b_at);
    co_await in.a.send_to("rest", in.b_at);
    const receive_result cut = co_await in.b.receive(cosock::buffer(into, room));
    EXPECT(cut.size == room);
    EXPECT(cut.length == 5u);
    EXPECT(cut.truncated == (room < 5));
    EXPECT(text(into, cut.size) == std::string("12345").substr(0, room));
    EXPECT((co_await next_of(in.b) == "rest"));
  }
}

DATAGRAM_CHECK(truncation_is_reported_in_batches) {
  char memory[9];
  const std::array<mutable_buffer, 4> rooms = {cosock::buffer(memory, 5),
                                               cosock::buffer(memory + 5, 3),
                                               cosock::buffer(memory + 8, 1), mutable_buffer()};
  datagram_batch<Endpoint> batch(rooms);
  for (int i = 0; i != 4; ++i) co_await in.a.send_to("12345", in.b_at);
  std::size_t received = 0;
  while (received != 4) {
    const std::size_t n = co_await in.b.receive_batch(batch);
    REQUIRE(n != 0u);
    std::size_t i = 0;
    for (const auto& each : batch) {
      EXPECT(each.size() == rooms[i].size());
      EXPECT(each.length() == 5u);
      EXPECT(each.truncated() == (i != 0));
      EXPECT((each.from() == in.a_at));
      ++i;
    }
    received += n;
  }
}

DATAGRAM_CHECK(scatter_and_gather) {
  const std::array<std::string_view, 4> parts = {"head", "", "er and ", "body"};
  EXPECT(co_await in.a.send_to(parts, in.b_at) == 15u);
  char first[3];
  char second[5];
  char third[20];
  const std::array<mutable_buffer, 3> pieces = {first, second, third};
  receive_result got = co_await in.b.receive(pieces);
  EXPECT(got.size == 15u);
  EXPECT((text(first, 3) + text(second, 5) + text(third, 7) == "header and body"));
  co_await in.a.send_to(parts, in.b_at);
  const std::array<mutable_buffer, 2> small = {first, second};
  got = co_await in.b.receive_from(small);
  EXPECT(got.size == 8u);
  EXPECT(got.length == 15u);
  EXPECT(got.truncated);
}

DATAGRAM_CHECK(many_buffers) {
  const std::vector<std::string_view> many(in.traits.buffers, "x");
  EXPECT(co_await in.a.send_to(many, in.b_at) == many.size());
  std::string into(many.size() + 1, '\0');
  const receive_result got = co_await in.b.receive(into);
  EXPECT(got.size == many.size());
  const std::vector<std::string_view> too_many(in.traits.buffers + 1, "x");
  EXPECT(co_await error_of(in.a.send_to(too_many, in.b_at)) == errc::message_size);
}

DATAGRAM_CHECK(largest_datagram) {
  const std::string large(in.traits.largest, 'x');
  std::string into(large.size() + 1, '\0');
  EXPECT(co_await in.a.send_to(large, in.b_at) == large.size());
  const receive_result got = co_await in.b.receive(into);
  EXPECT(got.size == large.size());
  EXPECT((into.substr(0, got.size) == large));
  const std::string too_large(4 << 20, 'x');
  EXPECT(co_await error_of(in.a.send_to(too_large, in.b_at)) == errc::message_size);
  co_await in.a.send_to("fine", in.b_at);
  EXPECT((co_await next_of(in.b) == "fine"));
}

DATAGRAM_CHECK(batches) {
  std::vector<std::string> sent;
  for (int i = 0; i != 50; ++i) sent.push_back(std::to_string(i * i));
  std::vector<const_buffer> buffers(sent.begin(), sent.end());
  const auto send = [&]() -> task<> { EXPECT(co_await in.a.send_batch(buffers, in.b_at) == 50u); };
  std::vector<std::string> got;
  const auto receive = [&]() -> task<> {
    datagram_batch<Endpoint> batch(8, 100);
    while (got.size() < sent.size()) {
      const std::size_t n = co_await in.b.receive_batch(batch);
      REQUIRE(n != 0u);
      for (const auto& each : batch) {
        got.push_back(text(each.data().data(), each.size()));
        EXPECT((each.from() == in.a_at));
      }
    }
  };
  co_await cosock::when_all(send(), receive());
  EXPECT((got == sent));
}

DATAGRAM_CHECK(a_batch_without_room_receives_nothing) {
  datagram_batch<Endpoint> none(0);
  co_await in.a.send_to("kept", in.b_at);
  EXPECT(co_await in.b.receive_batch(none) == 0u);
  EXPECT((co_await next_of(in.b) == "kept"));
}

DATAGRAM_CHECK(both_directions_at_once) {
  const auto send = [](datagram_socket<Endpoint>& from, const Endpoint& to) -> task<> {
    for (int i = 0; i != 500; ++i) {
      const std::string number = std::to_string(i);
      co_await from.send_to(number, to);
      if (i % 20 == 19) co_await cosock::yield();
    }
  };
  const auto receive = [](datagram_socket<Endpoint>& at) -> task<> {
    for (int i = 0; i != 500; ++i) {
      const std::string got = co_await next_of(at);
      REQUIRE(got == std::to_string(i));
    }
  };
  co_await cosock::when_all(receive(in.a), receive(in.b), send(in.a, in.b_at), send(in.b, in.a_at));
}

template <class Endpoint>
std::span<const datagram_check_entry<Endpoint>> datagram_transfer_checks() {
  static constexpr datagram_check_entry<Endpoint> all[] = {
      {"send_receive", &send_receive},
      {"empty_datagrams_are_delivered", &empty_datagrams_are_delivered},
      {"borders_are_kept", &borders_are_kept},
      {"truncation_is_reported", &truncation_is_reported},
      {"truncation_is_reported_in_batches", &truncation_is_reported_in_batches},
      {"scatter_and_gather", &scatter_and_gather},
      {"many_buffers", &many_buffers},
      {"largest_datagram", &largest_datagram},
      {"batches", &batches},
      {"a_batch_without_room_receives_nothing", &a_batch_without_room_receives_nothing},
      {"both_directions_at_once", &both_directions_at_once},
  };
  return all;
}

template std::span<const datagram_check_entry<endpoint>> datagram_transfer_checks();
template std::span<const datagram_check_entry<local_endpoint>> datagram_transfer_checks();

}  // namespace cosock::testing::detail
