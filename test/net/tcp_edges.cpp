// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// A reader misses nothing, although the reactor tells of each event once.

#include <cosock/tcp.hpp>

#define BOOST_TEST_MODULE tcp_edges
#include "manual_event.hpp"
#include "raw_socket.hpp"
#include "stream_fixture.hpp"
#include "tcp_fixture.hpp"

#include <cosock/connect.hpp>

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <atomic>
#include <string>
#include <string_view>
#include <thread>

namespace {

using namespace test;
using cosock::endpoint;
using cosock::tcp_acceptor;
using cosock::tcp_socket;

}  // namespace

BOOST_AUTO_TEST_SUITE(edges)

namespace {

constexpr char urgent = '\xff';  // no other byte is

std::string in_band(std::string_view all) {
  std::string kept(all);
  std::erase(kept, urgent);
  return kept;
}

/// Reads to the end in every way there is. Gives the error at the end, none for the end of stream.
task<error_code> read_in_any_way(tcp_socket& from, const std::string& sent, std::string& got,
                                 unsigned seed) {
  std::mt19937 random(seed);
  for (;;) {
    // Often just as much as there is.
    const std::size_t expected = sent.size() > got.size() ? sent.size() - got.size() : 1;
    const std::size_t sizes[] = {1, 2 + random() % 7, 1 + random() % 3000, expected, expected + 1};
    std::string into(sizes[random() % std::size(sizes)], '?');
    outcome o;
    switch (random() % 7) {
      case 0: o = co_await outcome_of(from.receive_exactly(into)); break;
      case 1: co_await from.wait_readable(); [[fallthrough]];
      case 2: {
        const std::array<mutable_buffer, 3> parts = {
            mutable_buffer(into.data(), 1), mutable_buffer(),
            mutable_buffer(into.data() + 1, into.size() - 1)};
        o = co_await outcome_of(from.receive(parts));
        break;
      }
      case 3: {
        const auto limit = std::chrono::microseconds(random() % 100);
        o = co_await outcome_of(cosock::with_timeout(limit, from.receive(into)));
        break;
      }
      default: o = co_await outcome_of(from.receive(into));
    }
    got.append(into, 0, o.bytes);
    if (o.is(cosock::error::timed_out)) continue;
    if (o.is(cosock::error::end_of_stream)) co_return error_code();
    if (o.error || o.bytes == 0) co_return o.error;
    if (random() % 4 == 0) co_await cosock::yield();
  }
}

/// A peer that sends, and ends, by a script made from the seed, in every order with the reader.
task<> play(tcp_acceptor& acceptor, unsigned seed) {
  std::mt19937 random(seed);
  raw_socket peer(acceptor.local_endpoint());
  const int yes = 1;
  ::setsockopt(peer.fd(), IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
  std::string sent;
  std::string got;
  bool ended = false;
  bool reset = false;
  const auto step = [&] {
    const unsigned what = random() % 16;
    if (what < 10) {
      std::string piece(1 + random() % (what < 8 ? 10 : 5000), '?');
      for (char& c : piece) c = static_cast<char>(random() % 128);
      sent += piece;
      BOOST_REQUIRE(peer.send(piece));
    } else if (what < 12) {
      sent += urgent;
      BOOST_REQUIRE(peer.send({&urgent, 1}, MSG_OOB));
    } else if (what == 12) {
      ended = true;
      peer.shutdown_send();
    } else if (what == 13) {
      ended = true;
      peer.close();
    } else if (what == 14) {
      ended = reset = true;
      peer.reset();
    }
  };
  for (unsigned early = random() % 4; early != 0 && !ended; --early) step();
  tcp_socket reader = co_await acceptor.accept();
  if (random() % 4 == 0) {  // unread, it makes the peer's close a reset
    (void)co_await outcome_of(reader.send("unread"));
    reset = true;
  }
  error_code end;
  const auto read = [&]() -> task<> {
    end = co_await read_in_any_way(reader, sent, got, seed);
    char again[4];
    const outcome o = co_await outcome_of(reader.receive(again));
    BOOST_TEST(o.bytes == 0u);
    BOOST_TEST(o.error == end);
  };
  co_await cosock::with_nursery([&](nursery& n) -> task<> {
    n.start(read);
    for (int i = 0; i != 12 && !ended; ++i) {
      if (random() % 2) co_await cosock::yield();
      step();
    }
    if (!ended) peer.close();
  });
  const std::string received = in_band(got);
  if (!end) {
    BOOST_TEST((received == in_band(sent)));
  } else {
    BOOST_TEST(reset);
    BOOST_TEST(end == reset_by_peer());
    BOOST_TEST(in_band(sent).starts_with(received));
  }
}

}  // namespace

COROUTINE_TEST_CASE(a_reader_misses_nothing_whatever_the_peer_does) {
  tcp_acceptor acceptor(any_port_v4);
  constexpr unsigned rounds = COSOCK_TEST_SANITIZED ? 400 : 1500;
  for (unsigned seed = 0; seed != rounds; ++seed) {
    BOOST_TEST_INFO_SCOPE("seed " << seed);
    co_await cosock::with_timeout(10s, play(acceptor, seed));
  }
}

/// The same with many connections at once, so that events come in batches.
COROUTINE_TEST_CASE(many_readers_miss_nothing_whatever_their_peers_do) {
  tcp_acceptor acceptor(any_port_v4);
  for (unsigned seed = 0; seed != 5; ++seed) {
    // One after the other: whose connection an acceptor gives is not known.
    std::vector<tcp_socket> readers;
    std::vector<raw_socket> peers;
    std::vector<std::string> sent(50);
    std::vector<std::string> got(50);
    std::mt19937 random(seed);
    for (int i = 0; i != 50; ++i) {
      peers.emplace_back(acceptor.local_endpoint());
      readers.push_back(co_await acceptor.accept());
    }
    co_await cosock::with_nursery([&](nursery& n) -> task<> {
      for (std::size_t i = 0; i != 50; ++i)
        n.start([&, i]() -> task<> {
          const error_code end =
              co_await read_in_any_way(readers[i], sent[i], got[i], seed * 50 + i);
          BOOST_TEST(!end);
        });
      for (int step = 0; step != 500; ++step) {
        const std::size_t i = random() % 50;
        const std::string piece(1 + random() % 300, static_cast<char>('a' + step % 26));
        const bool is_urgent = random() % 8 == 0;
        sent[i] += is_urgent ? std::string(1, urgent) : piece;
        BOOST_REQUIRE(is_urgent ? peers[i].send({&urgent, 1}, MSG_OOB) : peers[i].send(piece));
        if (random() % 8 == 0) co_await cosock::yield();
      }
      for (raw_socket& peer : peers) peer.close();
    });
    for (int i = 0; i != 50; ++i) BOOST_TEST((in_band(sent[i]) == in_band(got[i])));
  }
}

/// And with a peer that really acts at the same time.
COROUTINE_TEST_CASE(a_reader_misses_nothing_of_a_peer_on_another_thread) {
  tcp_acceptor acceptor(any_port_v4);
  constexpr int connections = COSOCK_TEST_SANITIZED ? 30 : 100;
  const endpoint to = acceptor.local_endpoint();
  std::atomic<bool> good = true;
  std::thread peer([&] {
    for (int i = 0; i != connections; ++i) {
      std::mt19937 random(i);
      raw_socket s;
      const int yes = 1;
      if (s.connect(to) != 0) good = false;
      ::setsockopt(s.fd(), IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
      for (unsigned n = random() % 60, k = 0; n != 0; --n) {
        std::string piece(1 + random() % (n % 10 ? 100 : 20'000), '?');
        for (char& c : piece) c = static_cast<char>(k++ % 101);
        if (!s.send(piece)) good = false;
        if (random() % 8 == 0 && !s.send({&urgent, 1}, MSG_OOB)) good = false;
        if (random() % 4 == 0) std::this_thread::yield();
      }
    }
  });
  for (int i = 0; i != connections; ++i) {
    BOOST_TEST_INFO_SCOPE("connection " << i);
    tcp_socket s = co_await acceptor.accept();
    std::string got;
    BOOST_TEST(!co_await read_in_any_way(s, got, got, i));
    got = in_band(got);
    for (std::size_t k = 0; k != got.size(); ++k)
      BOOST_REQUIRE(got[k] == static_cast<char>(k % 101));
  }
  peer.join();
  BOOST_TEST(good);
}

COROUTINE_TEST_CASE(data_and_the_end_arrive_before_the_reader_looks) {
  tcp_acceptor acceptor(any_port_v4);
  for (const std::size_t size : {1, 7, 8, 9, 100, 4096, 60'000})
    for (const std::size_t into_size : {std::size_t(1), std::size_t(8), size, size + 1})
      for (const bool pending : {false, true}) {
        BOOST_TEST_INFO_SCOPE(size << " bytes read by " << into_size
                                   << (pending ? ", already waiting" : ""));
        if (size / into_size > 10'000) continue;
        raw_socket peer(acceptor.local_endpoint());
        tcp_socket reader = co_await acceptor.accept();
        const std::string sent(size, 'x');
        std::size_t got = 0;
        const auto read = [&]() -> task<> {
          std::string into(into_size, '?');
          while (const std::size_t n = co_await reader.receive(into)) got += n;
          for (int i = 0; i != 3; ++i) BOOST_TEST(co_await reader.receive(into) == 0u);
        };
        co_await cosock::with_nursery([&](nursery& n) -> task<> {
          if (pending) {
            n.start(read);
            co_await let_others_run();
          }
          BOOST_REQUIRE(peer.send(sent));
          peer.close();
          wait_for_bytes(reader.native_handle(), static_cast<int>(size));
          wait_behind_the_loops_back(reader.native_handle(), POLLRDHUP);
          if (!pending) n.start(read);
        });
        BOOST_TEST(got == size);
      }
}

/// The system gives what it has, then the error, once.
COROUTINE_TEST_CASE(data_and_a_reset_arrive_before_the_reader_looks) {
  tcp_acceptor acceptor(any_port_v4);
  for (const std::size_t size : {1, 8, 9, 4096, 60'000})
    for (const std::size_t into_size : {std::size_t(8), size, size + 1})
      for (const int pending : {0, 1, 2}) {
        BOOST_TEST_INFO_SCOPE(size << " bytes read by " << into_size << ", variant " << pending);
        raw_socket peer(acceptor.local_endpoint());
        tcp_socket reader = co_await acceptor.accept();
        const std::string sent(size, 'x');
        std::size_t got = 0;
        error_code end;
        const auto read = [&]() -> task<> {
          std::string into(into_size, '?');
          for (;;) {
            const outcome o = co_await outcome_of(reader.receive(into));
            end = o.error;
            if (o.bytes == 0) break;
            got += o.bytes;
          }
          for (int i = 0; i != 3; ++i) {
            const outcome o = co_await outcome_of(reader.receive(into));
            BOOST_TEST(o.error == end);
          }
        };
        co_await cosock::with_nursery([&](nursery& n) -> task<> {
          if (pending) {
            n.start(read);
            co_await let_others_run();
          }
          BOOST_REQUIRE(peer.send(sent));
          if (pending == 2) co_await cosock::yield();  // the reader has the data first
          peer.reset();
          wait_behind_the_loops_back(reader.native_handle(), POLLHUP);
          if (!pending) n.start(read);
        });
        BOOST_TEST(end == reset_by_peer());
        BOOST_TEST(got <= size);
        BOOST_TEST((co_await outcome_of(reader.send("x"))).error.failed());
      }
}

/// A byte that is out of band cuts reads short; what follows it is there all the same.
COROUTINE_TEST_CASE(urgent_data_is_left_out_and_holds_nothing_up) {
  tcp_acceptor acceptor(any_port_v4);
  for (const std::size_t into_size : {1, 2, 3, 6, 7, 100})
    for (const bool pending : {false, true})
      for (const bool first : {false, true}) {
        BOOST_TEST_INFO_SCOPE("read by " << into_size << (pending ? ", already waiting" : "")
                                         << (first ? ", urgent data first" : ""));
        raw_socket peer(acceptor.local_endpoint());
        tcp_socket reader = co_await acceptor.accept();
        std::string got;
        const auto read = [&]() -> task<> {
          std::string into(into_size, '?');
          while (got.size() < 6) got.append(into, 0, co_await reader.receive(into));
          // From here on a short read proves nothing any more, but nothing hangs either.
          BOOST_REQUIRE(peer.send("later"));
          while (got.size() < 11) got.append(into, 0, co_await reader.receive(into));
        };
        co_await cosock::with_nursery([&](nursery& n) -> task<> {
          if (pending) {
            n.start(read);
            co_await let_others_run();
          }
          BOOST_REQUIRE((first || peer.send("abc")));
          BOOST_REQUIRE(peer.send({&urgent, 1}, MSG_OOB));
          BOOST_REQUIRE((!first || peer.send("abc")));
          BOOST_REQUIRE(peer.send("def"));
          if (!pending) n.start(read);
        });
        BOOST_TEST(got == "abcdeflater");
      }
}

/// Only an urgent byte: it wakes nobody for good, and is no end of the stream.
COROUTINE_TEST_CASE(urgent_data_alone_is_not_the_end_of_the_stream) {
  tcp_acceptor acceptor(any_port_v4);
  raw_socket peer(acceptor.local_endpoint());
  tcp_socket reader = co_await acceptor.accept();
  char into[8];
  pending_op read;
  co_await cosock::with_nursery([&](nursery& n) -> task<> {
    start(n, read, [&] { return reader.receive(into); });
    co_await let_others_run();
    BOOST_REQUIRE(peer.send({&urgent, 1}, MSG_OOB));
    wait_behind_the_loops_back(reader.native_handle(), POLLPRI);
    co_await let_others_run();
    BOOST_TEST(!read.done);
    BOOST_REQUIRE(peer.send("x"));
  });
  BOOST_TEST(read.result.bytes == 1u);
  BOOST_TEST(into[0] == 'x');
}

BOOST_AUTO_TEST_SUITE_END()
