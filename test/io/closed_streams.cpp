// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#include <cosock/cosock.hpp>

#define BOOST_TEST_MODULE closed_streams
#include "local_tools.hpp"
#include "support.hpp"

#include <cosock/asio.hpp>

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <string>

// Programs that are started with some of the standard streams closed.

namespace {

using namespace test;
using cosock::const_buffer;
using cosock::endpoint;
using cosock::mutable_buffer;
using cosock::task;
using cosock::tcp_acceptor;
using cosock::tcp_socket;

unsigned closed = 0;  // a bit for each number

/// Ends the process, with a status that says where, if a number is taken that was free.
void check_numbers(int place) {
  for (int number = 0; number != 3; ++number)
    if ((closed >> number & 1) != 0 && ::fcntl(number, F_GETFD) != -1) ::_exit(place);
}
void require(bool good, int place) {
  if (!good) ::_exit(place);
}

/// The status of a program that runs in a child process, without these streams.
int status_of(unsigned without, void (*program)()) {
  const pid_t child = ::fork();
  if (child == 0) {
    ::alarm(60);
    closed = without;
    for (int number = 0; number != 3; ++number)
      if ((without >> number & 1) != 0) ::close(number);
    try {
      program();
      check_numbers(90);
    } catch (...) {
      ::_exit(91);
    }
    ::_exit(0);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}
void check(void (*program)()) {
  for (unsigned without = 1; without != 8; ++without) {
    BOOST_TEST_CONTEXT("without " << without) { BOOST_TEST(status_of(without, program) == 0); }
  }
}
void run_checked(task<> body) {
  cosock::loop loop;
  check_numbers(1);
  loop.run(std::move(body));
}

task<> use_tcp() {
  tcp_acceptor acceptor(endpoint::parse("127.0.0.1:0"));
  check_numbers(2);
  const std::string port = std::to_string(acceptor.local_endpoint().port());
  tcp_socket client = co_await cosock::connect("localhost", port);
  check_numbers(3);
  tcp_socket server = co_await acceptor.accept();
  check_numbers(4);
  // Enough for a pipe.
  const std::string much(1 << 20, 'x');
  tcp_socket sink = co_await cosock::connect(acceptor.local_endpoint());
  tcp_socket drain = co_await acceptor.accept();
  co_await cosock::with_nursery([&](cosock::nursery& n) -> task<> {
    n.start([&]() -> task<> {
      co_await client.send(cosock::buffer(much));
      client.close();
    });
    n.start([&]() -> task<> {
      co_await cosock::copy(server, sink);
      sink.close();
    });
    std::string into(much.size(), ' ');
    for (std::size_t got = 0; got != into.size();) {
      const std::size_t more =
          co_await drain.receive(mutable_buffer(into.data() + got, into.size() - got));
      require(more != 0, 5);
      got += more;
      check_numbers(6);
    }
  });
}

task<> use_local() {
  const temporary_folder folder;
  const auto at = cosock::local_endpoint::path(folder / "socket");
  {
    cosock::local_acceptor first(at);
    check_numbers(10);
    ::close(first.release());
  }
  cosock::local_acceptor acceptor(at);  // in the place of a stale one
  check_numbers(11);
  auto client = co_await cosock::connect(at);
  auto server = co_await acceptor.accept();
  check_numbers(12);
  auto [a, b] = cosock::local_pair<cosock::local_seqpacket_socket>();
  const cosock::local_datagram_socket datagrams((cosock::local_endpoint()));
  check_numbers(13);
  const int passed[] = {a.native_handle(), b.native_handle(), acceptor.native_handle()};
  co_await client.send_with_descriptors(const_buffer("x", 1), passed);
  char byte[1];
  const auto got = co_await server.receive_with_descriptors(mutable_buffer(byte, 1), 3);
  require(got.descriptors.size() == 3, 14);
  check_numbers(15);
  const auto copy = cosock::descriptor_stream::duplicate(passed[0]);
  check_numbers(16);
}

task<> use_others() {
  const cosock::udp_socket udp(endpoint::parse("127.0.0.1:0"));
  check_numbers(20);
  cosock::tcp_acceptors acceptors(endpoint::parse("127.0.0.1:0"), 3);
  check_numbers(21);
  const cosock::local_acceptors dealt((cosock::local_endpoint()), 3);
  check_numbers(22);
  require(cosock::usable_cores() > 0, 23);
  (void)co_await cosock::resolve("localhost", "80");
  const auto lo = cosock::network_interface::by_name("lo");
  static_cast<void>(lo);
  check_numbers(24);
  const cosock::signal_set set({SIGUSR1});
  check_numbers(25);
}

task<> read_standard_input() {
  const auto read = []() -> task<> {
    auto input = cosock::descriptor_stream::standard_input();
    co_return;
  };
  const auto failed = co_await cosock::as_result(read());
  const bool is_closed = (closed & 1) != 0;
  require(!failed == is_closed, 30);
  require(!is_closed || failed.error() == boost::system::errc::bad_file_descriptor, 31);
}

task<> spawned() {
  check_numbers(40);
  const cosock::udp_socket udp(endpoint::parse("127.0.0.1:0"));
  check_numbers(41);
  co_return;
}

}  // namespace

BOOST_AUTO_TEST_CASE(tcp_sockets_take_no_number_of_a_standard_stream) {
  check([] { run_checked(use_tcp()); });
}

BOOST_AUTO_TEST_CASE(local_sockets_and_descriptors_passed_take_none) {
  check([] { run_checked(use_local()); });
}

BOOST_AUTO_TEST_CASE(other_objects_take_none) {
  check([] { run_checked(use_others()); });
}

BOOST_AUTO_TEST_CASE(standard_input_that_is_closed_is_a_bad_descriptor) {
  check([] { run_checked(read_standard_input()); });
}

BOOST_AUTO_TEST_CASE(a_program_takes_none) {
  check([] {
    const auto program = []() -> task<> {
      check_numbers(50);
      co_await cosock::yield();
    };
    require(cosock::run(program()) == 0, 51);
  });
}

BOOST_AUTO_TEST_CASE(a_loop_in_a_context_of_the_users_takes_none) {
  // Asio's own descriptors are the user's affair.
  const int status = status_of(0, [] {
    boost::asio::io_context context;
    cosock::spawn(context, spawned());
    closed = 7;
    for (int number = 0; number != 3; ++number) ::close(number);
    context.run();
  });
  BOOST_TEST(status == 0);
}

BOOST_AUTO_TEST_CASE(what_the_program_puts_there_meanwhile_stays) {
  const int status = status_of(4, [] {
    cosock::loop loop;
    require(::open("/dev/null", O_RDWR) == 2, 60);
    closed = 0;
    const cosock::loop another;
    require(::fcntl(2, F_GETFD) == 0, 61);
  });
  BOOST_TEST(status == 0);
}
