// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#include <cosock/cosock.hpp>

#define BOOST_TEST_MODULE own_options
#include "local_tools.hpp"
#include "manual_event.hpp"
#include "support.hpp"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string_view>
#include <utility>

// Options that the library sets for itself, and what others see of them.

namespace {

using namespace test;
using cosock::const_buffer;
using cosock::local_pair;
using cosock::local_seqpacket_socket;
using cosock::local_stream_socket;
using cosock::mutable_buffer;
using cosock::task;
using cosock::tcp_acceptor;
using cosock::tcp_socket;
using cosock::unique_descriptor;

int option(int fd, int level, int name) {
  int value = -1;
  socklen_t size = sizeof value;
  BOOST_REQUIRE(::getsockopt(fd, level, name, &value, &size) == 0);
  return value;
}
int stamps(int fd) { return option(fd, SOL_SOCKET, SO_TIMESTAMPNS); }
int left_told(int fd) { return option(fd, IPPROTO_TCP, TCP_INQ); }

unique_descriptor duplicate(int fd) {
  return unique_descriptor::adopt(::fcntl(fd, F_DUPFD_CLOEXEC, 0));
}

/// Whether a process with room for one descriptor, and for nothing else, gets the one that was sent.
bool gets_a_descriptor(int from) {
  char byte;
  iovec piece = {&byte, 1};
  alignas(cmsghdr) char control[CMSG_LEN(sizeof(int))];
  msghdr message = {};
  message.msg_iov = &piece;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  if (::recvmsg(from, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC) != 1) return false;
  const cmsghdr* const header = CMSG_FIRSTHDR(&message);
  if (!header || header->cmsg_type != SCM_RIGHTS || (message.msg_flags & MSG_CTRUNC)) return false;
  int fd;
  std::memcpy(&fd, CMSG_DATA(header), sizeof fd);
  return ::close(fd) == 0;
}

#ifdef SO_INQ
constexpr int local_inq = SO_INQ;
#else
constexpr int local_inq = 84;
#endif
/// -1: the system does not have it.
int left_told_locally(int fd) {
  int value = -1;
  socklen_t size = sizeof value;
  return ::getsockopt(fd, SOL_SOCKET, local_inq, &value, &size) == 0 ? value : -1;
}
int lowest_free_number() { return duplicate(STDIN_FILENO).get(); }
/// The number that the second of two new descriptors gets.
int second_free_number() {
  const auto first = duplicate(STDIN_FILENO);
  return lowest_free_number();
}

/// Two of them, so that the second finds nothing before it waits.
task<> receive_twice(local_stream_socket& from, local_stream_socket& to) {
  for (int i = 0; i != 2; ++i) {
    char byte;
    const auto receive = [&]() -> task<> { co_await to.receive_exactly(mutable_buffer(&byte, 1)); };
    co_await cosock::when_all(receive(), from.send("x"));
  }
}

task<> pass_one(local_stream_socket& through) {
  const int passed[] = {0};
  co_await through.send_with_descriptors(const_buffer("x", 1), passed);
}
task<> pass_one(local_seqpacket_socket& through) {
  const int passed[] = {0};
  co_await through.send_with_descriptors(const_buffer("x", 1), passed);
}
task<> pass_text(local_seqpacket_socket& from, local_seqpacket_socket& to) {
  char into[8];
  co_await from.send("some");
  const cosock::receive_result got = co_await to.receive_message(into);
  BOOST_TEST(std::string_view(into, got.size) == "some");
}

task<std::pair<tcp_socket, tcp_socket>> connect_tcp() {
  tcp_acceptor acceptor(cosock::endpoint::parse("127.0.0.1:0"));
  tcp_socket client = co_await cosock::connect(acceptor.local_endpoint());
  tcp_socket server = co_await acceptor.accept();
  co_return std::pair(std::move(client), std::move(server));
}
/// Has it wait for something.
task<> receive_late(tcp_socket& from, tcp_socket& to) {
  co_await cosock::with_nursery([&](cosock::nursery& n) -> task<> {
    n.start([&]() -> task<> {
      char byte[1];
      co_await to.receive_exactly(mutable_buffer(byte, 1));
    });
    co_await let_others_run();
    co_await from.send("x");
  });
}

}  // namespace

