// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// Descriptors that arrive with bytes, and those that were not asked for or have no room.

#include <cosock/descriptors.hpp>

#define BOOST_TEST_MODULE descriptors_received
#include "allocations.hpp"
#include "descriptor_passing.hpp"

#include <array>
#include <string_view>
#include <vector>

namespace {

using namespace test;
using boost::system::system_error;
using cosock::local_pair;
using cosock::local_seqpacket_socket;
using cosock::local_stream_socket;
using cosock::max_descriptors;
using cosock::receive_descriptors_result;
using cosock::unique_descriptor;

/// Sends as a peer that is not ours does.
bool send_raw(int to, std::string_view text, const std::vector<int>& descriptors) {
  std::vector<char> control(CMSG_SPACE(descriptors.size() * sizeof(int)));
  iovec piece = {const_cast<char*>(text.data()), text.size()};
  msghdr message = {};
  message.msg_iov = &piece;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  cmsghdr* const header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(descriptors.size() * sizeof(int));
  std::memcpy(CMSG_DATA(header), descriptors.data(), descriptors.size() * sizeof(int));
  return ::sendmsg(to, &message, MSG_NOSIGNAL) == static_cast<ssize_t>(text.size());
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_unique_descriptor_closes_what_it_owns) {
  const std::size_t before = open_descriptors();
  {
    auto one = unique_descriptor::adopt(::dup(0));
    const int fd = one.get();
    BOOST_TEST(one.is_open());
    unique_descriptor two = std::move(one);
    BOOST_TEST(!one.is_open());
    BOOST_TEST(one.get() == -1);
    BOOST_TEST(two.get() == fd);
    one = unique_descriptor::adopt(::dup(0));
    one = std::move(two);
    BOOST_TEST(open_descriptors() == before + 1);
    unique_descriptor& itself = one;
    one = std::move(itself);
    BOOST_TEST(one.get() == fd);
    const int released = one.release();
    BOOST_TEST(released == fd);
    one.close();
    BOOST_TEST(is_open_descriptor(fd));
    one = unique_descriptor::adopt(released);
    one.close();
    one.close();
    BOOST_TEST(!is_open_descriptor(fd));
    const unique_descriptor none = unique_descriptor::adopt(-1);
  }
  BOOST_TEST(open_descriptors() == before);
}

COROUTINE_TEST_CASE(descriptors_arrive_in_order_and_close_on_exec) {
  const std::size_t before = open_descriptors();
  co_await with_each_type([](auto& a, auto& b) -> task<> {
    for (const std::size_t count : {0, 1, 2, 100, 253}) {
      BOOST_TEST_INFO_SCOPE(count << " descriptors");
      pipe_ends one;
      pipe_ends other;
      std::vector<int> sent;
      for (std::size_t i = 0; i != count; ++i) sent.push_back(i % 3 ? one.ends[0] : other.ends[1]);
      BOOST_TEST(co_await a.send_with_descriptors("data", sent) == 4u);
      char into[8];
      const receive_descriptors_result got = co_await b.receive_with_descriptors(into, 1000);
      BOOST_TEST(std::string_view(into, got.size) == "data");
      BOOST_TEST(got.length == 4u);
      BOOST_TEST(got.refused == 0u);
      BOOST_TEST((!got.truncated && !got.end && !got.incomplete));
      BOOST_REQUIRE(got.descriptors.size() == count);
      for (std::size_t i = 0; i != count; ++i) {
        BOOST_TEST(same_file(got.descriptors[i].get(), sent[i]));
        BOOST_TEST(is_close_on_exec(got.descriptors[i].get()));
      }
    }
  });
  BOOST_TEST(open_descriptors() == before);
}

COROUTINE_TEST_CASE(more_than_the_limit_is_an_error_that_gives_it) {
  co_await with_each_type([](auto& a, auto& b) -> task<> {
    const std::vector<int> many(max_descriptors + 1, 0);
    BOOST_CHECK_EXCEPTION(
        co_await a.send_with_descriptors("data", many), system_error, [](const system_error& e) {
          return e.code() == errc::invalid_argument &&
                 std::string_view(e.what()).find("253 descriptors") != std::string_view::npos &&
                 std::string_view(e.what()).find("254") != std::string_view::npos;
        });
    const auto result = co_await cosock::as_result(a.send_with_descriptors("data", many));
    BOOST_TEST(result.error() == errc::invalid_argument);
    co_await round_trip(a, b);  // nothing has gone
  });
}

COROUTINE_TEST_CASE(descriptors_need_a_byte_on_a_stream_and_none_in_a_message) {
  const int fds[] = {0};
  char into[8];
  {
    auto [a, b] = local_pair();
    BOOST_CHECK_EXCEPTION(co_await a.send_with_descriptors("", fds), system_error,
                          is(errc::invalid_argument));
    BOOST_TEST(co_await a.send_with_descriptors("", {}) == 0u);
    co_await round_trip(a, b);
    const receive_descriptors_result nothing =
        co_await b.receive_with_descriptors(mutable_buffer(), 1);
    BOOST_TEST((nothing.size == 0u && !nothing.end));
  }
  auto [a, b] = local_pair<local_seqpacket_socket>();
  BOOST_TEST(co_await a.send_with_descriptors("", fds) == 0u);
  const receive_descriptors_result got = co_await b.receive_with_descriptors(into, 1);
  BOOST_TEST((got.size == 0u && !got.end));
  BOOST_TEST(got.descriptors.size() == 1u);
}

COROUTINE_TEST_CASE(a_descriptor_that_is_none_is_refused_and_nothing_goes) {
  co_await with_each_type([](auto& a, auto& b) -> task<> {
    for (const int bad : {-1, 12345}) {
      const int fds[] = {0, bad};
      const outcome o = co_await outcome_of(a.send_with_descriptors("data", fds));
      BOOST_TEST(o.error == errc::bad_file_descriptor);
      BOOST_TEST(o.bytes == 0u);
    }
    co_await round_trip(a, b);
  });
}

COROUTINE_TEST_CASE(what_is_not_asked_for_is_closed_and_counted) {
  const std::size_t before = open_descriptors();
  co_await with_each_type([](auto& a, auto& b) -> task<> {
    for (const std::size_t most : {0, 1, 4}) {
      pipe_ends pipe;
      const std::array<int, 5> sent = {0, pipe.ends[0], pipe.ends[0], pipe.ends[0], pipe.ends[1]};
      co_await a.send_with_descriptors("data", sent);
      pipe.close_writing();
      char into[8];
      const receive_descriptors_result got = co_await b.receive_with_descriptors(into, most);
      BOOST_TEST(got.size == 4u);
      BOOST_TEST(got.descriptors.size() == most);
      BOOST_TEST(got.refused == 5 - most);
      BOOST_TEST(!got.incomplete);
      BOOST_TEST(pipe.nobody_writes());
    }
  });
  BOOST_TEST(open_descriptors() == before);
}

/// As recvmsg(2) without room for them: the system closes them.
COROUTINE_TEST_CASE(what_comes_unasked_is_closed) {
  const auto check = [](auto pair, auto receive) -> task<> {
    pipe_ends pipe;
    BOOST_REQUIRE(send_raw(pair.first.native_handle(), "data", {pipe.writing(), 0, 0, 0}));
    pipe.close_writing();
    BOOST_TEST(!pipe.nobody_writes());
    const std::size_t before = open_descriptors();
    co_await receive(pair.second);
    BOOST_TEST(open_descriptors() == before);
    BOOST_TEST(pipe.nobody_writes());
  };
  const auto plainly = [](auto& from) -> task<> {
    char into[8];
    co_await from.receive(into);
  };
  const auto scattered = [](auto& from) -> task<> {
    char into[8];
    const std::array<mutable_buffer, 2> two = {mutable_buffer(into, 1),
                                               mutable_buffer(into + 1, 7)};
    co_await from.receive(two);
  };
  const auto exactly = [](auto& from) -> task<> {
    char into[4];
    co_await from.receive_exactly(into);
  };
  const auto as_message = [](local_seqpacket_socket& from) -> task<> {
    char into[8];
    const cosock::receive_result got = co_await from.receive_message(into);
    BOOST_TEST((got.size == 4u && !got.truncated));
  };
  const auto cut = [](local_seqpacket_socket& from) -> task<> {
    char into[2];
    co_await outcome_of(from.receive(into));
  };
  co_await check(local_pair(), plainly);
  co_await check(local_pair(), scattered);
  co_await check(local_pair(), exactly);
  co_await check(local_pair<local_seqpacket_socket>(), plainly);
  co_await check(local_pair<local_seqpacket_socket>(), scattered);
  co_await check(local_pair<local_seqpacket_socket>(), exactly);
  co_await check(local_pair<local_seqpacket_socket>(), as_message);
  co_await check(local_pair<local_seqpacket_socket>(), cut);
}

/// One of credentials and one of a process descriptor come along, if the socket was told so before.
COROUTINE_TEST_CASE(what_else_the_system_sends_along_does_not_leak) {
  const std::size_t before = open_descriptors();
  for (const int type : {SOCK_STREAM, SOCK_SEQPACKET}) {
    auto [raw, peer] = raw_local::pair(type);
    const int yes = 1;
    ::setsockopt(raw.fd(), SOL_SOCKET, SO_PASSCRED, &yes, sizeof yes);
    ::setsockopt(raw.fd(), SOL_SOCKET, 76 /* SO_PASSPIDFD */, &yes, sizeof yes);
    const auto check = [](auto s, int from) -> task<> {
      char into[8];
      for (int i = 0; i != 2; ++i) {
        BOOST_REQUIRE(send_raw(from, "data", {0, 0}));
        const receive_descriptors_result got = co_await s.receive_with_descriptors(into, 8);
        BOOST_TEST(got.size == 4u);
        BOOST_TEST(got.descriptors.size() == 2u);
        BOOST_TEST((got.refused == 0u && !got.incomplete));
        BOOST_REQUIRE(send_raw(from, "data", {0}));
        const std::size_t n = co_await s.receive(into);
        BOOST_TEST(n == 4u);
      }
    };
    if (type == SOCK_STREAM)
      co_await check(local_stream_socket::adopt(raw.release()), peer.fd());
    else
      co_await check(local_seqpacket_socket::adopt(raw.release()), peer.fd());
  }
  BOOST_TEST(open_descriptors() == before);
}

COROUTINE_TEST_CASE(descriptors_the_process_has_no_room_for_are_reported_missing) {
  co_await with_each_type([](auto& a, auto& b) -> task<> {
    const std::array<int, 3> sent = {0, 0, 0};
    char into[8];
    for (const int room : {0, 1}) {
      BOOST_TEST_INFO_SCOPE("room for " << room);
      const std::size_t before = open_descriptors();
      co_await a.send_with_descriptors("data", sent);
      std::vector<unique_descriptor> spare;
      for (int i = 0; i != room; ++i) spare.push_back(unique_descriptor::adopt(::dup(0)));
      receive_descriptors_result got;
      {
        const no_more_descriptors full;
        spare.clear();
        got = co_await b.receive_with_descriptors(into, 8);
      }
      BOOST_TEST(got.size == 4u);
      BOOST_TEST(got.incomplete);
      BOOST_TEST(got.descriptors.size() == static_cast<std::size_t>(room));
      got.descriptors.clear();
      BOOST_TEST(open_descriptors() == before);
    }
    co_await round_trip(a, b);
  });
}

/// It fails before anything is taken.
COROUTINE_TEST_CASE(without_memory_nothing_is_taken_and_nothing_leaks) {
  co_await with_each_type([](auto& a, auto& b) -> task<> {
    const std::array<int, 3> sent = {0, 0, 0};
    const std::size_t before = open_descriptors();
    char into[8];
    co_await a.send_with_descriptors("data", sent);
    co_await let_others_run();  // so that the loop has nothing to do meanwhile
    allocations_until_failure = 0;
    const auto failed = co_await cosock::as_result(b.receive_with_descriptors(into, 3));
    allocations_until_failure = -1;
    BOOST_REQUIRE(failed.has_error());
    BOOST_TEST(failed.error() == errc::not_enough_memory);
    BOOST_TEST(open_descriptors() == before);
    {
      const receive_descriptors_result got = co_await b.receive_with_descriptors(into, 3);
      BOOST_TEST(got.size == 4u);
      BOOST_TEST(got.descriptors.size() == 3u);
    }
    BOOST_TEST(open_descriptors() == before);
    // Everything else needs none.
    co_await a.send_with_descriptors("data", sent);
    co_await let_others_run();
    allocations_until_failure = 0;
    co_await a.send_with_descriptors("data", sent);
    const receive_descriptors_result none = co_await b.receive_with_descriptors(into, 0);
    const bool none_asked_for = allocations_until_failure.exchange(-1) == 0;
    BOOST_TEST(none_asked_for);
    BOOST_TEST(none.refused == 3u);
  });
}

COROUTINE_TEST_CASE(a_socket_with_data_in_it_travels) {
  co_await with_each_type([](auto& a, auto& b) -> task<> {
    auto [far, near] = local_pair();
    co_await far.send("before ");
    const int fds[] = {near.native_handle()};
    co_await a.send_with_descriptors("socket", fds);
    near.close();
    co_await far.send("after");
    char into[16];
    receive_descriptors_result got = co_await b.receive_with_descriptors(into, 1);
    BOOST_REQUIRE(got.descriptors.size() == 1u);
    auto arrived = local_stream_socket::adopt(got.descriptors[0].release());
    char text[12];
    co_await arrived.receive_exactly(text);
    BOOST_TEST(std::string_view(text, 12) == "before after");
    co_await round_trip(arrived, far);
  });
}
