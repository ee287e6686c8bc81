// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// Local sockets: moved, adopted and released, and what they know of their peers.

#include <cosock/local.hpp>

#define BOOST_TEST_MODULE local_sockets
#include "local_fixture.hpp"

namespace {

using namespace test;
using cosock::local_acceptor;
using cosock::local_acceptor_options;
using cosock::local_pair;
using cosock::local_seqpacket_socket;
using cosock::local_stream_socket;
using cosock::loop;

}  // namespace

BOOST_AUTO_TEST_SUITE(sockets)

COROUTINE_TEST_CASE(a_socket_made_by_default_is_closed) {
  local_seqpacket_socket none;
  byte_pattern l;
  char into[8];
  BOOST_TEST(!none.is_open());
  BOOST_TEST(none.native_handle() == -1);
  BOOST_TEST(none.release() == -1);
  none.close();
  for (const operation which : all_operations) {
    const outcome o = co_await perform(which, none, into, l, 8);
    BOOST_TEST(o.is(cosock::error::closed));
  }
  for (const auto& call : std::initializer_list<std::function<void()>>{
           [&] { (void)none.local_endpoint(); }, [&] { (void)none.remote_endpoint(); },
           [&] { (void)none.peer_credentials(); }, [&] { none.shutdown_send(); },
           [&] { none.set_send_buffer(1); }, [&] { (void)none.send_buffer(); },
           [&] { none.set_receive_buffer(1); }, [&] { (void)none.receive_buffer(); }})
    BOOST_TEST(thrown_by(call) == code(cosock::error::closed));
}

COROUTINE_TEST_CASE(a_moved_socket_leaves_a_closed_one) {
  auto [a, b] = local_pair();
  local_stream_socket moved = std::move(a);
  BOOST_TEST(!a.is_open());
  co_await round_trip(moved, b);
  a = std::move(moved);
  co_await round_trip(a, b);
  local_stream_socket& itself = a;
  a = std::move(itself);
  co_await round_trip(a, b);
  auto [c, d] = local_pair();
  a = std::move(c);
  char into[8];
  BOOST_TEST(co_await b.receive(into) == 0u);
  co_await round_trip(a, d);
  pending_op read;
  co_await cosock::with_nursery([&](nursery& n) -> task<> {
    start(n, read, [&] { return a.receive(into); });
    co_await let_others_run();
    c = std::move(a);
    co_await d.send("data");
  });
  BOOST_TEST(read.result.bytes == 4u);
}

