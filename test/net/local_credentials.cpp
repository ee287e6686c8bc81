// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// The credentials of the senders of local datagrams.

#include <cosock/local_datagram.hpp>

#define BOOST_TEST_MODULE local_credentials
#include "local_tools.hpp"
#include "support.hpp"

#include <optional>
#include <vector>

namespace {

using namespace test;
using cosock::credentials;
using cosock::local_datagram_socket;
using cosock::packet_info;
using cosock::task;

credentials own_credentials() { return {::getpid(), ::getuid(), ::getgid()}; }

struct received {
  std::string text;
  packet_info info;
};
task<received> next(local_datagram_socket& s) {
  char into[64];
  received result;
  const auto got = co_await s.receive_from(into, result.info);
  result.text.assign(into, got.size);
  co_return result;
}

/// Sends from a child process, which becomes the user first, unless that is 0. Returns its number.
pid_t send_from_child(const local_endpoint& to, uid_t user) {
  const raw_socket sender(SOCK_DGRAM, AF_UNIX);
  sockaddr_un name = {};
  name.sun_family = AF_UNIX;
  to.name().copy(name.sun_path + 1, to.name().size());
  const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + to.name().size());
  const pid_t child = ::fork();
  if (child == 0) {
    const bool good =
        (user == 0 || (::setresgid(user, user, user) == 0 && ::setresuid(user, user, user) == 0)) &&
        ::sendto(sender.fd(), "child", 5, 0, reinterpret_cast<const sockaddr*>(&name), size) == 5;
    ::_exit(good ? 0 : 1);
  }
  int status = -1;
  BOOST_REQUIRE(::waitpid(child, &status, 0) == child);
  BOOST_TEST(status == 0);
  return child;
}

/// Sends with these credentials, and descriptors.
void send_with(int fd, const credentials& named, std::size_t descriptors) {
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(ucred)) + CMSG_SPACE(sizeof(int) * 253)] = {};
  char byte = 'x';
  iovec piece = {&byte, 1};
  msghdr message = {};
  message.msg_iov = &piece;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  cmsghdr* c = CMSG_FIRSTHDR(&message);
  c->cmsg_level = SOL_SOCKET;
  c->cmsg_type = SCM_CREDENTIALS;
  c->cmsg_len = CMSG_LEN(sizeof(ucred));
  const ucred sent = {named.pid, named.uid, named.gid};
  std::memcpy(CMSG_DATA(c), &sent, sizeof sent);
  message.msg_controllen = CMSG_SPACE(sizeof sent);
  if (descriptors != 0) {
    message.msg_controllen += CMSG_SPACE(sizeof(int) * descriptors);
    c = CMSG_NXTHDR(&message, c);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof(int) * descriptors);
    for (std::size_t i = 0; i != descriptors; ++i)
      std::memcpy(CMSG_DATA(c) + i * sizeof fd, &fd, sizeof fd);
  }
  BOOST_REQUIRE(::sendmsg(fd, &message, 0) == 1);
}

bool is_root() { return ::geteuid() == 0; }
boost::test_tools::assertion_result runs_as_root(boost::unit_test::test_unit_id) {
  if (!is_root()) BOOST_TEST_MESSAGE("skipped: needs root, to be another user");
  return is_root();
}

/// A socket that receives credentials, and one that is connected to it.
struct pair {
  explicit pair(
      const cosock::local_datagram_socket_options& options = {.receive_credentials = true})
      : receiver(local_endpoint(), options), sender(local_endpoint()) {
    sender.connect(receiver.local_endpoint());
  }
  local_datagram_socket receiver;
  local_datagram_socket sender;
};

}  // namespace

COROUTINE_TEST_CASE(the_sender_of_a_datagram_is_known) {
  pair p;
  co_await p.sender.send("text");
  const received got = co_await next(p.receiver);
  BOOST_TEST(got.text == "text");
  BOOST_TEST((got.info.credentials == own_credentials()));
}

COROUTINE_TEST_CASE(without_the_option_there_are_none) {
  pair p{cosock::local_datagram_socket_options()};
  co_await p.sender.send("text");
  BOOST_TEST(!(co_await next(p.receiver)).info.credentials);
  local_datagram_socket::batch batch(1, 16);
  co_await p.sender.send("text");
  co_await p.receiver.receive_batch(batch);
  BOOST_TEST(!(*batch.begin()).info().credentials);
}

