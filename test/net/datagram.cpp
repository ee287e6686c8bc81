// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#include <cosock/datagram.hpp>

// What every datagram socket promises; each case runs for each kind of socket.

#define BOOST_TEST_MODULE datagram
#include "allocations.hpp"
#include "datagram_kinds.hpp"
#include "manual_event.hpp"
#include "support.hpp"

#include <cosock/nursery.hpp>
#include <cosock/when.hpp>

#include <array>
#include <memory>
#include <string>
#include <vector>

namespace {

using namespace test;
using namespace test::datagram_kinds;
using boost::system::error_code;
using cosock::as_result;
using cosock::buffer;
using cosock::const_buffer;
using cosock::mutable_buffer;
using cosock::received;
using cosock::task;

/// A case for every kind of socket, as a coroutine.
#define DATAGRAM_CHECK(name)                              \
  template <class Kind>                                   \
  static task<> name##_body();                            \
  BOOST_AUTO_TEST_CASE_TEMPLATE(name, Kind, every_kind) { \
    test::run_case(name##_body<Kind>());                  \
  }                                                       \
  template <class Kind>                                   \
  static task<> name##_body()

template <class Kind>
using socket_of = typename Kind::socket;
template <class Kind>
using endpoint_of = typename socket_of<Kind>::endpoint_type;
template <class Kind>
using batch_of = typename socket_of<Kind>::batch;
template <class Kind>
using outgoing_of = typename socket_of<Kind>::outgoing;

std::string text(const void* data, std::size_t size) {
  return std::string(static_cast<const char*>(data), size);
}
std::string text(const_buffer b) {
  return text(b.data(), b.size());
}

/// Datagram `i` of a test, all of them different.
std::string numbered(std::size_t i) {
  return "datagram " + std::to_string(i);
}

error_code code(cosock::error e) {
  return make_error_code(e);
}
error_code code(int e) {
  return {e, boost::system::system_category()};
}

/// What an operation fails with.
template <class A>
task<error_code> failure_of(A operation) {
  const auto result = co_await as_result(std::move(operation));
  co_return result ? error_code() : result.error();
}

/// Receives one, and gives its size.
template <class Socket>
task<std::size_t> size_of_next(Socket& s) {
  char into[64];
  const received got = co_await s.receive(into);
  co_return got.size;
}

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
  const received answer = co_await a.receive(into);
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
  received got = co_await b.receive(into);
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
    const received cut = co_await b.receive(buffer(into, room));
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
  received got = co_await b.receive(pieces);
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
  const received got = co_await b.receive(into);
  BOOST_TEST(got.size == large.size());
  BOOST_TEST((into.substr(0, got.size) == large));
  const std::string too_large(1 << 20, 'x');
  BOOST_TEST(co_await failure_of(a.send_to(too_large, b.local_endpoint())) == code(EMSGSIZE));
  co_await a.send_to("fine", b.local_endpoint());
  BOOST_TEST(co_await size_of_next(b) == 4u);
}

DATAGRAM_CHECK(waits_until_a_datagram_comes) {
  socket_of<Kind> a = Kind::make();
  socket_of<Kind> b = Kind::make();
  char into[16];
  const auto receive = [&]() -> task<std::string> {
    const received got = co_await b.receive(into);
    co_return text(into, got.size);
  };
  const auto send = [&]() -> task<> {
    co_await cosock::yield();
    co_await a.send_to("late", b.local_endpoint());
  };
  const auto [got, sent] = co_await cosock::when_all(receive(), send());
  BOOST_TEST(got == "late");
}

DATAGRAM_CHECK(readiness) {
  socket_of<Kind> a = Kind::make();
  socket_of<Kind> b = Kind::make();
  co_await a.wait_writable();
  BOOST_TEST(co_await failure_of(cosock::with_timeout(1ms, b.wait_readable())) ==
             code(cosock::error::timed_out));
  co_await a.send_to("here", b.local_endpoint());
  co_await b.wait_readable();
  BOOST_TEST(co_await size_of_next(b) == 4u);
}

/// The operations of a socket, for what goes for all of them.
enum class operation { receive, receive_from, receive_batch, wait_readable, send_to, send_batch };
std::ostream& operator<<(std::ostream& out, operation o) {
  return out << "operation " << static_cast<int>(o);
}
constexpr operation every_operation[] = {operation::receive,       operation::receive_from,
                                         operation::receive_batch, operation::wait_readable,
                                         operation::send_to,       operation::send_batch};
constexpr operation waiting_operations[] = {operation::receive, operation::receive_from,
                                            operation::receive_batch, operation::wait_readable};

template <class Kind>
task<error_code> perform(operation which, socket_of<Kind>& s, endpoint_of<Kind> to) {
  char into[16];
  switch (which) {
    case operation::receive:
      co_return co_await failure_of(s.receive(into));
    case operation::receive_from:
      co_return co_await failure_of(s.receive_from(into));
    case operation::receive_batch: {
      batch_of<Kind> batch(4, 16);
      co_return co_await failure_of(s.receive_batch(batch));
    }
    case operation::wait_readable:
      co_return co_await failure_of(s.wait_readable());
    case operation::send_to:
      co_return co_await failure_of(s.send_to("sent", to));
    case operation::send_batch: {
      const std::array<const_buffer, 2> two = {const_buffer("sent"), const_buffer("too")};
      co_return co_await failure_of(s.send_batch(two, to));
    }
  }
  co_return error_code();
}

DATAGRAM_CHECK(a_cancelled_operation_does_nothing) {
  socket_of<Kind> a = Kind::make();
  socket_of<Kind> b = Kind::make();
  co_await a.send_to("kept", b.local_endpoint());
  for (const operation which : every_operation) {
    BOOST_TEST_INFO_SCOPE(which);
    cosock::cancel_scope scope;
    scope.cancel();
    error_code how;
    const auto inside = [&]() -> task<> {
      how = co_await perform<Kind>(which, b, a.local_endpoint());
    };
    (void)co_await as_result(scope.run(inside()));
    BOOST_TEST(how == code(cosock::error::cancelled));
  }
  char into[16];
  BOOST_TEST(co_await size_of_next(b) == 4u);
  BOOST_TEST(co_await failure_of(cosock::with_timeout(1ms, a.receive(into))) ==
             code(cosock::error::timed_out));
}

DATAGRAM_CHECK(cancel_keeps_the_datagram) {
  socket_of<Kind> a = Kind::make();
  socket_of<Kind> b = Kind::make();
  for (const operation which : waiting_operations) {
    BOOST_TEST_INFO_SCOPE(which);
    cosock::cancel_scope scope;
    error_code how;
    const auto waiter = [&]() -> task<> {
      how = co_await perform<Kind>(which, b, a.local_endpoint());
    };
    const auto inside = [&]() -> task<> { (void)co_await as_result(scope.run(waiter())); };
    const auto canceller = [&]() -> task<> {
      co_await cosock::yield();
      scope.cancel();
      co_await a.send_to("kept", b.local_endpoint());
    };
    co_await cosock::when_all(inside(), canceller());
    BOOST_TEST(how == code(cosock::error::cancelled));
    BOOST_TEST(co_await size_of_next(b) == 4u);
  }
}

/// Cancelled in the turn in which the datagram comes: either way it is not lost.
DATAGRAM_CHECK(cancel_in_the_turn_of_the_datagram) {
  socket_of<Kind> a = Kind::make();
  socket_of<Kind> b = Kind::make();
  for (const bool cancel_first : {false, true}) {
    char into[16];
    cosock::cancel_scope scope;
    std::size_t taken = 0;
    const auto waiter = [&]() -> task<> {
      const received got = co_await b.receive(into);
      taken = got.size;
    };
    const auto inside = [&]() -> task<> { (void)co_await as_result(scope.run(waiter())); };
    const auto both = [&]() -> task<> {
      co_await cosock::yield();
      if (cancel_first) scope.cancel();
      co_await a.send_to("kept", b.local_endpoint());
      if (!cancel_first) scope.cancel();
    };
    co_await cosock::when_all(inside(), both());
    if (taken == 0) {
      const received got = co_await b.receive(into);
      taken = got.size;
    }
    BOOST_TEST(taken == 4u);
  }
}

DATAGRAM_CHECK(close_wakes_what_waits) {
  for (const operation which : waiting_operations) {
    BOOST_TEST_INFO_SCOPE(which);
    for (const bool destroyed : {false, true}) {
      auto b = std::make_unique<socket_of<Kind>>(Kind::make());
      error_code how;
      const auto waiter = [&]() -> task<> {
        how = co_await perform<Kind>(which, *b, endpoint_of<Kind>());
      };
      const auto closer = [&]() -> task<> {
        co_await cosock::yield();
        if (destroyed)
          b.reset();
        else
          b->close();
      };
      co_await cosock::when_all(waiter(), closer());
      BOOST_TEST(how == code(cosock::error::closed));
    }
  }
}

DATAGRAM_CHECK(a_closed_socket_says_so) {
  socket_of<Kind> s = Kind::make();
  const endpoint_of<Kind> to = s.local_endpoint();
  s.close();
  s.close();
  BOOST_TEST(!s.is_open());
  for (const operation which : every_operation)
    BOOST_TEST(co_await perform<Kind>(which, s, to) == code(cosock::error::closed));
  socket_of<Kind> never;
  for (const operation which : every_operation)
    BOOST_TEST(co_await perform<Kind>(which, never, to) == code(cosock::error::closed));
  BOOST_CHECK_EXCEPTION((void)s.local_endpoint(), boost::system::system_error,
                        is(cosock::error::closed));
}

DATAGRAM_CHECK(a_second_receiver_is_refused) {
  socket_of<Kind> a = Kind::make();
  socket_of<Kind> b = Kind::make();
  error_code second;
  const auto first = [&]() -> task<std::size_t> {
    char into[16];
    const received got = co_await b.receive(into);
    co_return got.size;
  };
  const auto other = [&]() -> task<> {
    co_await cosock::yield();
    char into[16];
    second = co_await failure_of(b.receive(into));
    co_await a.send_to("for the first", b.local_endpoint());
  };
  const auto [got, none] = co_await cosock::when_all(first(), other());
  BOOST_TEST(got == 13u);
  BOOST_TEST(second == code(cosock::error::busy));
}

DATAGRAM_CHECK(may_be_moved_while_it_waits) {
  socket_of<Kind> a = Kind::make();
  socket_of<Kind> b = Kind::make();
  const endpoint_of<Kind> to = b.local_endpoint();
  const auto receive = [&]() -> task<std::size_t> {
    char into[16];
    const received got = co_await b.receive(into);
    co_return got.size;
  };
  const auto move = [&]() -> task<> {
    co_await cosock::yield();
    socket_of<Kind> moved = std::move(b);
    co_await a.send_to("found", to);
    co_await cosock::sleep_for(1ms);
  };
  const auto [got, none] = co_await cosock::when_all(receive(), move());
  BOOST_TEST(got == 5u);
}

BOOST_AUTO_TEST_CASE_TEMPLATE(a_loop_that_ends_first, Kind, every_kind) {
  const std::size_t before = open_descriptors();
  {
    auto on = std::make_unique<cosock::loop>();
    socket_of<Kind> survivor;
    auto running = on->start([](socket_of<Kind>& s) -> task<> {
      s = Kind::make();
      batch_of<Kind> batch(4, 16);
      co_await s.receive_batch(batch);
    }(survivor));
    test::settle(*on);
    BOOST_TEST(!running.done());
    on.reset();
    BOOST_TEST(!survivor.is_open());
  }
  BOOST_TEST(open_descriptors() == before);
}

DATAGRAM_CHECK(another_loop_is_refused) {
  cosock::loop* const own = &cosock::loop::current();
  std::unique_ptr<socket_of<Kind>> s;
  std::thread([&] {
    cosock::loop other;
    other.run([](std::unique_ptr<socket_of<Kind>>& s) -> task<> {
      s = std::make_unique<socket_of<Kind>>(Kind::make());
      co_return;
    }(s));
    own->post([] {});
    // The socket stays; its loop has gone, and with it the descriptor.
  }).join();
  char into[1];
  BOOST_TEST(co_await failure_of(s->receive(into)) == code(cosock::error::closed));
}

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
  } catch (const cosock::batch_error& e) {
    sent = e.datagrams_sent();
    why = e.code();
  }
  BOOST_TEST(sent == 7u);
  BOOST_TEST(why == code(EMSGSIZE));
  batch_of<Kind> batch(10, 16);
  BOOST_TEST(co_await b.receive_batch(batch) == 7u);
  all[0] = too_large;  // nothing has gone: the plain error
  BOOST_TEST(co_await failure_of(a.send_batch(all, b.local_endpoint())) == code(EMSGSIZE));
}