COROUTINE_TEST_CASE(others_who_receive_from_an_adopted_socket_get_their_descriptors) {
  auto [a, made] = local_pair<local_seqpacket_socket>();
  const int fd = made.release();
  const auto elsewhere = duplicate(fd);
  auto b = local_seqpacket_socket::adopt(fd);
  for (int i = 0; i != 2; ++i) {
    co_await pass_text(a, b);
    co_await pass_one(a);
    BOOST_TEST(gets_a_descriptor(elsewhere.get()));
  }
}

COROUTINE_TEST_CASE(others_who_receive_by_its_handle_get_their_descriptors) {
  auto [a, b] = local_pair<local_seqpacket_socket>();
  co_await pass_text(a, b);
  const auto elsewhere = duplicate(b.native_handle());
  co_await pass_one(a);
  BOOST_TEST(gets_a_descriptor(elsewhere.get()));
  co_await pass_text(a, b);
  BOOST_TEST(stamps(elsewhere.get()) == 0);
}

COROUTINE_TEST_CASE(others_see_no_stamps_of_a_handle_that_was_taken_before_the_first_message) {
  auto [a, b] = local_pair<local_seqpacket_socket>();
  const auto elsewhere = duplicate(b.native_handle());
  co_await pass_text(a, b);
  BOOST_TEST(stamps(elsewhere.get()) == 0);
}

COROUTINE_TEST_CASE(bytes_of_sequenced_packets_need_no_stamps) {
  const int number = second_free_number();
  auto [a, b] = local_pair<local_seqpacket_socket>();
  char into[8];
  co_await a.send("some");
  BOOST_TEST(co_await b.receive(into) == 4u);
  co_await a.send_message(const_buffer());
  co_await a.send("more");
  BOOST_TEST(co_await b.receive(into) == 4u);  // without the empty message
  BOOST_TEST(stamps(number) == 0);
  // An empty message, and then the end, is the end.
  co_await a.send_message(const_buffer());
  a.close();
  BOOST_TEST(co_await b.receive(into) == 0u);
  BOOST_TEST(co_await b.receive(into) == 0u);
}

COROUTINE_TEST_CASE(empty_messages_behind_bytes_are_received_as_messages) {
  auto [a, b] = local_pair<local_seqpacket_socket>();
  char into[8];
  co_await a.send("some");
  for (int i = 0; i != 2; ++i) co_await a.send_message(const_buffer());
  a.close();
  BOOST_TEST(co_await b.receive(into) == 4u);
  for (int i = 0; i != 2; ++i) BOOST_TEST(!(co_await b.receive_message(into)).end);
  BOOST_TEST((co_await b.receive_message(into)).end);
}

COROUTINE_TEST_CASE(a_local_stream_that_waits_knows_what_is_left) {
  const int number = second_free_number();
  auto [a, b] = local_pair();
  BOOST_TEST(left_told_locally(number) <= 0);
  co_await receive_twice(a, b);
  BOOST_TEST(left_told_locally(number) != 0);  // 1, or -1 before Linux 6.17
  co_await receive_twice(a, b);
  // More than one receive takes.
  char into[8];
  co_await a.send("abcdefghij");
  BOOST_TEST(co_await b.receive(into) == 8u);
  BOOST_TEST(co_await b.receive(into) == 2u);
  const auto released = unique_descriptor::adopt(b.release());
  BOOST_TEST(left_told_locally(released.get()) <= 0);
}

