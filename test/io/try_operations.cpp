// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// Functions that never wait, and the wait for the end of the peer.

#include <cosock/stream.hpp>

#define BOOST_TEST_MODULE try_operations
#include "memory_stream.hpp"
#include "support.hpp"

#include <cosock/connect.hpp>
#include <cosock/descriptor_stream.hpp>
#include <cosock/local.hpp>
#include <cosock/reader.hpp>
#include <cosock/tcp.hpp>
#include <cosock/when.hpp>

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <memory>
#include <string>

namespace {

using boost::system::system_error;
using cosock::byte_stream;
using cosock::error;
using cosock::task;
using cosock::tcp_acceptor;
using cosock::tcp_socket;
using test::is;
namespace errc = boost::system::errc;
using namespace std::chrono_literals;

struct ends {
  std::unique_ptr<byte_stream> one;
  std::unique_ptr<byte_stream> other;
};

task<ends> tcp() {
  tcp_acceptor acceptor({cosock::address::loopback_v4(), 0});
  auto [client, server] =
      co_await cosock::when_all(cosock::connect(acceptor.local_endpoint()), acceptor.accept());
  ends made{std::make_unique<tcp_socket>(std::move(client)),
            std::make_unique<tcp_socket>(std::move(server))};
  co_return made;
}

template <class Socket>
task<ends> local() {
  auto [one, other] = cosock::local_pair<Socket>();
  ends made{std::make_unique<Socket>(std::move(one)), std::make_unique<Socket>(std::move(other))};
  co_return made;
}

task<ends> memory() {
  auto [one, other] = co_await test::make_memory_pair();
  ends made{std::move(one), std::move(other)};
  co_return made;
}

struct kind {
  const char* name;
  task<ends> (*make)();
  bool tells_peer_closed = true;
};
const kind kinds[] = {{"tcp", tcp},
                      {"local_stream", local<cosock::local_stream_socket>},
                      {"local_seqpacket", local<cosock::local_seqpacket_socket>},
                      {"custom", memory, false}};

/// Runs a case on each kind of stream.
void on_each(task<> (*body)(byte_stream& one, byte_stream& other), bool needs_peer_closed = false) {
  for (const kind& k : kinds) {
    if (needs_peer_closed && !k.tells_peer_closed) continue;
    BOOST_TEST_CONTEXT(k.name) {
      test::run_case([](const kind& k, task<> (*body)(byte_stream&, byte_stream&)) -> task<> {
        const ends pair = co_await k.make();
        co_await body(*pair.one, *pair.other);
      }(k, body));
    }
  }
}

task<> receive_now(byte_stream& one, byte_stream& other) {
  std::array<char, 8> memory;
  BOOST_TEST(!one.try_receive(memory).has_value());
  BOOST_TEST((one.try_receive(cosock::mutable_buffer()) == 0u));
  co_await other.send("abc");
  co_await one.wait_readable();
  BOOST_TEST((one.try_receive(memory) == 3u));
  BOOST_TEST(std::string(memory.data(), 3) == "abc");
  BOOST_TEST(!one.try_receive(memory).has_value());
  // A receive that waits after that gets what comes.
  const auto send = [](byte_stream& to) -> task<> {
    co_await cosock::yield();
    co_await to.send("de");
  };
  BOOST_TEST(std::get<0>(co_await cosock::when_all(one.receive(memory), send(other))) == 2u);
  other.shutdown_send();
  co_await one.wait_readable();
  BOOST_TEST((one.try_receive(memory) == 0u));
  BOOST_TEST((one.try_receive(memory) == 0u));
}

task<> send_now(byte_stream& one, byte_stream& other) {
  BOOST_TEST((one.try_send_some("ab") == 2u));
  BOOST_TEST((one.try_send_some(cosock::const_buffer()) == 0u));
  std::array<char, 2> memory;
  co_await other.receive_exactly(memory);
  BOOST_TEST(std::string(memory.data(), 2) == "ab");
  const std::string block(1000, 'x');
  std::size_t sent = 0;
  while (const auto n = one.try_send_some(block)) sent += *n;
  BOOST_TEST(sent > 1000u);
  // A send that waits after that goes on when there is room.
  const auto receive = [&sent](byte_stream& from) -> task<> {
    std::string all(4000, '\0');
    std::size_t received = 0;
    while (received != sent + 1) received += co_await from.receive(all);
  };
  co_await cosock::when_all(one.send("y"), receive(other));
}

task<> refuse(byte_stream& one, byte_stream& other) {
  std::array<char, 2> memory;
  const auto intrude = [](byte_stream& one, byte_stream& other) -> task<> {
    std::array<char, 2> memory;
    BOOST_CHECK_EXCEPTION(static_cast<void>(one.try_receive(memory)), system_error,
                          is(error::busy));
    co_await other.send("a");
  };
  co_await cosock::when_all(one.receive(memory), intrude(one, other));
  one.close();
  BOOST_CHECK_EXCEPTION(static_cast<void>(one.try_receive(memory)), system_error,
                        is(error::closed));
  BOOST_CHECK_EXCEPTION(static_cast<void>(one.try_send_some("a")), system_error, is(error::closed));
}

}  // namespace