DATAGRAM_CHECK(a_waiting_operation_allocates_nothing) {
  socket_of<Kind> a = Kind::make();
  socket_of<Kind> b = Kind::make();
  batch_of<Kind> batch(8, 64);
  const std::array<const_buffer, 3> three = {const_buffer("1"), const_buffer("22"),
                                             const_buffer("333")};
  const endpoint_of<Kind> to = b.local_endpoint();
  long allocated = 0;
  const auto receive = [&]() -> task<> {
    char into[16];
    for (int i = 0; i != 100; ++i) {
      co_await b.receive_from(into);
      co_await b.receive_batch(batch);
      if (batch.size() < 3) co_await b.receive_batch(batch);
    }
  };
  const auto send = [&]() -> task<> {
    for (int i = 0; i != 100; ++i) {
      if (i == 1) allocations_until_failure = 1'000'000;
      co_await cosock::yield();
      co_await a.send_to("one", to);
      co_await cosock::yield();
      co_await a.send_batch(three, to);
      co_await cosock::yield();
    }
    allocated = 1'000'000 - allocations_until_failure.exchange(-1);
  };
  co_await cosock::when_all(receive(), send());
  BOOST_TEST(allocated == 0);
}

DATAGRAM_CHECK(a_busy_receiver_does_not_starve_others) {
  socket_of<Kind> a = Kind::make();
  bool over = false;
  const auto flood = [&]() -> task<> {
    char into[16];
    while (!over) {
      co_await a.send_to("again", a.local_endpoint());
      co_await a.receive(into);
    }
  };
  const auto tick = [&]() -> task<> {
    for (int i = 0; i != 5; ++i) co_await cosock::sleep_for(1ms);
    over = true;
  };
  co_await cosock::when_all(flood(), tick());
}

DATAGRAM_CHECK(descriptors_are_counted) {
  const std::size_t before = open_descriptors();
  {
    socket_of<Kind> a = Kind::make();
    socket_of<Kind> b = std::move(a);
    BOOST_TEST(open_descriptors() == before + 1);
    BOOST_TEST((::fcntl(b.native_handle(), F_GETFD) & FD_CLOEXEC) != 0);
    a = std::move(b);
    const int fd = a.release();
    BOOST_TEST(a.release() == -1);
    a = socket_of<Kind>::adopt(fd);
    co_await a.send_to("to myself", a.local_endpoint());
    char into[16];
    const auto got = co_await a.receive_from(into);
    BOOST_TEST(got.size == 9u);
  }
  BOOST_TEST(open_descriptors() == before);
}

}  // namespace