COROUTINE_TEST_CASE(each_datagram_of_a_batch_has_those_of_its_sender) {
  pair p;
  co_await p.sender.send("own");
  const pid_t child = send_from_child(p.receiver.local_endpoint(), 0);
  local_datagram_socket::batch batch(4, 16);
  BOOST_TEST(co_await p.receiver.receive_batch(batch) == 2u);
  std::vector<std::optional<credentials>> of_batch;
  for (const auto& each : batch) of_batch.push_back(each.info().credentials);
  credentials of_child = own_credentials();
  of_child.pid = child;
  BOOST_TEST((of_batch == std::vector<std::optional<credentials>>{own_credentials(), of_child}));
}

COROUTINE_TEST_CASE(the_process_is_the_one_that_sends) {
  pair p;
  const pid_t child = send_from_child(p.receiver.local_endpoint(), 0);
  const received got = co_await next(p.receiver);
  BOOST_TEST(got.text == "child");
  BOOST_REQUIRE(got.info.credentials.has_value());
  BOOST_TEST(got.info.credentials->pid == child);
  BOOST_TEST(got.info.credentials->uid == ::getuid());
}

BOOST_TEST_DECORATOR(*boost::unit_test::precondition(runs_as_root))
COROUTINE_TEST_CASE(the_user_is_that_of_the_process) {
  pair p;
  send_from_child(p.receiver.local_endpoint(), nobody);
  const received got = co_await next(p.receiver);
  BOOST_REQUIRE(got.info.credentials.has_value());
  BOOST_TEST(got.info.credentials->uid == nobody);
  BOOST_TEST(got.info.credentials->gid == nobody);
}

BOOST_TEST_DECORATOR(*boost::unit_test::precondition(runs_as_root))
COROUTINE_TEST_CASE(a_privileged_sender_names_any) {
  pair p;
  const credentials named = {::getpid(), 1234, 5678};
  send_with(p.sender.native_handle(), named, 0);
  BOOST_TEST(((co_await next(p.receiver)).info.credentials == named));
}

COROUTINE_TEST_CASE(a_time_stamp_comes_with_them) {
  pair p({.receive_time = true, .receive_credentials = true});
  const auto before = std::chrono::system_clock::now() - 1s;
  co_await p.sender.send("text");
  const received got = co_await next(p.receiver);
  BOOST_TEST((got.info.credentials == own_credentials()));
  BOOST_TEST((got.info.arrival_time > before));
}

/// A peer that passes descriptors nobody asked for hides nothing, and they are closed.
COROUTINE_TEST_CASE(descriptors_do_not_displace_them) {
  pair p;
  const std::size_t before = open_descriptors();
  for (const std::size_t descriptors : {1u, 253u}) {
    send_with(p.sender.native_handle(), own_credentials(), descriptors);
    BOOST_TEST(((co_await next(p.receiver)).info.credentials == own_credentials()));
    send_with(p.sender.native_handle(), own_credentials(), descriptors);
    local_datagram_socket::batch batch(2, 16);
    BOOST_TEST(co_await p.receiver.receive_batch(batch) == 1u);
    BOOST_TEST(((*batch.begin()).info().credentials == own_credentials()));
  }
  BOOST_TEST(open_descriptors() == before);
}

COROUTINE_TEST_CASE(descriptors_are_received_beside_them) {
  pair p;
  const std::vector<int> sent(cosock::max_descriptors, p.sender.native_handle());
  co_await p.sender.send_with_descriptors("d", sent);
  char into[4];
  const auto got = co_await p.receiver.receive_with_descriptors(into, sent.size());
  BOOST_TEST(got.descriptors.size() == sent.size());
  BOOST_TEST(!got.incomplete);
}

COROUTINE_TEST_CASE(an_adopted_socket_that_asks_for_them_has_them) {
  pair p;
  local_datagram_socket adopted = local_datagram_socket::adopt(p.receiver.release());
  co_await p.sender.send("one");
  BOOST_TEST(((co_await next(adopted)).info.credentials == own_credentials()));
  co_await p.sender.send("two");
  local_datagram_socket::batch batch(2, 16);
  co_await adopted.receive_batch(batch);
  BOOST_TEST(((*batch.begin()).info().credentials == own_credentials()));
}

COROUTINE_TEST_CASE(a_receive_without_information_is_unaffected) {
  pair p;
  co_await p.sender.send("text");
  char into[16];
  const cosock::receive_result got = co_await p.receiver.receive(into);
  BOOST_TEST(std::string(into, got.size) == "text");
  // The next information is that of its own datagram.
  packet_info info;
  info.credentials = credentials{1, 2, 3};
  co_await p.sender.send("more");
  co_await p.receiver.receive_from(into, info);
  BOOST_TEST((info.credentials == own_credentials()));
}