BOOST_AUTO_TEST_CASE(try_receive_takes_what_there_is) { on_each(receive_now); }
BOOST_AUTO_TEST_CASE(try_send_some_sends_what_fits) { on_each(send_now); }
BOOST_AUTO_TEST_CASE(they_refuse_a_direction_in_use_and_a_closed_stream) { on_each(refuse); }

COROUTINE_TEST_CASE(try_receive_of_a_reader_takes_the_buffer_first) {
  auto [peer, stream] = co_await test::make_memory_pair();
  co_await peer->send("line\nrest\nmore");
  cosock::buffered_reader reader(*stream);
  BOOST_TEST((co_await reader.read_line() == "line"));
  std::array<char, 5> memory;
  BOOST_TEST((reader.try_receive(memory) == 5u));
  BOOST_TEST(std::string(memory.data(), 5) == "rest\n");
  BOOST_TEST((reader.try_receive(memory) == 4u));
  BOOST_TEST(!reader.try_receive(memory).has_value());
  co_await peer->send("line\nrest");
  BOOST_TEST((co_await reader.read_line() == "line"));
  BOOST_TEST(co_await reader.receive(memory) == 4u);
}

COROUTINE_TEST_CASE(errors_are_those_of_the_operations) {
  const ends pair = co_await tcp();
  static_cast<tcp_socket&>(*pair.other).abort();
  co_await pair.one->wait_readable();
  std::array<char, 5> memory;
  BOOST_CHECK_EXCEPTION(static_cast<void>(pair.one->try_receive(memory)), system_error,
                        is(errc::connection_reset));
}

// Acceptors

namespace {

template <class Acceptor, class Connect>
task<> accept_now(Acceptor& acceptor, Connect connect) {
  BOOST_TEST(!acceptor.try_accept().has_value());
  auto client = co_await connect();
  auto accepted = acceptor.try_accept();
  BOOST_REQUIRE(accepted.has_value());
  BOOST_TEST(!acceptor.try_accept().has_value());
  co_await client.send("a");
  char byte;
  co_await accepted->receive(cosock::buffer(&byte, 1));
  BOOST_TEST(byte == 'a');

  const auto intrude = [&]() -> task<> {
    BOOST_CHECK_EXCEPTION(static_cast<void>(acceptor.try_accept()), system_error, is(error::busy));
    auto another = co_await connect();
  };
  co_await cosock::when_all(acceptor.accept(), intrude());
  acceptor.close();
  BOOST_CHECK_EXCEPTION(static_cast<void>(acceptor.try_accept()), system_error, is(error::closed));
}

}  // namespace

COROUTINE_TEST_CASE(try_accept_of_tcp) {
  tcp_acceptor acceptor({cosock::address::loopback_v6(), 0});
  const auto at = acceptor.local_endpoint();
  co_await accept_now(acceptor, [at] { return cosock::connect(at); });
}

COROUTINE_TEST_CASE(try_accept_of_local_sockets) {
  cosock::local_acceptor stream{cosock::local_endpoint()};
  const auto at = stream.local_endpoint();
  co_await accept_now(stream, [at] { return cosock::connect(at); });
  cosock::local_acceptor<cosock::local_seqpacket_socket> packets{cosock::local_endpoint()};
  const auto there = packets.local_endpoint();
  co_await accept_now(packets,
                      [there] { return cosock::connect<cosock::local_seqpacket_socket>(there); });
}

// The end of the peer

