// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// A reader as a byte_stream.

#include <cosock/reader.hpp>

#define BOOST_TEST_MODULE reader_stream
#include "memory_stream.hpp"
#include "stream_conformance.hpp"

#include <cosock/connect.hpp>
#include <cosock/copy.hpp>
#include <cosock/tcp.hpp>

#include <array>
#include <memory>
#include <string>

namespace {

using namespace test;
using cosock::buffered_reader;
using cosock::byte_stream;
using cosock::task;
using cosock::tcp_socket;
using test::is;
using namespace std::chrono_literals;

/// Readers over both ends.
stream_pair read_through(std::unique_ptr<byte_stream> one, std::unique_ptr<byte_stream> other) {
  stream_pair made(std::make_unique<buffered_reader>(*one),
                   std::make_unique<buffered_reader>(*other));
  made.below.push_back(std::move(one));
  made.below.push_back(std::move(other));
  return made;
}

task<stream_pair> over_tcp() {
  cosock::tcp_acceptor acceptor({cosock::address::loopback_v4(), 0});
  auto [client, server] =
      co_await cosock::when_all(cosock::connect(acceptor.local_endpoint()), acceptor.accept());
  co_return read_through(std::make_unique<tcp_socket>(std::move(client)),
                         std::make_unique<tcp_socket>(std::move(server)));
}

task<stream_pair> over_memory() {
  auto [one, other] = co_await test::make_memory_pair();
  co_return read_through(std::move(one), std::move(other));
}

const register_suite tcp("reader_over_tcp", over_tcp, {.owns = false});
const register_suite memory("reader_over_memory", over_memory, {.owns = false});

task<std::string> receive_all(byte_stream& from) {
  std::string all;
  std::array<char, 7> memory;
  while (const std::size_t n = co_await from.receive(memory)) all.append(memory.data(), n);
  co_return all;
}

}  // namespace

COROUTINE_TEST_CASE(bytes_that_were_read_ahead_come_first) {
  auto [peer, stream] = co_await test::make_memory_pair();
  co_await peer->send("GET /chat\r\n\r\nframe after the upgrade");
  peer->shutdown_send();
  buffered_reader reader(*stream);
  BOOST_TEST((co_await reader.read_line() == "GET /chat"));
  BOOST_TEST((co_await reader.read_line() == ""));
  byte_stream& upgraded = reader;
  co_await upgraded.wait_readable();
  BOOST_TEST(co_await receive_all(upgraded) == "frame after the upgrade");
}

COROUTINE_TEST_CASE(they_fill_several_buffers_and_a_block_that_goes_on_in_the_stream) {
  auto [peer, stream] = co_await test::make_memory_pair();
  co_await peer->send("line\n0123456789");
  buffered_reader reader(*stream);
  BOOST_TEST((co_await reader.read_line() == "line"));
  std::array<char, 2> one;
  std::array<char, 3> other;
  const std::array<cosock::mutable_buffer, 2> both = {one, other};
  BOOST_TEST(co_await reader.receive(both) == 5u);
  BOOST_TEST(std::string(one.data(), 2) + std::string(other.data(), 3) == "01234");
  std::array<char, 8> block;
  const auto rest = [](byte_stream& peer) -> task<> {
    for (int i = 0; i != 5; ++i) co_await cosock::yield();
    co_await peer.send("abc");
  };
  const auto received = co_await cosock::when_all(reader.receive_exactly(block), rest(*peer));
  BOOST_TEST(std::get<0>(received) == 8u);
  BOOST_TEST(std::string(block.data(), 8) == "56789abc");
}

COROUTINE_TEST_CASE(copy_both_forwards_what_a_reader_holds) {
  auto [client, front] = co_await test::make_memory_pair();
  auto [back, server] = co_await test::make_memory_pair();
  co_await client->send("CONNECT server\nhello");
  client->shutdown_send();
  buffered_reader reader(*front);
  BOOST_TEST((co_await reader.read_line() == "CONNECT server"));
  const auto serve = [](byte_stream& peer) -> task<> {
    BOOST_TEST(co_await receive_all(peer) == "hello");
    co_await peer.send("good bye");
    peer.shutdown_send();
  };
  co_await cosock::when_all(cosock::copy_both(reader, *back), serve(*server));
  BOOST_TEST(co_await receive_all(*client) == "good bye");
}

COROUTINE_TEST_CASE(a_cancelled_receive_leaves_the_stream_free) {
  auto [peer, stream] = co_await test::make_memory_pair();
  buffered_reader reader(*stream);
  std::array<char, 4> memory;
  BOOST_CHECK_EXCEPTION(co_await cosock::with_timeout(0s, reader.receive(memory)),
                        boost::system::system_error, is(cosock::error::timed_out));
  BOOST_CHECK_EXCEPTION(co_await cosock::with_timeout(1ms, reader.receive(memory)),
                        boost::system::system_error, is(cosock::error::timed_out));
  co_await peer->send("ab\n");
  BOOST_TEST((co_await reader.read_line() == "ab"));
  co_await peer->send("cd");
  BOOST_TEST(co_await stream->receive(memory) == 2u);
}

COROUTINE_TEST_CASE(reading_a_line_and_receiving_at_once_is_busy) {
  auto [peer, stream] = co_await test::make_memory_pair();
  buffered_reader reader(*stream);
  const auto intrude = [](buffered_reader& reader, byte_stream& peer) -> task<> {
    std::array<char, 4> memory;
    BOOST_CHECK_EXCEPTION(co_await reader.receive(memory), boost::system::system_error,
                          is(cosock::error::busy));
    BOOST_CHECK_EXCEPTION(co_await reader.finish(), boost::system::system_error,
                          is(cosock::error::busy));
    BOOST_TEST(reader.is_open());
    co_await peer.send("line\n");
  };
  const auto read = [](buffered_reader& reader) -> task<> {
    BOOST_TEST((co_await reader.read_line() == "line"));
  };
  co_await cosock::when_all(read(reader), intrude(reader, *peer));
}

COROUTINE_TEST_CASE(a_reader_over_a_stream_that_was_closed_is_closed) {
  auto [peer, stream] = co_await test::make_memory_pair();
  buffered_reader reader(*stream);
  stream->close();
  std::array<char, 4> memory;
  BOOST_CHECK_EXCEPTION(co_await reader.receive(memory), boost::system::system_error,
                        is(cosock::error::closed));
  BOOST_CHECK_EXCEPTION(co_await reader.send("a"), boost::system::system_error,
                        is(cosock::error::closed));
  const buffered_reader late(*stream);
  BOOST_TEST(!late.is_open());
}
