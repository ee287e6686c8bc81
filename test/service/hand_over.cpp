// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#include <cosock/hand_over.hpp>

#define BOOST_TEST_MODULE hand_over
#include "error_text.hpp"
#include "manager.hpp"
#include "support.hpp"

#include <cosock/connect.hpp>
#include <cosock/inherited.hpp>
#include <cosock/local_datagram.hpp>
#include <cosock/loops.hpp>
#include <cosock/notify.hpp>
#include <cosock/reader.hpp>
#include <cosock/udp.hpp>
#include <cosock/when.hpp>

#include <sys/resource.h>

#include <fstream>
#include <sstream>
#include <stdexcept>

namespace {

using namespace test;
using boost::system::system_error;
using cosock::as_result;
using cosock::hand_over;
using cosock::passed_sockets;
using cosock::task;
using cosock::tcp_acceptor;
namespace errc = boost::system::errc;

const cosock::endpoint any_port(cosock::address::loopback_v4(), 0);

// The new process: this program, which does what the variable SUCCESSOR says.

std::string content(const std::string& file) {
  std::ifstream in(file);
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

std::string value_of(const char* name) {
  const char* const value = std::getenv(name);
  return std::string(name) + '=' + (value ? value : "(unset)") + '\n';
}

/// Serves each socket once: tells what the process has found.
task<> serve_once() {
  const std::string found = value_of("LISTEN_FDS") + value_of("LISTEN_FDNAMES") +
                            value_of("LISTEN_PID") + value_of("WATCHDOG_PID") +
                            content("/proc/self/status");
  cosock::inherited_sockets inherited;
  auto acceptor = inherited.take<tcp_acceptor>(0);
  std::optional<cosock::local_acceptor<>> local;
  if (inherited.contains("control")) local = inherited.take<cosock::local_acceptor<>>("control");
  cosock::notify_status("not for the old process");
  cosock::notify_ready("from the new process");
  auto client = co_await acceptor.accept();
  co_await client.send(found);
  client.shutdown_send();
  char rest[1];
  co_await client.receive(rest);  // it must not end before the old process has seen it ready
  if (local) {
    auto other = co_await local->accept();
    co_await other.send("control\n");
  }
  cosock::notify_status("served");  // to the manager
}

[[noreturn]] void run_successor(const std::string& role) {
  ::alarm(60);
  if (role == "serves") {
    cosock::loop loop;
    loop.run(serve_once());
  } else if (role == "fails") {
    ::_exit(3);
  } else if (role == "crashes") {
    const rlimit none = {};
    ::setrlimit(RLIMIT_CORE, &none);
    ::signal(SIGSEGV, SIG_DFL);  // not the sanitizer's
    ::raise(SIGSEGV);
  } else if (role == "ready and fails") {
    cosock::notify_ready();
    ::_exit(4);
  } else if (role == "impostor") {
    // A child of the new process is not the new process.
    if (::fork() == 0) {
      cosock::notify_ready();
      ::_exit(0);
    }
    ::wait(nullptr);
    ::_exit(5);
  } else {
    for (;;) ::pause();
  }
  ::_exit(0);
}

// Before Boost.Test begins.
const bool is_first = [] {
  if (const char* const role = std::getenv("SUCCESSOR")) run_successor(role);
  return true;
}();

std::vector<std::string> this_program() { return {"/proc/self/exe"}; }

bool has_children() { return ::waitpid(-1, nullptr, WNOHANG) != -1 || errno != ECHILD; }
void wait_for(int process) {
  int status = -1;
  BOOST_TEST(::waitpid(process, &status, 0) == process);
  BOOST_TEST(status == 0);
}

/// A connection, and all that the server sends.
task<std::string> ask(cosock::endpoint server) {
  auto client = co_await cosock::connect(server);
  std::string all;
  char part[4096];
  while (const std::size_t n = co_await client.receive(part)) all.append(part, n);
  co_return all;
}

COROUTINE_TEST_CASE(a_new_process_takes_the_sockets_and_the_connections_that_wait) {
  const variable role("SUCCESSOR", "serves");
  const variable no_manager("NOTIFY_SOCKET", std::nullopt);
  const variable watched("WATCHDOG_PID", std::nullopt);
  tcp_acceptor acceptor(any_port);
  const auto at = acceptor.local_endpoint();
  // It waits in the backlog, and nobody accepts in this process.
  auto client = co_await cosock::connect(at);
  int process = 0;
  {
    passed_sockets sockets;
    sockets.add("web", acceptor);
    BOOST_TEST(sockets.size() == 1u);
    process = co_await hand_over(this_program(), sockets);
  }
  acceptor.close();
  std::string all;
  char part[4096];
  while (const std::size_t n = co_await client.receive(part)) all.append(part, n);
  BOOST_TEST(contains(
      all, "LISTEN_FDS=1\nLISTEN_FDNAMES=web\nLISTEN_PID=" + std::to_string(process) + '\n'));
  BOOST_TEST(contains(all, "WATCHDOG_PID=(unset)"));
  client.close();
  wait_for(process);
}

COROUTINE_TEST_CASE(a_manager_learns_the_new_process_and_hears_it_from_then_on) {
  const variable role("SUCCESSOR", "serves");
  manager told;
  const variable watched("WATCHDOG_PID", std::to_string(::getpid()));
  tcp_acceptor acceptor(any_port);
  passed_sockets sockets;
  sockets.add("web", acceptor);
  const int process = co_await hand_over(this_program(), sockets);
  const std::string id = std::to_string(process);
  BOOST_TEST(told.next() == "MAINPID=" + id + "\nREADY=1");
  const std::string found = co_await ask(acceptor.local_endpoint());
  BOOST_TEST(contains(found, "WATCHDOG_PID=" + id + '\n'));
  BOOST_TEST(told.wait() == "STATUS=served");
  wait_for(process);
}

COROUTINE_TEST_CASE(the_file_of_a_local_socket_stays_for_the_new_process) {
  const variable role("SUCCESSOR", "serves");
  const temporary_folder folder;
  const auto path = folder.at("control");
  tcp_acceptor acceptor(any_port);
  std::optional<cosock::local_acceptor<>> local(path);
  int process = 0;
  {
    passed_sockets sockets;
    sockets.add("web", acceptor);
    sockets.add("control", *local);
    process = co_await hand_over(this_program(), sockets);
    local.reset();
  }
  BOOST_TEST(exists(folder / "control"));
  co_await ask(acceptor.local_endpoint());
  auto client = co_await cosock::connect(path);
  char line[8];
  BOOST_TEST(co_await client.receive(line) == 8u);
  wait_for(process);
}

COROUTINE_TEST_CASE(without_a_hand_over_the_file_is_removed_with_the_last_of_both) {
  const temporary_folder folder;
  std::optional<cosock::local_acceptor<>> local(folder.at("control"));
  passed_sockets sockets;
  sockets.add("control", *local);
  local.reset();
  BOOST_TEST(exists(folder / "control"));
  auto client = co_await cosock::connect(folder.at("control"));  // it listens
  sockets.clear();
  BOOST_TEST(sockets.size() == 0u);
  BOOST_TEST(!exists(folder / "control"));
}

COROUTINE_TEST_CASE(no_signal_is_blocked_and_caught_ones_have_their_default) {
  const variable role("SUCCESSOR", "serves");
  tcp_acceptor acceptor(any_port);
  passed_sockets sockets;
  sockets.add("web", acceptor);
  sigset_t some;
  sigset_t before;
  sigemptyset(&some);
  sigaddset(&some, SIGUSR1);
  sigaddset(&some, SIGRTMAX);
  pthread_sigmask(SIG_BLOCK, &some, &before);
  ::signal(SIGUSR2, [](int) {});
  ::signal(SIGTTOU, SIG_IGN);
  const int process = co_await hand_over(this_program(), sockets);
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  BOOST_TEST(::signal(SIGUSR2, SIG_DFL) != SIG_DFL);
  BOOST_TEST(::signal(SIGTTOU, SIG_DFL) == SIG_IGN);
  const std::string found = co_await ask(acceptor.local_endpoint());
  BOOST_TEST(contains(found, "SigBlk:\t0000000000000000"));
  const auto ignored = found.find("SigIgn:\t");
  BOOST_REQUIRE(ignored != found.npos);
  const auto mask = std::stoull(found.substr(ignored + 8, 16), nullptr, 16);
  BOOST_TEST((mask >> (SIGTTOU - 1) & 1) == 1u);
  BOOST_TEST((mask >> (SIGUSR2 - 1) & 1) == 0u);
  wait_for(process);
}

COROUTINE_TEST_CASE(a_new_process_that_ends_is_an_error_with_its_status) {
  tcp_acceptor acceptor(any_port);
  passed_sockets sockets;
  sockets.add("web", acceptor);
  struct row {
    const char* role;
    const char* text;
  };
  for (const row& each :
       {row{"fails", "ended with status 3 before it was ready"},
        row{"crashes", "was ended by signal 11 (Segmentation fault)"},
        row{"ready and fails", "ended with status 4"}, row{"impostor", "ended with status 5"}}) {
    BOOST_TEST_CONTEXT(each.role) {
      const variable role("SUCCESSOR", each.role);
      const std::size_t before = open_descriptors();
      const auto got = co_await as_result(hand_over(this_program(), sockets));
      // The new process may have been ready for a moment.
      if (!got || std::string_view(each.role) != "ready and fails") {
        BOOST_REQUIRE(!got);
        BOOST_TEST(got.error() == errc::no_child_process);
        BOOST_TEST(contains(error_message(got.error()), each.text));
        BOOST_TEST(contains(error_message(got.error()), "\"/proc/self/exe\""));
      } else {
        ::waitpid(*got, nullptr, 0);
      }
      BOOST_TEST(open_descriptors() == before);
      BOOST_TEST(!has_children());
    }
  }
  // This process goes on.
  auto [client, server] =
      co_await cosock::when_all(cosock::connect(acceptor.local_endpoint()), acceptor.accept());
  BOOST_TEST(client.is_open());
}

COROUTINE_TEST_CASE(a_program_that_cannot_be_started_is_an_error_of_the_system) {
  tcp_acceptor acceptor(any_port);
  passed_sockets sockets;
  sockets.add("web", acceptor);
  const temporary_folder folder;
  make_file(folder / "data");
  const variable path("PATH", folder.path() + ":/nowhere");
  const std::size_t before = open_descriptors();
  struct row {
    std::string program;
    errc::errc_t code;
  };
  for (const row& each :
       {row{folder / "missing", errc::no_such_file_or_directory},
        row{folder / "data", errc::permission_denied}, row{folder.path(), errc::permission_denied},
        row{"missing", errc::no_such_file_or_directory},
        row{"", errc::no_such_file_or_directory}}) {
    std::vector<std::string> arguments;
    arguments.push_back(each.program);
    const auto got = co_await as_result(hand_over(arguments, sockets));
    BOOST_REQUIRE(!got);
    BOOST_TEST(got.error() == each.code);
    BOOST_TEST(contains(error_message(got.error()), '"' + each.program + '"'));
  }
  BOOST_TEST(open_descriptors() == before);
  BOOST_TEST(!has_children());
}

COROUTINE_TEST_CASE(a_program_without_a_slash_is_found_in_the_path) {
  tcp_acceptor acceptor(any_port);
  passed_sockets sockets;
  sockets.add("web", acceptor);
  std::vector<std::string> arguments;
  for (const char* each : {"sh", "-c", "exit 7"}) arguments.emplace_back(each);
  for (const auto& value :
       {std::optional<std::string>("/nowhere:/bin"), std::optional<std::string>()}) {
    const variable path("PATH", value);
    const auto got = co_await as_result(hand_over(arguments, sockets));
    BOOST_TEST(contains(error_message(got.error()), "ended with status 7"));
  }
}

COROUTINE_TEST_CASE(wrong_arguments_are_refused) {
  tcp_acceptor acceptor(any_port);
  passed_sockets sockets;
  const std::vector<std::string> nothing;
  const auto no_sockets = co_await as_result(hand_over(this_program(), sockets));
  BOOST_TEST(contains(error_message(no_sockets.error()), "no sockets; accepted: 1 or more"));
  for (const std::string& name : {std::string(), std::string("a:b"), std::string("a\n"),
                                  std::string("\xc3\xa9"), std::string(256, 'x')})
    BOOST_CHECK_EXCEPTION(sockets.add(name, acceptor), system_error,
                          says(errc::invalid_argument, "accepted: 1 to 255"));
  BOOST_CHECK_EXCEPTION(sockets.add("x", tcp_acceptor()), system_error,
                        says(errc::bad_file_descriptor, "\"x\""));
  BOOST_CHECK_EXCEPTION(sockets.add("x", 0), system_error, says(errc::not_a_socket, "\"x\""));
  sockets.add(std::string(255, 'x'), acceptor);
  const auto no_arguments = co_await as_result(hand_over(nothing, sockets));
  BOOST_TEST(no_arguments.error() == errc::invalid_argument);
  BOOST_TEST(contains(error_message(no_arguments.error()), "accepted: the program"));
  std::vector<std::string> with_nul;
  with_nul.emplace_back("a\0b", 3);
  const auto nul = co_await as_result(hand_over(with_nul, sockets));
  BOOST_TEST(nul.error() == errc::invalid_argument);
}

COROUTINE_TEST_CASE(a_new_process_that_is_not_ready_in_time_is_killed) {
  const variable role("SUCCESSOR", "never");
  tcp_acceptor acceptor(any_port);
  passed_sockets sockets;
  sockets.add("web", acceptor);
  for (const auto limit : {50ms, 0ms, -1ms}) {
    const auto got =
        co_await as_result(hand_over(this_program(), sockets, {.ready_timeout = limit}));
    BOOST_TEST(got.error() == cosock::error::timed_out);
    BOOST_TEST(contains(error_message(got.error()), "was not ready"));
    BOOST_TEST(!has_children());
  }
  BOOST_TEST(acceptor.is_open());
}

COROUTINE_TEST_CASE(cancelled_the_new_process_is_killed_and_waited_for) {
  const variable role("SUCCESSOR", "never");
  tcp_acceptor acceptor(any_port);
  passed_sockets sockets;
  sockets.add("web", acceptor);
  const std::size_t before = open_descriptors();
  cosock::cancel_scope scope;
  const auto cancels = [&]() -> task<> {
    while (!has_children()) co_await cosock::yield();
    scope.cancel();
  };
  const auto runs = [&]() -> task<> {
    const auto got = co_await as_result(
        scope.run(hand_over(this_program(), sockets, {.ready_timeout = cosock::unlimited})));
    BOOST_TEST(got.error() == cosock::error::cancelled);
  };
  co_await cosock::when_all(runs(), cancels());
  BOOST_TEST(!has_children());
  BOOST_TEST(open_descriptors() == before);
  // A limit from outside.
  BOOST_CHECK_EXCEPTION(co_await cosock::with_timeout(50ms, hand_over(this_program(), sockets)),
                        system_error, is(cosock::error::timed_out));
  BOOST_TEST(!has_children());
}

BOOST_AUTO_TEST_CASE(destroyed_with_its_loop_the_new_process_is_killed) {
  const alarm_clock guard;
  const variable role("SUCCESSOR", "never");
  const std::size_t before = open_descriptors();
  {
    cosock::loop loop;
    const auto waits = []() -> task<> {
      tcp_acceptor acceptor(any_port);
      passed_sockets sockets;
      sockets.add("web", acceptor);
      co_await hand_over(this_program(), sockets);
    };
    loop.run([&]() -> task<> { co_await as_result(cosock::with_timeout(20ms, waits())); }());
    BOOST_TEST(!has_children());
    auto never = loop.start(waits());
    loop.run([]() -> task<> {
      while (!has_children()) co_await cosock::yield();
    }());
  }
  BOOST_TEST(!has_children());
  BOOST_TEST(open_descriptors() == before);
}

COROUTINE_TEST_CASE(a_manager_that_cannot_be_told_keeps_the_old_process) {
  const variable role("SUCCESSOR", "serves");
  const variable socket("NOTIFY_SOCKET", "/nowhere/notify");
  tcp_acceptor acceptor(any_port);
  passed_sockets sockets;
  sockets.add("web", acceptor);
  const auto got = co_await as_result(hand_over(this_program(), sockets));
  BOOST_TEST(got.error() == errc::no_such_file_or_directory);
  BOOST_TEST(!has_children());
}

COROUTINE_TEST_CASE(a_program_that_ignores_its_children_learns_that_the_new_process_has_ended) {
  const variable role("SUCCESSOR", "fails");
  tcp_acceptor acceptor(any_port);
  passed_sockets sockets;
  sockets.add("web", acceptor);
  ::signal(SIGCHLD, SIG_IGN);
  const auto got = co_await as_result(hand_over(this_program(), sockets));
  ::signal(SIGCHLD, SIG_DFL);
  BOOST_TEST(got.error() == errc::no_child_process);
  BOOST_TEST(contains(error_message(got.error()), "its exit status is not known"));
}

COROUTINE_TEST_CASE(any_program_may_be_the_new_one) {
  // A program without this library: the socket of systemd-notify(1) is that of the old process.
  tcp_acceptor acceptor(any_port);
  passed_sockets sockets;
  sockets.add("web", acceptor);
  std::vector<std::string> arguments;
  for (const char* each :
       {"/usr/bin/env", "python3", "-c",
        "import os, socket\n"
        "assert os.environ['LISTEN_PID'] == str(os.getpid())\n"
        "s = socket.socket(fileno=3)\n"
        "n = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)\n"
        "n.sendto(b'STATUS=x\\nREADY=1\\n', '\\0' + os.environ['NOTIFY_SOCKET'][1:])\n"
        "s.setblocking(True)\n"
        "c = s.accept()[0]\n"
        "c.sendall(b'from python')\n"})
    arguments.emplace_back(each);
  const int process = co_await hand_over(arguments, sockets);
  BOOST_TEST(co_await ask(acceptor.local_endpoint()) == "from python");
  wait_for(process);
}

COROUTINE_TEST_CASE(sockets_of_each_kind_are_passed) {
  tcp_acceptor acceptor(any_port);
  cosock::udp_socket udp(any_port);
  const cosock::local_acceptor local{cosock::local_endpoint()};
  const cosock::local_datagram_socket datagrams{cosock::local_endpoint()};
  cosock::tcp_acceptors several(any_port, 2);
  cosock::local_acceptors shared(cosock::local_endpoint(), 2);
  passed_sockets sockets;
  sockets.add("a", acceptor);
  sockets.add("b", udp);
  sockets.add("c", local);
  sockets.add("d", datagrams);
  sockets.add("e", several);
  sockets.add("f", shared);
  sockets.add("g", udp.native_handle());
  BOOST_TEST(sockets.size() == 8u);
  std::vector<std::string> arguments;
  for (const char* each : {"/bin/sh", "-c", "exit $((LISTEN_FDS + ${#LISTEN_FDNAMES}))"})
    arguments.emplace_back(each);
  const auto got = co_await as_result(hand_over(arguments, sockets));
  BOOST_TEST(contains(error_message(got.error()), "ended with status 23"));  // a:b:c:d:e:e:f:g

  { auto taken = several.acceptor(0); }
  sockets.add("e", several);  // the other one
  BOOST_TEST(sockets.size() == 9u);
  { auto taken = several.acceptor(1); }
  BOOST_CHECK_THROW(sockets.add("e", several), std::logic_error);
  { auto taken = shared.acceptor(0); }
  { auto taken = shared.acceptor(1); }
  BOOST_CHECK_THROW(sockets.add("f", shared), std::logic_error);
}

COROUTINE_TEST_CASE(many_sockets_keep_their_order) {
  std::vector<tcp_acceptor> many;
  passed_sockets sockets;
  for (int i = 0; i != 40; ++i) {
    many.emplace_back(any_port);
    sockets.add("web", many.back());
  }
  std::vector<std::string> arguments;
  std::string ports;
  for (const tcp_acceptor& each : many)
    ports += (ports.empty() ? "" : ",") + std::to_string(each.local_endpoint().port());
  for (const std::string& each :
       {std::string("/usr/bin/env"), std::string("python3"), std::string("-c"),
        "import socket, sys\n"
        "sys.exit(9 if [socket.socket(fileno=3+i).getsockname()[1] for i in range(40)] == [" +
            ports + "] else 1)"})
    arguments.push_back(each);
  const auto got = co_await as_result(hand_over(arguments, sockets));
  BOOST_TEST(contains(error_message(got.error()), "ended with status 9"));
}

}  // namespace