COROUTINE_TEST_CASE(the_end_behind_the_last_bytes_of_a_local_stream_is_received) {
  for (const bool shuts_down : {false, true}) {
    for (const bool waits : {false, true}) {
      auto [a, b] = local_pair();
      co_await receive_twice(a, b);
      const auto end = [&, &from = a]() -> task<> {
        co_await from.send("x");
        shuts_down ? from.shutdown_send() : from.close();
      };
      const auto receive = [&, &to = b]() -> task<> {
        char into[8];
        BOOST_TEST(co_await to.receive(into) == 1u);
        BOOST_TEST(co_await to.receive(into) == 0u);
        BOOST_TEST(co_await to.receive(into) == 0u);
      };
      if (waits) {
        co_await cosock::when_all(receive(), end());
      } else {
        co_await end();
        co_await receive();
      }
    }
  }
}

COROUTINE_TEST_CASE(descriptors_that_come_with_plain_bytes_are_closed) {
  auto [a, b] = local_pair();
  co_await receive_twice(a, b);
  const int free = lowest_free_number();
  char byte;
  for (int i = 0; i != 3; ++i) {
    co_await pass_one(a);
    BOOST_TEST(co_await b.receive(mutable_buffer(&byte, 1)) == 1u);
    const int passed[] = {0, 1, 2};
    co_await a.send_with_descriptors(const_buffer("y", 1), passed);
    co_await a.send("z");
    BOOST_TEST(co_await b.receive_exactly(mutable_buffer(&byte, 1)) == 1u);
    BOOST_TEST(byte == 'y');
    BOOST_TEST(co_await b.receive_exactly(mutable_buffer(&byte, 1)) == 1u);
  }
  BOOST_TEST(lowest_free_number() == free);
}

COROUTINE_TEST_CASE(descriptors_are_received_after_plain_bytes) {
  auto [a, b] = local_pair();
  co_await receive_twice(a, b);
  int many[253] = {};
  co_await a.send_with_descriptors(const_buffer("x", 1), many);
  char into[8];
  const auto got = co_await b.receive_with_descriptors(into, 253);
  BOOST_TEST(got.descriptors.size() == 253u);
  BOOST_TEST(!got.incomplete);
  co_await receive_twice(a, b);
  co_await pass_one(a);
  BOOST_TEST((co_await b.receive_with_descriptors(into, 1)).descriptors.size() == 1u);
}

COROUTINE_TEST_CASE(descriptors_are_received_behind_the_end_that_was_seen) {
  const int number = second_free_number();
  auto [a, b] = local_pair();
  co_await receive_twice(a, b);
  co_await pass_one(a);
  a.shutdown_send();
  co_await let_others_run();
  char into[8];
  BOOST_TEST((co_await b.receive_with_descriptors(into, 1)).descriptors.size() == 1u);
  BOOST_TEST(left_told_locally(number) <= 0);
  BOOST_TEST((co_await b.receive_with_descriptors(into, 1)).end);
}

COROUTINE_TEST_CASE(descriptors_that_come_with_plain_bytes_leave_the_locks_of_the_process) {
  const auto file = unique_descriptor::adopt(::open("/tmp", O_RDWR | O_TMPFILE | O_CLOEXEC, 0600));
  BOOST_REQUIRE(file.is_open());
  const auto has_lock = [&] {
    // As another process sees it.
    const ::pid_t child = ::fork();
    if (child == 0) {
      struct flock asked = {};
      asked.l_type = F_WRLCK;
      ::_exit(::fcntl(file.get(), F_GETLK, &asked) == 0 && asked.l_type != F_UNLCK ? 0 : 1);
    }
    int status = -1;
    return ::waitpid(child, &status, 0) == child && status == 0;
  };
  struct flock whole = {};
  whole.l_type = F_WRLCK;
  BOOST_REQUIRE(::fcntl(file.get(), F_SETLK, &whole) == 0);
  auto [a, b] = local_pair();
  co_await receive_twice(a, b);
  const int passed[] = {file.get()};
  co_await a.send_with_descriptors(const_buffer("x", 1), passed);
  char byte;
  BOOST_TEST(co_await b.receive(mutable_buffer(&byte, 1)) == 1u);
  BOOST_TEST(has_lock());
}

