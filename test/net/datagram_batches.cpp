// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// Batches of datagrams, with every kind of socket.

#include <cosock/datagram.hpp>

#define BOOST_TEST_MODULE datagram_batches
#include "datagram_fixture.hpp"

#include <cosock/when.hpp>

#include <array>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

using namespace test;
using namespace test::datagram_kinds;
using boost::system::error_code;
using cosock::const_buffer;
using cosock::task;

template <class Kind>
using outgoing_of = typename socket_of<Kind>::outgoing;

/// Datagram `i` of a test, all of them different.
std::string numbered(std::size_t i) { return "datagram " + std::to_string(i); }

DATAGRAM_CHECK(batches_are_moved) {
  socket_of<Kind> a = Kind::make();
  co_await a.send_to("one", a.local_endpoint());
  batch_of<Kind> first(4, 16);
  co_await a.receive_batch(first);
  batch_of<Kind> second = std::move(first);
  BOOST_TEST(second.size() == 1u);
  BOOST_TEST(text((*second.begin()).data()) == "one");
  BOOST_TEST(first.empty());
  BOOST_TEST(co_await a.receive_batch(first) == 0u);
  first = std::move(second);
  BOOST_TEST(first.size() == 1u);
  BOOST_CHECK_THROW(batch_of<Kind>(4, std::size_t(1) << 62), std::invalid_argument);
}

DATAGRAM_CHECK(batches) {
  socket_of<Kind> a = Kind::make();
  socket_of<Kind> b = Kind::make();
  batch_of<Kind> none(0);
  BOOST_TEST(co_await b.receive_batch(none) == 0u);
  BOOST_TEST(none.empty());
  batch_of<Kind> batch(8, 64);
  const std::vector<const_buffer> nothing;
  BOOST_TEST(co_await a.send_batch(nothing, b.local_endpoint()) == 0u);
  const std::array<const_buffer, 3> three = {const_buffer("1"), const_buffer(""),
                                             const_buffer("333")};
  BOOST_TEST(co_await a.send_batch(three, b.local_endpoint()) == 3u);
  BOOST_TEST(co_await b.receive_batch(batch) == 3u);
  BOOST_TEST(batch.size() == 3u);
  std::vector<std::string> got;
  for (const auto& each : batch) {
    got.push_back(text(each.data()));
    BOOST_TEST((each.from() == a.local_endpoint()));
    BOOST_TEST(!each.truncated());
  }
  const std::vector<std::string> expected = {"1", "", "333"};
  BOOST_TEST(got == expected);
  a.connect(b.local_endpoint());
  BOOST_TEST(co_await a.send_batch(three) == 3u);
  BOOST_TEST(co_await b.receive_batch(batch) == 3u);
  // No more than there is room for: the rest stays.
  for (int i = 0; i != 3; ++i) co_await a.send_batch(three);
  batch_of<Kind> small(6, 64);
  BOOST_TEST(co_await b.receive_batch(small) == 6u);
  BOOST_TEST(co_await b.receive_batch(small) == 3u);
  BOOST_TEST(co_await failure_of(cosock::with_timeout(1ms, b.receive_batch(batch))) ==
             code(cosock::error::timed_out));
  BOOST_TEST(batch.empty());
}

/// More than the system takes in one call, of all sizes.
DATAGRAM_CHECK(batches_larger_than_a_system_call) {
  constexpr std::size_t many = 2500;
  socket_of<Kind> a = Kind::make();
  socket_of<Kind> b = Kind::make();
  Kind::make_room(b);
  std::vector<std::string> texts;
  for (std::size_t i = 0; i != many; ++i)
    texts.push_back(numbered(i) + std::string(i % 7 == 0 ? i % 50 : 3, '.'));
  const std::vector<const_buffer> all(texts.begin(), texts.end());
  batch_of<Kind> batch(many, 128);
  std::size_t got = 0;
  std::size_t wrong = 0;
  const auto receive = [&]() -> task<> {
    while (got != many) {
      co_await b.receive_batch(batch);
      for (const auto& each : batch) wrong += text(each.data()) != texts[got++];
    }
  };
  const auto send = [&]() -> task<std::size_t> {
    co_return co_await a.send_batch(all, b.local_endpoint());
  };
  const auto [none, sent] = co_await cosock::when_all(receive(), send());
  BOOST_TEST(sent == many);
  BOOST_TEST(got == many);
  BOOST_TEST(wrong == 0u);
}

DATAGRAM_CHECK(a_batch_to_and_from_several_peers) {
  socket_of<Kind> a = Kind::make();
  std::vector<socket_of<Kind>> peers;
  for (int i = 0; i != 3; ++i) peers.push_back(Kind::make());
  std::vector<outgoing_of<Kind>> all;
  std::vector<std::string> texts;
  for (std::size_t i = 0; i != 30; ++i) texts.push_back("#" + std::to_string(10 + i));
  for (std::size_t i = 0; i != 30; ++i) {
    outgoing_of<Kind> each;
    each.data = texts[i];
    each.to = peers[i % 3 == 2 ? 2 : i / 15].local_endpoint();
    all.push_back(each);
  }
  BOOST_TEST(co_await a.send_batch(all) == 30u);
  batch_of<Kind> batch(40, 64);
  for (std::size_t p = 0; p != 3; ++p) {
    std::vector<std::string> expected;
    for (std::size_t i = 0; i != 30; ++i)
      if ((i % 3 == 2 ? 2 : i / 15) == p) expected.push_back(texts[i]);
    std::vector<std::string> got;
    co_await peers[p].receive_batch(batch);
    for (const auto& each : batch) got.push_back(text(each.data()));
    BOOST_TEST(got == expected);
  }
  for (auto& each : peers) co_await each.send_to("back", a.local_endpoint());
  BOOST_TEST(co_await a.receive_batch(batch) == 3u);
  std::size_t p = 0;
  for (const auto& each : batch) BOOST_TEST((each.from() == peers[p++].local_endpoint()));
}

DATAGRAM_CHECK(a_batch_that_fails_says_how_many_have_gone) {
  socket_of<Kind> a = Kind::make();
  socket_of<Kind> b = Kind::make();
  const std::string too_large(1 << 20, 'x');
  std::vector<const_buffer> all(10, const_buffer("fine"));
  all[7] = too_large;
  std::size_t sent = 0;
  error_code why;
  try {
    co_await a.send_batch(all, b.local_endpoint());
  } catch (const cosock::transfer_error& e) {
    sent = e.datagrams_transferred();
    why = e.code();
  }
  BOOST_TEST(sent == 7u);
  BOOST_TEST(why == code(EMSGSIZE));
  batch_of<Kind> batch(10, 16);
  BOOST_TEST(co_await b.receive_batch(batch) == 7u);
  all[0] = too_large;  // nothing has gone: the plain error
  BOOST_TEST(co_await failure_of(a.send_batch(all, b.local_endpoint())) == code(EMSGSIZE));
}

}  // namespace