namespace {

task<> learn(byte_stream& one, byte_stream& other) {
  bool gone = false;
  const auto wait = [&]() -> task<> {
    co_await one.wait_peer_closed();
    gone = true;
  };
  const auto leave = [&]() -> task<> {
    for (int i = 0; i != 3; ++i) {
      co_await other.send("unread");
      for (int turn = 0; turn != 10; ++turn) co_await cosock::yield();
      BOOST_TEST(!gone);
    }
    other.shutdown_send();
  };
  co_await cosock::when_all(wait(), leave());
  co_await one.wait_peer_closed();  // at once
  // What was sent before is still there.
  std::array<char, 6> memory;
  for (int i = 0; i != 3; ++i) {
    BOOST_TEST(co_await one.receive_exactly(memory) == 6u);
    BOOST_TEST(std::string(memory.data(), 6) == "unread");
  }
  BOOST_TEST(co_await one.receive(memory) == 0u);
  co_await one.wait_peer_closed();
}

task<> give_up(byte_stream& one, byte_stream& other) {
  // Cancelled before and while it waits, destroyed while it waits: the bytes are found after that.
  for (const auto limit : {0ms, 1ms}) {
    co_await other.send("a");
    BOOST_CHECK_EXCEPTION(co_await cosock::with_timeout(limit, one.wait_peer_closed()),
                          system_error, is(error::timed_out));
    std::array<char, 1> memory;
    BOOST_TEST(co_await one.receive(memory) == 1u);
  }
  co_await other.send("b");
  const auto forget = []() -> task<> {
    co_await cosock::yield();
    co_await cosock::yield();
  };
  co_await cosock::when_any(one.wait_peer_closed(), forget());
  std::array<char, 1> memory;
  BOOST_TEST(co_await one.receive(memory) == 1u);
}

task<> exclude(byte_stream& one, byte_stream& other) {
  const auto intrude = [](byte_stream& one, byte_stream& other) -> task<> {
    std::array<char, 2> memory;
    BOOST_CHECK_EXCEPTION(co_await one.receive(memory), system_error, is(error::busy));
    BOOST_CHECK_EXCEPTION(co_await one.wait_peer_closed(), system_error, is(error::busy));
    co_await one.send("the other direction is free");
    other.close();
  };
  co_await cosock::when_all(one.wait_peer_closed(), intrude(one, other));
  one.close();
  BOOST_CHECK_EXCEPTION(co_await one.wait_peer_closed(), system_error, is(error::closed));
}

task<> close_meanwhile(byte_stream& one, byte_stream&) {
  const auto wait = [](byte_stream& one) -> task<> {
    BOOST_CHECK_EXCEPTION(co_await one.wait_peer_closed(), system_error, is(error::closed));
  };
  const auto close = [](byte_stream& one) -> task<> {
    co_await cosock::yield();
    one.close();
  };
  co_await cosock::when_all(wait(one), close(one));
}

}  // namespace

BOOST_AUTO_TEST_CASE(the_end_of_the_peer_is_learned_before_its_bytes_are_read) {
  on_each(learn, true);
}
BOOST_AUTO_TEST_CASE(a_wait_for_the_end_that_is_given_up_leaves_the_bytes) {
  on_each(give_up, true);
}
BOOST_AUTO_TEST_CASE(the_wait_for_the_end_takes_the_receiving_direction) { on_each(exclude, true); }
BOOST_AUTO_TEST_CASE(a_stream_that_is_closed_ends_the_wait) { on_each(close_meanwhile, true); }

COROUTINE_TEST_CASE(a_reset_ends_the_wait) {
  const ends pair = co_await tcp();
  const auto reset = [](byte_stream& peer) -> task<> {
    co_await cosock::yield();
    static_cast<tcp_socket&>(peer).abort();
  };
  co_await cosock::when_all(pair.one->wait_peer_closed(), reset(*pair.other));
  std::array<char, 5> memory;
  BOOST_CHECK_EXCEPTION(co_await pair.one->receive(memory), system_error,
                        is(errc::connection_reset));
}

COROUTINE_TEST_CASE(through_a_reader_it_is_the_peer_of_the_stream) {
  const ends pair = co_await tcp();
  cosock::buffered_reader reader(*pair.one);
  const auto leave = [](byte_stream& peer) -> task<> {
    co_await peer.send("line\n");
    co_await cosock::yield();
    peer.shutdown_send();
  };
  co_await cosock::when_all(reader.wait_peer_closed(), leave(*pair.other));
  BOOST_TEST((co_await reader.read_line() == "line"));
}

COROUTINE_TEST_CASE(the_writer_of_a_pipe_learns_that_the_reader_has_gone) {
  int fds[2];
  test::check(::pipe2(fds, O_CLOEXEC) == 0, "pipe2");
  auto reads = cosock::descriptor_stream::adopt(fds[0]);
  auto writes = cosock::descriptor_stream::adopt(fds[1]);
  const auto leave = [&]() -> task<> {
    co_await cosock::yield();
    reads.close();
  };
  co_await cosock::when_all(writes.wait_peer_closed(), leave());
}

COROUTINE_TEST_CASE(a_stream_that_cannot_tell_says_so) {
  auto null = cosock::descriptor_stream::adopt(::open("/dev/null", O_RDWR | O_CLOEXEC));
  BOOST_CHECK_EXCEPTION(co_await null.wait_peer_closed(), system_error,
                        is(errc::operation_not_supported));
  auto [peer, custom] = co_await test::make_memory_pair();
  BOOST_CHECK_EXCEPTION(co_await custom->wait_peer_closed(), system_error,
                        is(errc::operation_not_supported));
}
