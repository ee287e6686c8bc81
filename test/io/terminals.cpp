// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#include <cosock/descriptor_stream.hpp>

#define BOOST_TEST_MODULE terminals
#include "descriptor_tools.hpp"

#include <cosock/when.hpp>

#include <sys/ioctl.h>
#include <sys/wait.h>

#include <csignal>

namespace {

using namespace test;
using cosock::error;

/// How a child of a process that has `terminal` as its controlling terminal ends, running `program`
/// as a job in the background. `foreground`: it has to stop, and is continued in the foreground.
template <class F>
int run_in_background(int terminal, bool foreground, F program) {
  const pid_t shell = ::fork();
  if (shell == 0) {
    ::alarm(20);
    ::setsid();
    ::ioctl(terminal, TIOCSCTTY, 0);
    ::signal(SIGTTOU, SIG_IGN);
    const pid_t job = ::fork();
    if (job == 0) {
      ::signal(SIGTTOU, SIG_DFL);
      ::setpgid(0, 0);
      ::_exit(program());
    }
    ::setpgid(job, job);
    int status = 0;
    ::waitpid(job, &status, WUNTRACED);
    if (foreground) {
      if (!WIFSTOPPED(status)) ::_exit(100);
      ::tcsetpgrp(terminal, job);
      ::kill(-job, SIGCONT);
      ::waitpid(job, &status, 0);
    }
    if (WIFSTOPPED(status)) ::kill(job, SIGKILL);
    ::_exit(WIFEXITED(status) ? WEXITSTATUS(status) : 101);
  }
  int status = 0;
  ::waitpid(shell, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 102;
}

/// Receives in a job: 0 for the expected bytes, 1 for io_error.
int receive_in_job(int fd, bool permission) {
  cosock::loop loop;
  return loop.run([](int fd, bool permission) -> task<int> {
    auto in = adopted(unique_descriptor::adopt(fd), permission);
    char into[8];
    const outcome o = co_await outcome_of(cosock::with_timeout(10s, in.receive(into)));
    if (o.error) co_return o.error == errc::io_error ? 1 : 2;
    co_return std::string_view(into, o.bytes) == "typed\n" ? 0 : 3;
  }(fd, permission));
}

int send_in_job(int fd, bool permission) {
  cosock::loop loop;
  return loop.run([](int fd, bool permission) -> task<int> {
    auto out = adopted(unique_descriptor::adopt(fd), permission);
    const outcome o = co_await outcome_of(cosock::with_timeout(10s, out.send("shown")));
    co_return o.error || o.bytes != 5 ? 2 : 0;
  }(fd, permission));
}

void handle(int) {}

}  // namespace

COROUTINE_TEST_CASE(a_hangup_is_the_end) {
  for (const bool permission : {true, false}) {
    BOOST_TEST_INFO_SCOPE("permission " << permission);
    auto [master, slave] = make_terminal();
    const std::string name = ::ptsname(master.get());
    auto emulator = descriptor_stream::adopt(master.release());
    auto program = adopted(std::move(slave), permission);
    co_await program.send("bye");
    program.close();
    BOOST_TEST(co_await receive_some(emulator) == "bye");
    for (int i = 0; i != 3; ++i) BOOST_TEST(co_await receive_some(emulator) == "");
    co_await emulator.wait_readable();

    auto again = descriptor_stream::adopt(::open(name.c_str(), O_RDWR | O_NOCTTY | O_CLOEXEC));
    co_await again.send("here again");
    BOOST_TEST(co_await receive_some(emulator) == "here again");

    pending_op receive;
    co_await cosock::with_nursery([&](nursery& n) -> task<> {
      char into[8];
      start(n, receive, [&] { return again.receive(into); });
      co_await let_others_run();
      emulator.close();
      co_await ended(receive);
    });
    BOOST_TEST(!receive.result.error);
    BOOST_TEST(receive.result.bytes == 0u);
    BOOST_TEST(co_await receive_some(again) == "");
    BOOST_TEST((co_await outcome_of(again.send("x"))).error == errc::broken_pipe);
    co_await again.wait_readable();
    co_await again.wait_writable();
  }
}

/// A terminal that had hung up before it came here is not opened again: another may use it by now.
COROUTINE_TEST_CASE(a_terminal_that_has_hung_up) {
  auto [master, slave] = make_terminal();
  master.close();
  auto stream = descriptor_stream::adopt(slave.release());
  BOOST_TEST(co_await receive_some(stream) == "");
  BOOST_TEST((co_await outcome_of(stream.send("x"))).error == errc::broken_pipe);
}

/// In canonical mode an empty line end, Ctrl-D, is an end after which reading goes on.
COROUTINE_TEST_CASE(control_d_is_an_end) {
  for (const bool permission : {true, false}) {
    auto [master, slave] = make_terminal(false);
    auto program = adopted(std::move(slave), permission);
    write_all(master.get(), "line\n\4");
    BOOST_TEST(co_await receive_some(program) == "line\n");
    BOOST_TEST(co_await receive_some(program) == "");
    BOOST_TEST((co_await outcome_of(cosock::with_timeout(1ms, receive_some(program))))
                   .is(error::timed_out));
    write_all(master.get(), "more\n");
    BOOST_TEST(co_await receive_some(program) == "more\n");
  }
}

/// read(2) returns 0 when there is nothing: that is no end.
COROUTINE_TEST_CASE(a_minimum_of_no_bytes_is_no_end) {
  for (const bool permission : {true, false}) {
    auto [master, slave] = make_terminal();
    termios mode = {};
    ::tcgetattr(slave.get(), &mode);
    mode.c_cc[VMIN] = 0;
    mode.c_cc[VTIME] = 0;
    ::tcsetattr(slave.get(), TCSANOW, &mode);
    auto program = adopted(std::move(slave), permission);
    for (int i = 0; i != 2; ++i) {
      BOOST_TEST((co_await outcome_of(cosock::with_timeout(1ms, receive_some(program))))
                     .is(error::timed_out));
      write_all(master.get(), "bytes");
      BOOST_TEST(co_await receive_some(program) == "bytes");
    }
  }
}

/// Ctrl-S stops a sender until Ctrl-Q, and nobody else.
COROUTINE_TEST_CASE(a_stopped_terminal_stops_its_sender_only) {
  for (const bool permission : {true, false}) {
    BOOST_TEST_INFO_SCOPE("permission " << permission);
    descriptor_ends ends = make_terminal(false);
    const int master = ends.first.get();
    const auto shared = share(ends.second);
    auto program = adopted(std::move(ends.second), permission);
    write_all(master, "\x13");
    pollfd asked = {shared.get(), POLLOUT, 0};
    while (::poll(&asked, 1, 0) != 0) co_await cosock::yield();
    pending_op send;
    co_await cosock::with_nursery([&](nursery& n) -> task<> {
      start(n, send, [&] { return program.send("text"); });
      co_await let_others_run();
      BOOST_TEST(!send.done);
      write_all(master, "\x11");
      co_await ended(send);
    });
    BOOST_TEST(send.result.bytes == 4u);
    BOOST_TEST(read_available(master).ends_with("text"));
    BOOST_TEST(is_blocking(shared.get()));
  }
}

/// 1 MiB of lines, which the terminal makes longer, to a reader that takes a little at a time.
COROUTINE_TEST_CASE(no_wake_up_is_lost) {
  std::string lines;
  while (lines.size() < 1 << 20) lines += "a line of text\tand a tab\n";
  for (const bool permission : {true, false}) {
    auto [master, slave] = make_terminal(false);
    ::fcntl(master.get(), F_SETFL, O_RDWR | O_NONBLOCK);
    auto program = adopted(std::move(slave), permission);
    auto emulator = descriptor_stream::adopt(master.release());
    std::string seen;
    const auto write = [&]() -> task<> {
      co_await program.send(lines);
      program.close();
    };
    const auto read = [&]() -> task<> {
      char part[700];
      while (const std::size_t n = co_await emulator.receive(part)) seen.append(part, n);
    };
    co_await cosock::when_all(write(), read());
    std::erase(seen, '\r');
    BOOST_TEST((seen == lines));
  }
}

/// The byte that a thread has taken for a receive that was cancelled comes with the next one.
COROUTINE_TEST_CASE(a_cancelled_receive_loses_no_byte) {
  descriptor_ends ends = make_terminal();
  const int slave = ends.second.get();
  auto emulator = descriptor_stream::adopt(ends.first.release());
  for (int i = 0; i != 300; ++i) {
    const char typed = static_cast<char>(i);
    pending_op receive;
    char into[1];
    co_await cosock::with_nursery([&](nursery& n) -> task<> {
      start(n, receive, [&] { return emulator.receive(into); });
      write_all(slave, {&typed, 1});
      for (int turns = 0; turns != i % 7; ++turns) co_await cosock::yield();
      n.cancel();
    });
    if (receive.result.error) {
      BOOST_REQUIRE(receive.result.is(error::cancelled));
      BOOST_REQUIRE(co_await emulator.receive(into) == 1u);
    }
    BOOST_REQUIRE(into[0] == typed);
  }
}

/// A sender that was cancelled says what goes out, to the last byte, for a master and a slave.
COROUTINE_TEST_CASE(a_cancelled_send_counts_right) {
  for (const bool of_master : {true, false}) {
    auto [master, slave] = make_terminal();
    auto& own = of_master ? master : slave;
    auto& other = of_master ? slave : master;
    auto stream = adopted(std::move(own), false);
    byte_pattern l;
    for (int i = 0; i != 20; ++i) {
      const auto limit = std::chrono::microseconds(i * 100);
      l.sent(co_await outcome_of(cosock::with_timeout(limit, stream.send(l.next(100'000)))));
      const std::string part = read_available(other.get());
      BOOST_REQUIRE(l.received(part.data(), part.size()));
    }
    while (l.on_the_way() != 0) {
      const std::string part = read_available(other.get());
      BOOST_REQUIRE(l.received(part.data(), part.size()));
      co_await cosock::yield();
    }
    const const_buffer last = l.next(5);
    l.sent(5);
    co_await stream.send(last);
    while (l.on_the_way() != 0) {
      const std::string part = read_available(other.get());
      BOOST_REQUIRE(l.received(part.data(), part.size()));
      co_await cosock::yield();
    }
  }
}

/// A thread that waits for room in a master ends with the stream.
COROUTINE_TEST_CASE(a_closed_master_leaves_no_descriptor) {
  const std::size_t before = open_descriptors();
  {
    auto [master, slave] = make_terminal();
    auto emulator = descriptor_stream::adopt(master.release());
    (void)co_await outcome_of(
        cosock::with_timeout(20ms, emulator.send(byte_pattern().next(1 << 20))));
  }
  while (open_descriptors() != before) co_await cosock::yield();
}

BOOST_AUTO_TEST_CASE(a_job_in_the_background) {
  const alarm_clock guard(60);
  for (const bool permission : {true, false}) {
    BOOST_TEST_CONTEXT("permission " << permission) {
      for (const auto action : {SIG_DFL, SIG_IGN, static_cast<sighandler_t>(handle)}) {
        auto [master, slave] = make_terminal(false);
        write_all(master.get(), "typed\n");
        const int fd = slave.get();
        const bool stops = action == SIG_DFL;
        BOOST_TEST(run_in_background(fd, stops, [&] {
                     ::signal(SIGTTIN, action);
                     return receive_in_job(fd, permission);
                   }) == (stops ? 0 : 1));
      }
      for (const auto action : {SIG_DFL, SIG_IGN, static_cast<sighandler_t>(handle)}) {
        auto [master, slave] = make_terminal(false);
        termios mode = {};
        ::tcgetattr(slave.get(), &mode);
        mode.c_lflag |= TOSTOP;
        ::tcsetattr(slave.get(), TCSANOW, &mode);
        const int fd = slave.get();
        BOOST_TEST(run_in_background(fd, action == SIG_DFL, [&] {
                     ::signal(SIGTTOU, action);
                     return send_in_job(fd, permission);
                   }) == 0);
        BOOST_TEST(read_available(master.get()) == "shown");
      }
    }
  }
}
