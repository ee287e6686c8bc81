// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#include <cosock/testing/scripted.hpp>

#define BOOST_TEST_MODULE testing_scripted
#include "support.hpp"

#include <cosock/clock.hpp>
#include <cosock/reader.hpp>
#include <cosock/when.hpp>

#include <array>
#include <stdexcept>
#include <string>

namespace {

using boost::system::system_error;
using cosock::byte_stream;
using cosock::error;
using cosock::task;
using cosock::testing::script;
using cosock::testing::script_error;
using cosock::testing::scripted;
using test::is;
using namespace std::chrono_literals;
namespace errc = boost::system::errc;

/// A client that greets, and returns the answer.
task<std::string> greet(byte_stream& server, std::string name) {
  const std::string greeting = "HELO " + name + "\r\n";
  co_await server.send(greeting);
  cosock::buffered_reader lines(server);
  const auto line = co_await lines.read_line();
  co_return line ? std::string(*line) : std::string("end");
}

auto says(std::string text) {
  return [text](const std::exception& e) {
    if (e.what() != text) BOOST_TEST_MESSAGE(e.what());
    return e.what() == text;
  };
}

}  // namespace

COROUTINE_TEST_CASE(a_script_is_played_to_its_end) {
  scripted server(script().expect("HELO me\r\n").send("250 ").send("ok\r\n").expect_end().end());
  BOOST_TEST(!server.is_played());
  BOOST_TEST((co_await greet(server, "me") == "250 ok"));
  server.shutdown_send();
  BOOST_TEST(server.is_played());
  std::array<char, 4> into;
  for (int i = 0; i != 2; ++i) BOOST_TEST(co_await server.receive(into) == 0u);
  server.close();
  server.require_played();
}

COROUTINE_TEST_CASE(bytes_are_matched_in_pieces_and_over_steps) {
  scripted peer(script().expect("abc").expect("def").send("1").expect("g"));
  for (const char* piece : {"a", "bcd", "ef"}) co_await peer.send(std::string(piece));
  const std::array<std::string, 2> parts = {"", "g"};
  co_await peer.send(parts);
  peer.require_played();
}

COROUTINE_TEST_CASE(a_mismatch_fails_the_operation_and_says_what_came) {
  scripted server(script().expect("HELO me\r\n").send("250 ok\r\n"));
  BOOST_CHECK_EXCEPTION(co_await greet(server, "you"), system_error, is(errc::protocol_error));
  BOOST_CHECK_EXCEPTION(co_await server.send("x"), system_error, is(errc::protocol_error));
  std::array<char, 4> into;
  BOOST_CHECK_EXCEPTION(co_await server.receive(into), system_error, is(errc::protocol_error));
  BOOST_CHECK_EXCEPTION(
      server.require_played(), script_error,
      says("the script does not match at step 1 of 2 (expect \"HELO me\\r\\n\"): came "
           "\"HELO you\\r\\n\""));
}

COROUTINE_TEST_CASE(a_mismatch_after_a_part_shows_the_part_too) {
  scripted peer(script().expect("one two"));
  co_await peer.send("one ");
  BOOST_CHECK_EXCEPTION(co_await peer.send("2\x01"), system_error, is(errc::protocol_error));
  BOOST_TEST(peer.mismatch() ==
             "the script does not match at step 1 of 1 (expect \"one two\"): came \"one 2\\x01\"");
  BOOST_CHECK_THROW(peer.require_played(), script_error);
}

COROUTINE_TEST_CASE(bytes_behind_the_end_of_the_script_are_a_mismatch) {
  scripted peer(script().expect("x"));
  BOOST_CHECK_EXCEPTION(co_await peer.send("xy"), cosock::transfer_error, is(errc::protocol_error));
  BOOST_CHECK_EXCEPTION(
      peer.require_played(), script_error,
      says("the script does not match at its end, where nothing is expected: came \"y\""));
}

COROUTINE_TEST_CASE(an_end_that_comes_too_early_is_a_mismatch) {
  scripted peer(script().expect("bye"));
  peer.shutdown_send();
  BOOST_CHECK_EXCEPTION(
      peer.require_played(), script_error,
      says("the script does not match at step 1 of 1 (expect \"bye\"): came the end"));
  co_return;
}

COROUTINE_TEST_CASE(a_script_that_is_not_played_to_its_end_is_an_error) {
  scripted peer(script().send("hello").expect("bye").end());
  co_await peer.send("b");
  peer.close();
  BOOST_CHECK_EXCEPTION(peer.require_played(), script_error,
                        says("the script was not played to its end: step 2 of 3 (expect \"bye\") "
                             "was not reached; came \"b\""));
}

COROUTINE_TEST_CASE(a_failure_comes_behind_the_bytes_of_the_peer) {
  const boost::system::error_code reset(ECONNRESET, boost::system::system_category());
  scripted peer(script().expect("x").send("last").fail(reset));
  std::array<char, 8> into;
  const auto receive = [&]() -> task<> {
    BOOST_TEST(co_await peer.receive(into) == 4u);
    BOOST_CHECK_EXCEPTION(co_await peer.receive(into), system_error, is(errc::connection_reset));
  };
  const auto send = [&]() -> task<> {
    co_await cosock::yield();
    co_await peer.send("x");
    BOOST_CHECK_EXCEPTION(co_await peer.send("y"), system_error, is(errc::connection_reset));
  };
  co_await cosock::when_all(receive(), send());
  peer.require_played();
}

COROUTINE_TEST_CASE(while_it_waits_nothing_is_sent_or_received) {
  scripted peer(script().wait(20ms).expect("x").wait(-1s).send("y").wait(1h));
  const auto begun = cosock::now();
  BOOST_TEST(!peer.try_send_some("x"));
  std::array<char, 8> into;
  BOOST_TEST(!peer.try_receive(into));
  co_await peer.wait_writable();
  BOOST_TEST((cosock::now() - begun >= 20ms));
  co_await peer.send("x");
  BOOST_TEST(co_await peer.receive(into) == 1u);
  BOOST_CHECK_EXCEPTION(co_await cosock::with_timeout(1ms, peer.wait_readable()), system_error,
                        is(error::timed_out));
}

COROUTINE_TEST_CASE(a_script_is_refused_with_what_is_wrong) {
  BOOST_CHECK_EXCEPTION(script().expect(""), std::logic_error,
                        says("script: expect() needs at least one byte"));
  BOOST_CHECK_EXCEPTION(script().send(""), std::logic_error,
                        says("script: send() needs at least one byte; end() ends the stream"));
  BOOST_CHECK_EXCEPTION(script().fail({}), std::logic_error,
                        says("script: fail() needs an error code, not success"));
  BOOST_CHECK_EXCEPTION(script().fail(make_error_code(errc::io_error)).send("x"), std::logic_error,
                        says("script: no step follows fail(), which ends the connection"));
  BOOST_CHECK_EXCEPTION(script().end().send("x"), std::logic_error,
                        says("script: after end() the peer sends nothing, and does not end again"));
  BOOST_CHECK_EXCEPTION(script().expect_end().expect("x"), std::logic_error,
                        says("script: after expect_end() no bytes and no end can follow"));
  co_return;
}

BOOST_AUTO_TEST_CASE(a_script_needs_a_loop) {
  BOOST_CHECK_THROW(scripted(script().send("x")), std::logic_error);
}
