// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#include <cosock/local_datagram.hpp>

// What local datagram sockets have of their own; for the rest see datagram_*.cpp.

#define BOOST_TEST_MODULE local_datagram
#include "manual_event.hpp"
#include "support.hpp"

#include <cosock/when.hpp>

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <array>
#include <ctime>
#include <filesystem>
#include <string>
#include <vector>

namespace {

using namespace test;
using boost::system::system_error;
using cosock::as_result;
using cosock::const_buffer;
using cosock::local_datagram_socket;
using cosock::local_endpoint;
using cosock::task;
namespace errc = boost::system::errc;

/// A directory of its own for each case.
struct directory {
  directory() {
    std::string name = (std::filesystem::temp_directory_path() / "cosock-XXXXXX").string();
    BOOST_REQUIRE(::mkdtemp(name.data()) != nullptr);
    path = name;
  }
  ~directory() { std::filesystem::remove_all(path); }
  local_endpoint at(const char* name) const { return local_endpoint::path(path + '/' + name); }
  std::string path;
};

task<std::string> next_text(local_datagram_socket& s) {
  char into[64];
  const cosock::receive_result got = co_await s.receive(into);
  co_return std::string(into, got.size);
}

template <class F>
boost::system::error_code thrown_by(F f) {
  try {
    f();
    return {};
  } catch (const system_error& e) {
    return e.code();
  }
}

/// How many datagrams a queue takes.
task<std::size_t> fill(local_datagram_socket& from, const local_endpoint& to) {
  for (std::size_t n = 0;; ++n) {
    const auto sent = co_await as_result(cosock::with_timeout(5ms, from.send_to("filler", to)));
    if (!sent) co_return n;
  }
}

COROUTINE_TEST_CASE(a_pair_is_connected) {
  auto [a, b] = cosock::local_pair<local_datagram_socket>();
  co_await a.send("one");
  co_await a.send("");
  co_await a.send("three");
  BOOST_TEST(co_await next_text(b) == "one");
  BOOST_TEST(co_await next_text(b) == "");
  BOOST_TEST(co_await next_text(b) == "three");
}

/// Also where the system does not tell when there is room again.
COROUTINE_TEST_CASE(a_send_waits_while_the_queue_is_full) {
  for (const bool connected : {false, true}) {
    local_datagram_socket a{local_endpoint()};
    local_datagram_socket b{local_endpoint()};
    const std::size_t room = co_await fill(a, b.local_endpoint());
    BOOST_TEST(room > 0u);
    if (connected) a.connect(b.local_endpoint());
    bool sent = false;
    const auto send = [&]() -> task<> {
      if (connected)
        co_await a.send("last");
      else
        co_await a.send_to("last", b.local_endpoint());
      sent = true;
    };
    const auto receive = [&]() -> task<> {
      for (int i = 0; i != 3; ++i) co_await cosock::yield();
      BOOST_TEST(!sent);
      for (std::size_t i = 0; i != room; ++i) BOOST_TEST(co_await next_text(b) == "filler");
      BOOST_TEST(co_await next_text(b) == "last");
    };
    co_await cosock::when_all(send(), receive());
    BOOST_TEST(sent);
  }
}

COROUTINE_TEST_CASE(a_batch_that_is_cancelled_in_the_middle_says_how_many_have_gone) {
  for (const bool connected : {false, true}) {
    local_datagram_socket a{local_endpoint()};
    local_datagram_socket b{local_endpoint()};
    std::vector<std::string> texts;
    for (int i = 0; i != 1000; ++i) texts.push_back("#" + std::to_string(i));
    const std::vector<const_buffer> all(texts.begin(), texts.end());
    if (connected) a.connect(b.local_endpoint());
    std::size_t gone = 0;
    try {
      if (connected)
        co_await cosock::with_timeout(5ms, a.send_batch(all));
      else
        co_await cosock::with_timeout(5ms, a.send_batch(all, b.local_endpoint()));
      BOOST_ERROR("the queue takes all");
    } catch (const cosock::transfer_error& e) {
      gone = e.datagrams_transferred();
      BOOST_TEST(e.code() == cosock::error::timed_out);
    }
    local_datagram_socket::batch batch(1000, 16);
    std::size_t got = 0;
    BOOST_TEST(co_await b.receive_batch(batch) == gone);
    for (const auto& each : batch)
      BOOST_TEST(std::string(static_cast<const char*>(each.data().data()), each.size()) ==
                 texts[got++]);
    // And it goes on where it stopped.
    const std::vector<const_buffer> rest(all.begin() + static_cast<std::ptrdiff_t>(gone),
                                         all.end());
    const auto send = [&]() -> task<std::size_t> {
      if (connected) co_return co_await a.send_batch(rest);
      co_return co_await a.send_batch(rest, b.local_endpoint());
    };
    const auto receive = [&]() -> task<> {
      while (got != all.size()) {
        co_await b.receive_batch(batch);
        for (const auto& each : batch)
          BOOST_TEST(std::string(static_cast<const char*>(each.data().data()), each.size()) ==
                     texts[got++]);
      }
    };
    co_await cosock::when_all(send(), receive());
  }
}

/// Nor does it keep the processor busy meanwhile.
COROUTINE_TEST_CASE(a_send_that_waits_is_at_rest) {
  local_datagram_socket a{local_endpoint()};
  local_datagram_socket b{local_endpoint()};
  co_await fill(a, b.local_endpoint());
  const std::clock_t begun = std::clock();
  const auto sent =
      co_await as_result(cosock::with_timeout(200ms, a.send_to("x", b.local_endpoint())));
  BOOST_TEST(sent.error() == cosock::error::timed_out);
  BOOST_TEST(static_cast<double>(std::clock() - begun) / CLOCKS_PER_SEC < 0.1);
  // That one peer has no room says nothing of another.
  local_datagram_socket c{local_endpoint()};
  co_await a.send_to("to another", c.local_endpoint());
  BOOST_TEST(co_await next_text(c) == "to another");
}

/// From a connected socket to somebody else, with much of its own on the way.
COROUTINE_TEST_CASE(a_connected_socket_waits_for_others_too) {
  local_datagram_socket s{local_endpoint()};
  local_datagram_socket filler{local_endpoint()};
  local_datagram_socket peer{local_endpoint()};
  local_datagram_socket other{local_endpoint()};
  s.connect(peer.local_endpoint());
  co_await s.send(std::string(60'000, 'x'));
  const std::size_t room = co_await fill(filler, other.local_endpoint());
  const auto send = [&]() -> task<> { co_await s.send_to("third", other.local_endpoint()); };
  const auto receive = [&]() -> task<> {
    for (int i = 0; i != 3; ++i) co_await cosock::yield();
    for (std::size_t i = 0; i != room; ++i) BOOST_TEST(co_await next_text(other) == "filler");
    BOOST_TEST(co_await next_text(other) == "third");
  };
  co_await cosock::when_all(send(), receive());
  co_await s.send("and on");
}

COROUTINE_TEST_CASE(descriptors_nobody_asked_for_are_closed) {
  cosock::local_datagram_socket_options options;
  for (const bool stamped : {false, true}) {
    options.receive_time = stamped;
    local_datagram_socket a{local_endpoint()};
    local_datagram_socket b(local_endpoint(), options);
    a.connect(b.local_endpoint());
    const int passed[] = {0, 1, 2};
    const std::size_t before = open_descriptors();
    for (int i = 0; i != 4; ++i) co_await a.send_with_descriptors("x", passed);
    char into[8];
    cosock::packet_info info;
    const std::array<cosock::mutable_buffer, 2> pieces = {cosock::buffer(into, 4),
                                                          cosock::buffer(into + 4, 4)};
    local_datagram_socket::batch batch(1, 8);
    co_await b.receive(into);
    co_await b.receive_from(into, info);
    co_await b.receive(pieces);
    co_await b.receive_batch(batch);
    BOOST_TEST(open_descriptors() == before);
  }
}

/// A peer that turns to another with datagrams unread says so once, and that is all.
COROUTINE_TEST_CASE(a_peer_that_turns_away_does_not_end_the_socket) {
  local_datagram_socket a{local_endpoint()};
  local_datagram_socket b{local_endpoint()};
  local_datagram_socket c{local_endpoint()};
  a.connect(b.local_endpoint());
  b.connect(a.local_endpoint());
  co_await a.send("unread");
  b.connect(c.local_endpoint());
  const int passed[] = {0};
  (void)co_await as_result(a.send_with_descriptors("x", passed));
  b.connect(a.local_endpoint());
  a.connect(b.local_endpoint());
  (void)co_await as_result(a.send_with_descriptors("x", passed));
  BOOST_TEST(co_await a.send_with_descriptors("y", passed) == 1u);
}

COROUTINE_TEST_CASE(closed_while_a_send_waits) {
  local_datagram_socket a{local_endpoint()};
  local_datagram_socket b{local_endpoint()};
  co_await fill(a, b.local_endpoint());
  const auto send = [&]() -> task<> {
    const auto sent = co_await as_result(a.send_to("x", b.local_endpoint()));
    BOOST_TEST(sent.error() == cosock::error::closed);
  };
  const auto close = [&]() -> task<> {
    co_await cosock::yield();
    a.close();
  };
  co_await cosock::when_all(send(), close());
}

COROUTINE_TEST_CASE(a_receiver_that_has_gone) {
  const directory here;
  local_datagram_socket a{local_endpoint()};
  local_datagram_socket b(here.at("b"));
  const local_endpoint to = b.local_endpoint();
  a.connect(to);
  b.close();
  BOOST_TEST((co_await as_result(a.send("x"))).error() == errc::connection_refused);
  BOOST_TEST((co_await as_result(a.send_to("x", to))).error() == errc::no_such_file_or_directory);
  BOOST_CHECK_EXCEPTION(a.connect(to), system_error, [&](const system_error& e) {
    return e.code() == errc::no_such_file_or_directory &&
           std::string_view(e.what()).find(to.to_string()) != std::string_view::npos;
  });
  cosock::local_acceptor other(to);
  BOOST_TEST(thrown_by([&] { a.connect(to); }) == errc::wrong_protocol_type);
}

COROUTINE_TEST_CASE(files) {
  const directory here;
  const std::string path = here.path + "/s";
  struct stat status;
  {
    cosock::local_datagram_socket_options options;
    options.mode = 0622;
    local_datagram_socket s(here.at("s"), options);
    BOOST_REQUIRE(::stat(path.c_str(), &status) == 0);
    BOOST_TEST((status.st_mode & 07777) == 0622u);
    BOOST_TEST(thrown_by([&] { local_datagram_socket(here.at("s")); }) == errc::address_in_use);
  }
  BOOST_TEST(::stat(path.c_str(), &status) == -1);
  // One that its owner has left behind is replaced.
  {
    local_datagram_socket left(here.at("s"));
    ::close(left.release());
  }
  BOOST_TEST(::stat(path.c_str(), &status) == 0);
  local_datagram_socket s(here.at("s"));
  local_datagram_socket a{local_endpoint()};
  co_await a.send_to("new", here.at("s"));
  BOOST_TEST(co_await next_text(s) == "new");
}

COROUTINE_TEST_CASE(descriptors_go_along) {
  const std::size_t before = open_descriptors();
  {
    auto [a, b] = cosock::local_pair<local_datagram_socket>();
    int ends[2];
    BOOST_REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
    co_await a.send_with_descriptors("", ends);
    co_await a.send_with_descriptors("two", ends);
    co_await a.send_with_descriptors("unasked", ends);
    char into[16];
    auto got = co_await b.receive_with_descriptors(into, 1);
    BOOST_TEST(got.size == 0u);
    BOOST_TEST(!got.end);
    BOOST_TEST(got.descriptors.size() == 1u);
    BOOST_TEST(got.refused == 1u);
    got = co_await b.receive_with_descriptors(into, 2);
    BOOST_TEST(got.size == 3u);
    BOOST_REQUIRE(got.descriptors.size() == 2u);
    BOOST_TEST(::write(got.descriptors[1].get(), "x", 1) == 1);
    BOOST_TEST(::read(ends[0], into, 1) == 1);
    BOOST_TEST(co_await next_text(b) == "unasked");
    ::close(ends[0]);
    ::close(ends[1]);
  }
  BOOST_TEST(open_descriptors() == before);
}

COROUTINE_TEST_CASE(times_are_told_if_asked_for) {
  cosock::local_datagram_socket_options options;
  options.receive_time = true;
  local_datagram_socket b(local_endpoint(), options);
  local_datagram_socket a{local_endpoint()};
  const auto before = std::chrono::system_clock::now() - 1s;
  co_await a.send_to("now", b.local_endpoint());
  char into[8];
  cosock::packet_info info;
  const auto got = co_await b.receive_from(into, info);
  BOOST_TEST((got.from == a.local_endpoint()));
  BOOST_TEST((info.arrival_time > before));
}

COROUTINE_TEST_CASE(what_cannot_be_adopted_is_closed) {
  int ends[2];
  BOOST_REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
  for (const int fd : ends) {
    BOOST_TEST(thrown_by([&] { (void)local_datagram_socket::adopt(fd); }) ==
               errc::wrong_protocol_type);
    BOOST_TEST(::fcntl(fd, F_GETFD) == -1);
  }
  co_return;
}

}  // namespace
