// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// Peers that break the protocol, flood, stop in the middle, or are too old: each ends with a clear error,
// in bounded time and memory.

#include <cosock/tls.hpp>

#define BOOST_TEST_MODULE tls_hostile
#include "raw_tls.hpp"
#include "tls_fixture.hpp"

#include <cosock/cosock.hpp>

#include <algorithm>
#include <memory>
#include <stdexcept>

namespace {

using cosock::task;
using cosock::tls_errc;
using cosock::tls_stream;
using test::client_context;
using test::contains;
using test::is;
using test::raw_tls;
using test::server_context;
using namespace std::chrono_literals;

/// A connection of one of our sides with a raw peer.
struct against_raw {
  std::unique_ptr<test::memory_stream> wire;
  std::unique_ptr<raw_tls> raw;
  tls_stream ours;
};

task<against_raw> our_server(test::raw_context context, std::size_t room = 50'000) {
  auto ends = co_await test::make_memory_pair(room);
  against_raw made;
  made.wire = std::move(ends.second);
  made.raw = std::make_unique<raw_tls>(*made.wire, std::move(context), raw_tls::client);
  auto [ours, none] = co_await cosock::when_all(
      cosock::tls_accept(server_context(), std::move(ends.first)), made.raw->handshake());
  made.ours = std::move(ours);
  co_return made;
}

task<against_raw> our_client(test::raw_context context, std::size_t room = 50'000) {
  auto ends = co_await test::make_memory_pair(room);
  against_raw made;
  made.wire = std::move(ends.second);
  made.raw = std::make_unique<raw_tls>(*made.wire, std::move(context), raw_tls::server);
  auto [ours, none] = co_await cosock::when_all(
      cosock::tls_over(client_context(), std::move(ends.first), "localhost", {.resume = false}),
      made.raw->handshake());
  made.ours = std::move(ours);
  co_return made;
}

/// The error of one of our handshakes with a peer that runs `peer`.
template <class Peer>
task<test::thrown> failed_handshake(bool as_server, Peer peer) {
  auto ends = co_await test::make_memory_pair(50'000);
  test::thrown told;
  const auto ours = [&]() -> task<> {
    try {
      if (as_server)
        co_await cosock::tls_accept(server_context(), std::move(ends.first));
      else
        co_await cosock::tls_over(client_context(), std::move(ends.first), "localhost");
    } catch (...) {
      told.error = std::current_exception();
    }
  };
  const auto theirs = [&]() -> task<> {
    try {
      co_await peer(*ends.second);
    } catch (const std::exception&) {
      // It is refused.
    }
    ends.second->close();
  };
  co_await cosock::when_all(ours(), theirs());
  co_return told;
}

COROUTINE_TEST_CASE(other_protocols_are_not_tls) {
  for (const std::string& text :
       {std::string("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"),
        std::string("SSH-2.0-OpenSSH_9\r\n"), std::string(100, '\0'), std::string(5000, 'x')}) {
    const auto talk = [&](cosock::byte_stream& wire) -> task<> {
      co_await wire.send(text);
      char block[100];
      while (co_await wire.receive(block)) {
      }
    };
    for (const bool as_server : {true, false}) {
      const test::thrown told = co_await failed_handshake(as_server, talk);
      BOOST_TEST((told.is(tls_errc::not_tls) || told.is(tls_errc::protocol) ||
                  told.is(tls_errc::protocol_version)),
                 told.text());
    }
  }
}

task<> check_version(int version) {
  const auto as_client = [&](cosock::byte_stream& wire) -> task<> {
    raw_tls raw(wire, test::make_raw_context(nullptr, version), raw_tls::client);
    co_await raw.handshake();
  };
  const test::thrown told = co_await failed_handshake(true, as_client);
  BOOST_TEST(told.is(tls_errc::protocol_version), told.text());
  const auto as_server = [&](cosock::byte_stream& wire) -> task<> {
    raw_tls raw(wire, test::make_raw_context(&test::localhost(), version), raw_tls::server);
    co_await raw.handshake();
  };
  const test::thrown answer = co_await failed_handshake(false, as_server);
  BOOST_TEST(answer.is(tls_errc::protocol_version), answer.text());
}

COROUTINE_TEST_CASE(versions_below_1_2_are_refused) {
  co_await check_version(TLS1_VERSION);
  co_await check_version(TLS1_1_VERSION);
}

COROUTINE_TEST_CASE(a_hello_of_ssl_3_is_refused) {
  // Version 3.0 in record and hello, no session, one cipher suite, no compression, no extensions.
  std::string hello("\x16\x03\x00\x00\x2d\x01\x00\x00\x29\x03\x00", 11);
  hello += std::string(32, 'r');
  hello += std::string("\x00\x00\x02\x00\x2f\x01\x00", 7);
  const auto talk = [&](cosock::byte_stream& wire) -> task<> {
    co_await wire.send(hello);
    char block[100];
    while (co_await wire.receive(block)) {
    }
  };
  const test::thrown told = co_await failed_handshake(true, talk);
  BOOST_TEST(told.is(tls_errc::protocol_version), told.text());
}

COROUTINE_TEST_CASE(weak_certificates_are_refused) {
  for (const bool sha1 : {true, false}) {
    test::certificate_request asked;
    if (sha1)
      asked.digest = EVP_sha1();
    else
      asked.rsa_bits = 1024;
    const test::issued_certificate weak = test::make_certificate(asked, &test::root());
    const auto as_server = [&](cosock::byte_stream& wire) -> task<> {
      raw_tls raw(wire, test::make_raw_context(&weak), raw_tls::server);
      co_await raw.handshake();
    };
    const test::thrown told = co_await failed_handshake(false, as_server);
    BOOST_TEST(told.is(tls_errc::weak_certificate), told.text());
    BOOST_TEST(contains(told.text(), "CN=leaf"), told.text());
  }
}

/// Sends at most so many bytes of what the other end of `from` says, and then closes.
task<> relay(cosock::byte_stream& from, cosock::byte_stream& to, std::size_t& left) {
  char block[1000];
  for (;;) {
    const std::size_t n = co_await from.receive(block);
    const std::size_t passed = std::min(n, left);
    co_await to.send(cosock::const_buffer(block, passed));
    left -= passed;
    if (n == 0 || left == 0) break;
  }
  to.shutdown_send();
}

/// Both of our sides, with a wire that carries so many bytes in one direction.
task<bool> cut_after(std::size_t bytes, bool of_server) {
  auto one = co_await test::make_memory_pair();
  auto other = co_await test::make_memory_pair();
  test::thrown told;
  std::size_t all = SIZE_MAX;
  bool completed = false;
  const auto ours = [&](bool as_server) -> task<> {
    try {
      if (as_server)
        co_await cosock::tls_accept(server_context(), std::move(other.second));
      else
        co_await cosock::tls_over(client_context(), std::move(one.first), "localhost",
                                  {.resume = false});
      if (as_server != of_server) completed = true;
    } catch (...) {
      if (as_server != of_server) told.error = std::current_exception();
    }
  };
  const auto both = [&]() -> task<> { co_await cosock::when_all(ours(true), ours(false)); };
  co_await cosock::when_any(
      both(), cosock::when_all(relay(*one.second, *other.first, of_server ? all : bytes),
                               relay(*other.first, *one.second, of_server ? bytes : all)));
  // The side that waits in vain for the rest ends by the end of the wire.
  if (!completed && told.error) BOOST_TEST(told.is(tls_errc::truncated), told.text());
  co_return completed;
}

COROUTINE_TEST_CASE(a_handshake_that_stops_at_every_byte) {
  for (const bool of_server : {true, false}) {
    std::size_t bytes = 0;
    while (!co_await cut_after(bytes, of_server)) {
      ++bytes;
      BOOST_REQUIRE(bytes < 5000u);
    }
    BOOST_TEST(bytes > 200u);
  }
}

COROUTINE_TEST_CASE(an_end_without_close_notify_is_no_end) {
  char into[100];
  {
    against_raw c = co_await our_client(test::make_raw_context(&test::localhost()));
    co_await c.raw->write("the data");
    c.wire->close();
    BOOST_TEST(co_await c.ours.receive(into) == 8u);
    for (int i = 0; i != 3; ++i)
      BOOST_CHECK_EXCEPTION(co_await c.ours.receive(into), boost::system::system_error,
                            is(tls_errc::truncated));
    BOOST_TEST(!co_await c.ours.finish());
  }
  auto ends = co_await test::make_memory_pair(50'000);
  raw_tls raw(*ends.second, test::make_raw_context(&test::localhost()), raw_tls::server);
  auto [ours, none] =
      co_await cosock::when_all(cosock::tls_over(client_context(), std::move(ends.first),
                                                 "localhost", {.accept_truncation = true}),
                                raw.handshake());
  ends.second->shutdown_send();
  for (int i = 0; i != 3; ++i) BOOST_TEST(co_await ours.receive(into) == 0u);
  co_await ours.send("sending goes on");
  BOOST_TEST(co_await raw.read() == "sending goes on");
}

/// For code that takes every kind of stream.
COROUTINE_TEST_CASE(finish_through_the_base_forgives_a_peer_that_has_gone) {
  for (const bool reset : {false, true}) {
    against_raw c = co_await our_client(test::make_raw_context(&test::localhost()));
    if (reset)
      c.wire->abort();
    else
      c.wire->close();
    cosock::byte_stream& any = c.ours;
    BOOST_TEST(!co_await any.finish(1s));
    BOOST_TEST(!any.is_open());
    BOOST_CHECK_EXCEPTION(co_await any.finish(), boost::system::system_error,
                          is(cosock::error::closed));
  }
  against_raw c = co_await our_client(test::make_raw_context(&test::localhost()), 5000);
  const std::string large(16'000, 'x');
  co_await c.ours.send_some(large);
  cosock::byte_stream& any = c.ours;
  BOOST_CHECK_EXCEPTION(co_await any.finish(5ms), boost::system::system_error,
                        is(cosock::error::timed_out));
}

/// The transport has room again, but the loop has not told the stream yet.
COROUTINE_TEST_CASE(close_sends_what_is_left_of_a_record_if_there_is_room) {
  for (const bool shut : {true, false}) {
    against_raw c = co_await our_client(test::make_raw_context(&test::localhost()), 10'000);
    const std::string large(16'000, 'x');
    BOOST_TEST(co_await c.ours.send_some(large) == large.size());
    if (shut) c.ours.shutdown_send();
    std::string wire;
    char block[10'000];
    wire.append(block, co_await c.wire->receive(block));
    c.ours.close();
    while (const std::size_t n = co_await c.wire->receive(block)) wire.append(block, n);
    // Each record has five bytes before it, of which the last two are its length.
    std::size_t at = 0;
    int records = 0;
    for (; at + 5 <= wire.size(); ++records)
      at += 5u + static_cast<unsigned char>(wire[at + 3]) * 256u +
            static_cast<unsigned char>(wire[at + 4]);
    BOOST_TEST(at == wire.size());
    BOOST_TEST(records >= 2);  // the data and close_notify
  }
}

/// Somebody who cuts one direction must not make the other one look complete.
COROUTINE_TEST_CASE(a_stream_that_was_cut_says_no_goodbye) {
  char into[100];
  against_raw c = co_await our_server(test::make_raw_context());
  c.wire->shutdown_send();
  co_await c.ours.send("a part");
  BOOST_CHECK_EXCEPTION(co_await c.ours.receive(into), boost::system::system_error,
                        is(tls_errc::truncated));
  c.ours.close();
  BOOST_TEST(co_await c.raw->read() == "a part");
  BOOST_CHECK_THROW(co_await c.raw->read(), std::runtime_error);
}

COROUTINE_TEST_CASE(a_record_that_was_changed_ends_both_directions) {
  char into[100];
  against_raw c = co_await our_client(test::make_raw_context(&test::localhost()));
  co_await c.raw->write("good");
  SSL_write(c.raw->get(), "bad", 3);
  std::string record = c.raw->take_output();
  record.back() ^= 1;
  co_await c.wire->send(record);
  // Tickets of the raw server come first.
  BOOST_TEST(co_await c.ours.receive(into) == 4u);
  for (int i = 0; i != 2; ++i)
    BOOST_CHECK_EXCEPTION(co_await c.ours.receive(into), boost::system::system_error,
                          is(tls_errc::protocol));
  BOOST_CHECK_EXCEPTION(co_await c.ours.send("x"), boost::system::system_error,
                        is(tls_errc::protocol));
  BOOST_TEST(!co_await c.ours.finish());
}

COROUTINE_TEST_CASE(records_that_are_too_long_or_nonsense) {
  char into[100];
  for (const std::string& head :
       {std::string("\x17\x03\x03\x41\x01", 5),  // 2^14 + 257
        std::string("\x17\x03\x03\x00\x00", 5), std::string("\x99\x03\x03\x00\x10", 5),
        std::string("\x17\x02\x00\x00\x20", 5)}) {
    against_raw c = co_await our_server(test::make_raw_context());
    co_await c.wire->send(head + std::string(20'000, 'x'));
    BOOST_CHECK_EXCEPTION(co_await c.ours.receive(into), boost::system::system_error,
                          [](const auto& e) {
                            return e.code() == tls_errc::protocol || e.code() == tls_errc::not_tls;
                          });
  }
}

COROUTINE_TEST_CASE(a_flood_of_key_updates_ends_the_connection) {
  char into[100];
  against_raw c = co_await our_server(test::make_raw_context(), 500'000);
  for (int i = 0; i != 2000; ++i) {
    SSL_key_update(c.raw->get(), SSL_KEY_UPDATE_REQUESTED);
    SSL_do_handshake(c.raw->get());
  }
  const std::string flood = c.raw->take_output();
  BOOST_TEST(flood.size() > 2000u * 20);
  const auto send_all = [&]() -> task<> {
    try {
      co_await c.wire->send(flood);
    } catch (const boost::system::system_error&) {
    }
  };
  const auto receive = [&]() -> task<> {
    BOOST_CHECK_EXCEPTION(co_await c.ours.receive(into), boost::system::system_error,
                          is(tls_errc::too_many_messages));
    c.ours.close();
  };
  co_await cosock::when_all(send_all(), receive());
}

COROUTINE_TEST_CASE(a_flood_of_tickets_ends_the_connection) {
  char into[100];
  against_raw c = co_await our_client(test::make_raw_context(&test::localhost()), 1'000'000);
  for (int i = 0; i != 500; ++i) {
    SSL_new_session_ticket(c.raw->get());
    SSL_do_handshake(c.raw->get());
  }
  const std::string flood = c.raw->take_output();
  const auto receive = [&]() -> task<> {
    BOOST_CHECK_EXCEPTION(co_await c.ours.receive(into), boost::system::system_error,
                          is(tls_errc::too_many_messages));
    c.ours.close();
  };
  const auto send_all = [&]() -> task<> {
    try {
      co_await c.wire->send(flood);
    } catch (const boost::system::system_error&) {
    }
  };
  co_await cosock::when_all(send_all(), receive());
}

COROUTINE_TEST_CASE(new_keys_at_any_moment) {
  char into[100];
  against_raw c = co_await our_server(test::make_raw_context());
  for (int i = 0; i != 200; ++i) {
    SSL_key_update(c.raw->get(), i % 2 ? SSL_KEY_UPDATE_REQUESTED : SSL_KEY_UPDATE_NOT_REQUESTED);
    co_await c.raw->write("ping");
    BOOST_TEST(co_await c.ours.receive(into) == 4u);
    co_await c.ours.send("pong");
    BOOST_TEST(co_await c.raw->read() == "pong");
  }
}

/// The answer to a request for new keys has to be written while a send waits, and nobody reads.
COROUTINE_TEST_CASE(new_keys_while_a_send_waits) {
  char into[100];
  against_raw c = co_await our_server(test::make_raw_context(), 5000);
  const std::string large(100'000, 'x');
  std::size_t received = 0;
  const auto reading = [&]() -> task<> {
    for (int i = 0; i != 50; ++i) BOOST_TEST(co_await c.ours.receive_exactly({into, 4}) == 4u);
  };
  const auto peer = [&]() -> task<> {
    for (int i = 0; i != 50; ++i) {
      SSL_key_update(c.raw->get(), SSL_KEY_UPDATE_REQUESTED);
      co_await c.raw->write("ping");
    }
    while (received != large.size()) received += (co_await c.raw->read()).size();
  };
  co_await cosock::when_all(c.ours.send(large), reading(), peer());
}

COROUTINE_TEST_CASE(renegotiation_is_refused_and_does_no_harm) {
  char into[100];
  against_raw c = co_await our_server(test::make_raw_context(nullptr, TLS1_2_VERSION));
  BOOST_TEST((c.ours.facts().version == cosock::tls_version::tls_1_2));
  SSL_renegotiate(c.raw->get());
  SSL_do_handshake(c.raw->get());
  co_await c.raw->flush();
  const auto send = [&]() -> task<> { co_await c.ours.send("still here"); };
  const auto receive = [&]() -> task<> {
    const auto got = co_await cosock::as_result(cosock::with_timeout(10ms, c.ours.receive(into)));
    BOOST_TEST(got.has_error());
    BOOST_TEST((got.error() == cosock::error::timed_out || got.error() == tls_errc::protocol),
               got.error().message());
  };
  co_await cosock::when_all(send(), receive());
}

COROUTINE_TEST_CASE(a_peer_that_never_answers_close_notify) {
  against_raw c = co_await our_server(test::make_raw_context());
  const auto before = std::chrono::steady_clock::now();
  BOOST_TEST(!co_await c.ours.finish(50ms));
  BOOST_TEST(!c.ours.is_open());
  BOOST_TEST((std::chrono::steady_clock::now() - before < 5s));
  BOOST_TEST(co_await c.raw->read() == "");
}

/// Nothing is on the way that a client which closes at once would have to read.
COROUTINE_TEST_CASE(tickets_travel_with_the_first_data) {
  against_raw c = co_await our_server(test::make_raw_context());
  char into[1000];
  co_await cosock::yield();
  BOOST_TEST(!c.wire->try_receive(into));
  co_await c.ours.send("x");
  const auto n = c.wire->try_receive(into);
  BOOST_REQUIRE(n);
  BOOST_TEST(*n > 400u);
}

COROUTINE_TEST_CASE(a_reset_is_reported_as_one) {
  cosock::tcp_acceptor acceptor(cosock::endpoint(cosock::address::loopback_v4(), 0));
  auto [plain, accepted] =
      co_await cosock::when_all(cosock::connect(acceptor.local_endpoint()), acceptor.accept());
  raw_tls raw(plain, test::make_raw_context(), raw_tls::client);
  auto [ours, none] = co_await cosock::when_all(
      cosock::tls_accept(server_context(), std::move(accepted)), raw.handshake());
  co_await raw.write("last words");
  plain.abort();
  char into[100];
  const auto first = co_await cosock::as_result(ours.receive(into));
  BOOST_TEST((first || first.error() == boost::system::errc::connection_reset));
  BOOST_CHECK_EXCEPTION(co_await ours.receive(into), boost::system::system_error,
                        is(boost::system::errc::connection_reset));
  BOOST_TEST(!co_await ours.finish());
}

}  // namespace