COROUTINE_TEST_CASE(buffers_are_what_they_are_set_to) {
  auto [a, b] = local_pair();
  a.set_send_buffer(10'000);
  a.set_receive_buffer(20'000);
  BOOST_TEST(a.send_buffer() == 20'000);
  BOOST_TEST(a.receive_buffer() == 40'000);
  co_return;
}

COROUTINE_TEST_CASE(an_adopted_descriptor_is_non_blocking_and_close_on_exec) {
  auto [raw, peer] = raw_local::pair(SOCK_STREAM);
  ::fcntl(raw.fd(), F_SETFD, 0);
  const int fd = raw.fd();
  BOOST_REQUIRE(peer.send("early"));
  local_stream_socket adopted = local_stream_socket::adopt(raw.release());
  BOOST_TEST(adopted.native_handle() == fd);
  BOOST_TEST((::fcntl(fd, F_GETFL) & O_NONBLOCK) != 0);
  BOOST_TEST(is_close_on_exec(fd));
  char into[8];
  BOOST_TEST(co_await adopted.receive(into) == 5u);
  adopted.close();
  BOOST_TEST(!is_open_descriptor(fd));
}

COROUTINE_TEST_CASE(what_is_no_local_socket_of_the_type_is_refused_and_closed) {
  const auto adopt_stream = [](int fd) { (void)local_stream_socket::adopt(fd); };
  const auto adopt_messages = [](int fd) { (void)local_seqpacket_socket::adopt(fd); };
  const auto refused = [](auto adopt, int fd) {
    const error_code e = thrown_by([&] { adopt(fd); });
    BOOST_TEST(!is_open_descriptor(fd));
    return e;
  };
  BOOST_TEST(thrown_by([&] { adopt_stream(-1); }) == system_code(EBADF));
  BOOST_TEST(refused(adopt_stream, ::dup(0)) == system_code(ENOTSOCK));
  BOOST_TEST(refused(adopt_stream, ::socket(AF_INET, SOCK_STREAM, 0)) == system_code(EPROTOTYPE));
  BOOST_TEST(refused(adopt_stream, ::socket(AF_UNIX, SOCK_DGRAM, 0)) == system_code(EPROTOTYPE));
  BOOST_TEST(refused(adopt_stream, ::socket(AF_UNIX, SOCK_SEQPACKET, 0)) ==
             system_code(EPROTOTYPE));
  BOOST_TEST(refused(adopt_messages, ::socket(AF_UNIX, SOCK_STREAM, 0)) == system_code(EPROTOTYPE));
  co_return;
}

COROUTINE_TEST_CASE(a_released_descriptor_stays_open_and_is_the_callers) {
  auto [a, b] = local_pair<local_seqpacket_socket>();
  char into[8];
  pending_op read;
  int fd = -1;
  co_await cosock::with_nursery([&](nursery& n) -> task<> {
    start(n, read, [&] { return a.receive(into); });
    co_await let_others_run();
    fd = a.release();
  });
  BOOST_TEST(read.result.is(cosock::error::closed));
  BOOST_TEST(!a.is_open());
  BOOST_TEST(::send(fd, "raw", 3, 0) == 3);
  BOOST_TEST(co_await b.receive(into) == 3u);
  co_await b.send("again");
  auto back = local_seqpacket_socket::adopt(fd);
  BOOST_TEST(co_await back.receive(into) == 5u);
  co_await round_trip(back, b);
}

/// The system tells once that a peer closed with something unread, and calls it the end from then on.
COROUTINE_TEST_CASE(a_connection_that_was_reset_stays_so) {
  const auto check = [](auto pair, const operation which) -> task<> {
    auto& [a, b] = pair;
    byte_pattern l;
    char into[8];
    pending_op read;
    co_await cosock::with_nursery([&](nursery& n) -> task<> {
      start(n, read, [&] { return perform(which, a, into, l, 0); });
      co_await let_others_run();
      co_await a.send("unread");
      b.close();
    });
    if (which != operation::wait_readable) BOOST_TEST(read.result.error == reset_by_peer());
    for (int i = 0; i != 2; ++i) {
      const outcome received = co_await outcome_of(a.receive(into));
      BOOST_TEST(received.error == reset_by_peer());
      const outcome with_descriptors = co_await outcome_of(a.receive_with_descriptors(into, 1));
      BOOST_TEST(with_descriptors.error == reset_by_peer());
    }
    const outcome sent = co_await outcome_of(a.send("x"));
    BOOST_TEST(is_broken(sent.error));
  };
  for (const operation which : receiving) {
    BOOST_TEST_INFO_SCOPE(which);
    co_await check(local_pair(), which);
    co_await check(local_pair<local_seqpacket_socket>(), which);
  }
}

/// Urgent data is left out, and is no end of the stream.
COROUTINE_TEST_CASE(urgent_data_holds_nothing_up) {
  auto [raw, peer] = raw_local::pair(SOCK_STREAM);
  local_stream_socket s = local_stream_socket::adopt(raw.release());
  if (!peer.send("!", MSG_OOB)) co_return;  // a kernel that has none
  char into[8];
  pending_op read;
  co_await cosock::with_nursery([&](nursery& n) -> task<> {
    start(n, read, [&] { return s.receive(into); });
    co_await let_others_run();
    BOOST_TEST(!read.done);
    BOOST_REQUIRE(peer.send("data"));
  });
  BOOST_TEST(read.result.bytes == 4u);
}

COROUTINE_TEST_CASE(both_ends_know_who_the_other_is) {
  local_acceptor acceptor{local_endpoint()};
  auto c = co_await connect_over(acceptor);
  cosock::credentials self;
  self.pid = ::getpid();
  self.uid = ::geteuid();
  self.gid = ::getegid();
  BOOST_TEST((c.server.peer_credentials() == self));
  BOOST_TEST((c.client.peer_credentials() == self));
  auto [a, b] = local_pair<local_seqpacket_socket>();
  BOOST_TEST((a.peer_credentials() == self));
}

BOOST_AUTO_TEST_CASE(the_credentials_of_another_user_are_the_kernels_word,
                     *boost::unit_test::precondition(is_root)) {
  loop on;
  local_acceptor acceptor(on, local_endpoint());
  const local_endpoint at = acceptor.local_endpoint();
  child_process other([&] {
    raw_local client;
    char byte = 0;
    if (!become_nobody() || client.connect(at) != 0) return false;
    ucred server = {};
    socklen_t size = sizeof server;
    ::getsockopt(client.fd(), SOL_SOCKET, SO_PEERCRED, &server, &size);
    return ::recv(client.fd(), &byte, 1, 0) == 1 && server.uid == 0;
  });
  on.run([](local_acceptor<>& acceptor, int child) -> task<> {
    local_stream_socket s = co_await acceptor.accept();
    const cosock::credentials peer = s.peer_credentials();
    BOOST_TEST(peer.pid == child);
    BOOST_TEST(peer.uid == nobody);
    BOOST_TEST(peer.gid == nobody);
    co_await s.send("x");
  }(acceptor, other.id()));
  BOOST_TEST(other.succeeded());
}

/// Who may not write to the file may not connect.
BOOST_AUTO_TEST_CASE(the_mode_decides_who_may_connect, *boost::unit_test::precondition(is_root)) {
  const temporary_folder folder;
  BOOST_REQUIRE(::chmod(folder.path().c_str(), 0755) == 0);
  loop on;
  const local_acceptor own(on, folder.at("own"));
  const local_acceptor_options for_all = {.mode = 0666};
  const local_acceptor open(on, folder.at("open"), for_all);
  child_process other([&] {
    if (!become_nobody()) return false;
    raw_local client;
    return client.connect(folder.at("own")) != 0 && errno == EACCES &&
           client.connect(folder.at("open")) == 0;
  });
  BOOST_TEST(other.succeeded());
}

COROUTINE_TEST_CASE(a_thousand_connections_leak_no_descriptor) {
  local_acceptor acceptor{local_endpoint()};
  const std::size_t before = open_descriptors();
  for (int i = 0; i != 1000; ++i) {
    auto c = co_await connect_over(acceptor);
    if (i % 3 == 0) co_await round_trip(c.client, c.server);
    if (i % 3 == 1) c.server.close();
  }
  BOOST_TEST(open_descriptors() == before);
}

BOOST_AUTO_TEST_SUITE_END()
