// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// Programs in which every allocation fails from the n-th on, for a time: they end with an error or
// with their work done, they never end the process, hang or leak.

#define BOOST_TEST_MODULE no_memory
#include "allocations.hpp"
#include "support.hpp"

#include <cosock/connect.hpp>
#include <cosock/copy.hpp>
#include <cosock/reader.hpp>
#include <cosock/serve.hpp>
#include <cosock/tcp.hpp>
#include <cosock/when.hpp>

#include <fcntl.h>

#include <functional>
#include <new>
#include <stdexcept>
#include <string>

namespace {

using namespace std::chrono_literals;
using boost::system::system_error;
using cosock::as_result;
using cosock::nursery;
using cosock::task;
using cosock::tcp_acceptor;
using cosock::tcp_socket;
using cosock::with_nursery;

const cosock::endpoint any_port(cosock::address::loopback_v4(), 0);

/// What default observers print goes nowhere.
class quiet_standard_error {
 public:
  quiet_standard_error() : kept_(::dup(2)) {
    const int nowhere = ::open("/dev/null", O_WRONLY | O_CLOEXEC);
    ::dup2(nowhere, 2);
    ::close(nowhere);
  }
  ~quiet_standard_error() {
    ::dup2(kept_, 2);
    ::close(kept_);
  }
  quiet_standard_error(const quiet_standard_error&) = delete;

 private:
  int kept_;
};

/// Runs the program with failures from each allocation on. Gives how many runs did their work.
int sweep(long failures, const std::function<task<>()>& program) {
  const test::alarm_clock guard;
  const quiet_standard_error quiet;
  test::failures_in_a_row = failures;
  int completed = 0;
  test::fail_each_allocation([&] {
    try {
      cosock::loop loop;
      loop.run([](const std::function<task<>()>& program) -> task<> {
        co_await cosock::with_timeout(20s, program());
      }(program));
      ++completed;
      return true;
    } catch (const std::bad_alloc&) {
      return false;
    } catch (const system_error& e) {
      BOOST_TEST_INFO(e.what());
      BOOST_TEST((e.code() != cosock::error::timed_out));
      return false;
    }
  });
  test::failures_in_a_row = 1;
  return completed;
}
void sweep_all(const std::function<task<>()>& program) {
  for (const long failures : {1L, 2L, 7L, 40L})
    BOOST_TEST_CONTEXT(failures << " failures in a row") {
      BOOST_TEST(sweep(failures, program) >= 5);
    }
}

task<> echo(tcp_socket& socket) {
  cosock::buffered_reader reader(socket);
  while (const auto line = co_await cosock::with_timeout(10s, reader.read_line())) {
    co_await socket.send(*line);
    co_await socket.send("\n");
  }
}

task<> ask(std::uint16_t port) {
  tcp_socket socket = co_await cosock::connect("127.0.0.1", port);
  cosock::buffered_reader reader(socket);
  for (int i = 0; i != 3; ++i) {
    co_await socket.send("question\n");
    const auto answer = co_await reader.read_line();
    if (!answer) throw system_error(make_error_code(cosock::error::end_of_stream));
    BOOST_TEST(*answer == "question");
  }
}

task<> serve_and_ask() {
  tcp_acceptor acceptor(any_port);
  cosock::server_handle handle;
  co_await with_nursery([&](nursery& n) -> task<> {
    n.start([&] { return cosock::serve(acceptor, echo, handle, {.drain = 0s}); });
    co_await ask(acceptor.local_endpoint().port());
    handle.stop();
  });
}

BOOST_AUTO_TEST_CASE(a_server_and_a_client) { sweep_all(serve_and_ask); }

task<> through_a_proxy() {
  tcp_acceptor front(any_port);
  tcp_acceptor back(any_port);
  co_await with_nursery([&](nursery& n) -> task<> {
    n.start([&]() -> task<> {
      tcp_socket client = co_await front.accept();
      tcp_socket server = co_await cosock::connect(back.local_endpoint());
      (void)co_await cosock::copy_both(client, server, {.idle = 10s});
    });
    n.start([&]() -> task<> {
      tcp_socket client = co_await back.accept();
      co_await echo(client);
    });
    co_await ask(front.local_endpoint().port());
    n.cancel();
  });
}

BOOST_AUTO_TEST_CASE(a_proxy) { sweep_all(through_a_proxy); }

task<> names() {
  tcp_acceptor acceptor(any_port);
  co_await with_nursery([&](nursery& n) -> task<> {
    n.start([&]() -> task<> { (void)co_await acceptor.accept(); });
    (void)co_await cosock::connect("localhost", acceptor.local_endpoint().port());
  });
}

BOOST_AUTO_TEST_CASE(a_look_up) { sweep_all(names); }

task<> fails(int after) {
  for (int i = 0; i != after; ++i) co_await cosock::yield();
  throw std::bad_alloc();
}

/// Several children fail, each while nothing can be allocated.
task<> many_children() {
  try {
    co_await with_nursery([](nursery& n) -> task<> {
      for (int i = 0; i != 5; ++i) n.start(fails, i % 2);
      co_await cosock::sleep_for(1h);
    });
    BOOST_ERROR("an error was lost");
  } catch (const cosock::multiple_errors&) {
  } catch (const std::bad_alloc&) {
  }
}

BOOST_AUTO_TEST_CASE(children_that_fail) { sweep_all(many_children); }

task<> a_race() {
  tcp_acceptor acceptor(any_port);
  const auto first = co_await cosock::when_any(acceptor.accept(), cosock::sleep_for(0s),
                                               cosock::with_timeout(1h, cosock::sleep_for(1h)));
  BOOST_TEST(first.index == 1u);
  const auto limited = co_await as_result(cosock::with_timeout(0s, acceptor.accept()));
  BOOST_TEST((limited.error() == cosock::error::timed_out));
}

BOOST_AUTO_TEST_CASE(a_race_and_a_limit) { sweep_all(a_race); }

/// The error of a handler is reported, by default in a text, while there is no memory; then the server
/// goes on.
BOOST_AUTO_TEST_CASE(a_server_goes_on_when_there_is_memory_again) {
  const test::alarm_clock guard;
  const quiet_standard_error quiet;
  cosock::loop loop;
  loop.run([]() -> task<> {
    tcp_acceptor acceptor(any_port);
    cosock::server_handle handle;
    int handled = 0;
    const auto handler = [&](tcp_socket& socket) -> task<> {
      if (++handled != 1) co_return co_await echo(socket);
      char byte[1];
      co_await socket.receive_exactly(byte);
      const std::runtime_error error("a text that no short string has room for");
      test::failures_left = 1'000'000;
      throw error;
    };
    co_await with_nursery([&](nursery& n) -> task<> {
      n.start([&] { return cosock::serve(acceptor, handler, handle, {.drain = 0s}); });
      tcp_socket first = co_await cosock::connect(acceptor.local_endpoint());
      co_await first.send("x");
      char byte[1];
      (void)co_await as_result(first.receive(byte));
      test::failures_left = 0;
      co_await ask(acceptor.local_endpoint().port());
      handle.stop();
    });
    BOOST_TEST(handle.counters().failed == 1u);
  }());
}

}  // namespace