COROUTINE_TEST_CASE(others_who_receive_from_a_local_stream_get_their_descriptors) {
  auto [a, b] = local_pair();
  co_await receive_twice(a, b);
  const auto elsewhere = duplicate(b.native_handle());
  co_await pass_one(a);
  BOOST_TEST(gets_a_descriptor(elsewhere.get()));
  co_await receive_twice(a, b);
  co_await pass_one(a);
  BOOST_TEST(gets_a_descriptor(elsewhere.get()));
  auto adopted = local_stream_socket::adopt(b.release());
  co_await receive_twice(a, adopted);
  co_await pass_one(a);
  BOOST_TEST(gets_a_descriptor(elsewhere.get()));
}

COROUTINE_TEST_CASE(the_end_of_a_shared_socket_is_told_from_empty_messages) {
  for (const bool shuts_down : {false, true}) {
    auto [a, b] = local_pair<local_seqpacket_socket>();
    const auto elsewhere = duplicate(b.native_handle());
    char into[8];
    co_await a.send_message(const_buffer());
    co_await a.send("one");
    for (int i = 0; i != 3; ++i) co_await a.send_message(const_buffer());
    shuts_down ? a.shutdown_send() : a.close();
    for (const std::size_t length : {0u, 3u, 0u, 0u, 0u}) {
      const auto got = co_await b.receive_with_descriptors(into, 1);
      BOOST_TEST(got.length == length);
      BOOST_TEST(!got.end);
    }
    BOOST_TEST((co_await b.receive_message(into)).end);
    const auto last = co_await b.receive_with_descriptors(into, 1);
    BOOST_TEST(last.end);
    BOOST_TEST(co_await b.receive(into) == 0u);
    BOOST_TEST(stamps(elsewhere.get()) == 0);
  }
}

COROUTINE_TEST_CASE(a_socket_that_is_released_has_the_options_that_it_had) {
  {
    auto [a, b] = local_pair<local_seqpacket_socket>();
    co_await pass_text(a, b);
    const auto released = unique_descriptor::adopt(b.release());
    BOOST_TEST(stamps(released.get()) == 0);
  }
  auto [client, server] = co_await connect_tcp();
  co_await receive_late(client, server);
  const int fd = server.release();
  BOOST_TEST(left_told(fd) == 0);
  const int yes = 1;
  BOOST_REQUIRE(::setsockopt(fd, IPPROTO_TCP, TCP_INQ, &yes, sizeof yes) == 0);
  tcp_socket again = tcp_socket::adopt(fd);
  co_await receive_late(client, again);
  const auto released = unique_descriptor::adopt(again.release());
  BOOST_TEST(left_told(released.get()) == 1);
}

COROUTINE_TEST_CASE(stamps_that_the_program_asked_for_stay) {
  for (const int name : {SO_TIMESTAMPNS, SO_TIMESTAMP}) {
    auto [a, made] = local_pair<local_seqpacket_socket>();
    const int fd = made.release();
    const int yes = 1;
    BOOST_REQUIRE(::setsockopt(fd, SOL_SOCKET, name, &yes, sizeof yes) == 0);
    auto b = local_seqpacket_socket::adopt(fd);
    co_await pass_text(a, b);
    co_await a.send_message(const_buffer());
    a.close();
    char into[8];
    BOOST_TEST(!(co_await b.receive_message(into)).end);
    BOOST_TEST((co_await b.receive_message(into)).end);
    const auto released = unique_descriptor::adopt(b.release());
    BOOST_TEST(option(released.get(), SOL_SOCKET, name) == 1);
  }
}

COROUTINE_TEST_CASE(a_connection_that_is_passed_on_has_no_option_of_ours) {
  auto [client, server] = co_await connect_tcp();
  const auto unread = duplicate(server.native_handle());
  BOOST_TEST(left_told(unread.get()) == 0);
  co_await receive_late(client, server);
  // Which it has meanwhile, as the duplicate shows.
  BOOST_TEST(left_told(unread.get()) == 1);
  const auto read = duplicate(server.native_handle());
  BOOST_TEST(left_told(read.get()) == 0);
  co_await receive_late(client, server);
}
