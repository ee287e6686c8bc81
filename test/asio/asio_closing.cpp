// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#include <cosock/asio.hpp>

#define BOOST_TEST_MODULE asio_closing
#include "support.hpp"

#include <cosock/outbox.hpp>
#include <cosock/run.hpp>
#include <cosock/serve.hpp>
#include <cosock/when.hpp>

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read.hpp>

#include <csignal>
#include <string>
#include <thread>

namespace {

namespace asio = boost::asio;
using namespace test;
using asio::ip::tcp;
using boost::system::error_code;
using cosock::as_result;
using cosock::loop_executor;
using cosock::task;
using cosock::use_task;
using stream = cosock::asio_stream<tcp::socket>;

/// A peer on a thread of its own, with little room, that reads only after a while.
class late_reader {
 public:
  late_reader() : acceptor_(context_) {
    acceptor_.open(tcp::v4());
    acceptor_.set_option(tcp::socket::receive_buffer_size(4096));
    acceptor_.bind({asio::ip::address_v4::loopback(), 0});
    acceptor_.listen();
    at_ = acceptor_.local_endpoint();
    thread_ = std::thread([this] {
      tcp::socket s = acceptor_.accept();
      std::this_thread::sleep_for(30ms);
      got_.resize(10 << 20);
      got_.resize(asio::read(s, asio::buffer(got_), end_));
    });
  }
  ~late_reader() {
    if (thread_.joinable()) thread_.join();
  }
  tcp::endpoint at() const { return at_; }
  /// What it got to the orderly end of the stream.
  std::size_t got() {
    thread_.join();
    BOOST_TEST((end_ == asio::error::eof));
    return got_.size();
  }

 private:
  asio::io_context context_;
  tcp::acceptor acceptor_;
  tcp::endpoint at_;
  std::thread thread_;
  std::string got_;
  error_code end_;
};

task<stream> connected(tcp::endpoint to) {
  tcp::socket s(loop_executor(), tcp::v4());
  s.set_option(tcp::socket::send_buffer_size(4096));
  co_await s.async_connect(to, use_task);
  co_return stream(std::move(s));
}

constexpr std::size_t size = 300'000;

task<> send_and_return(tcp::endpoint to) {
  stream s = co_await connected(to);
  co_await s.send(std::string(size, 'x'));
}
task<> send_and_finish(tcp::endpoint to) {
  stream s = co_await connected(to);
  co_await s.send(std::string(size, 'x'));
  BOOST_TEST(co_await s.finish(1min));
}

BOOST_AUTO_TEST_CASE(a_loop_waits_for_streams_that_are_closing) {
  const alarm_clock guard;
  late_reader peer;
  {
    cosock::loop on;
    on.run(send_and_return(peer.at()));
  }
  BOOST_TEST(peer.got() == size);
}

BOOST_AUTO_TEST_CASE(so_does_run) {
  const alarm_clock guard;
  late_reader peer;
  BOOST_TEST(cosock::run(send_and_return(peer.at())) == 0);
  BOOST_TEST(peer.got() == size);
}

BOOST_AUTO_TEST_CASE(finish_waits_itself) {
  const alarm_clock guard;
  late_reader peer;
  cosock::loop on;
  auto running = on.start(send_and_finish(peer.at()));
  while (!running.done()) on.run_some();
  running.result();
  BOOST_TEST(peer.got() == size);
}

/// Sends until there is no room, to a peer that takes nothing.
task<> fill(stream& s) {
  const std::string much(10 << 20, 'x');
  static_cast<void>(co_await as_result(cosock::with_timeout(10ms, s.send(much))));
}

/// A peer that takes nothing: closing has its limit, and a cancellation ends it sooner.
struct deaf_peer {
  asio::io_context context;
  tcp::acceptor acceptor{context, {asio::ip::address_v4::loopback(), 0}};
};

BOOST_AUTO_TEST_CASE(a_signal_ends_the_wait) {
  const alarm_clock guard;
  deaf_peer peer;
  const auto program = [](tcp::endpoint to) -> task<> {
    stream s = co_await connected(to);
    co_await fill(s);
    s.close();
    cosock::loop::current().post([] { cosock::loop::current().post([] { std::raise(SIGTERM); }); });
  };
  const auto begun = cosock::clock::now();
  BOOST_TEST(cosock::run(program(peer.acceptor.local_endpoint())) == 0);
  BOOST_TEST((cosock::clock::now() - begun < 4s));
}

BOOST_AUTO_TEST_CASE(a_loop_that_is_destroyed_does_not_wait) {
  const std::size_t before = open_descriptors();
  {
    deaf_peer peer;
    cosock::loop on;
    auto running = on.start([](tcp::endpoint to) -> task<> {
      stream s = co_await connected(to);
      co_await fill(s);
    }(peer.acceptor.local_endpoint()));
    while (!running.done()) on.run_some();
  }
  BOOST_TEST(open_descriptors() == before);
}

COROUTINE_TEST_CASE(finish_without_time_for_it_says_so) {
  deaf_peer peer;
  stream s = co_await connected(peer.acceptor.local_endpoint());
  co_await fill(s);
  const auto finished = co_await as_result(s.finish(10ms));
  BOOST_TEST((finished.error() == cosock::error::timed_out));
  BOOST_TEST(!s.is_open());
  peer.acceptor.accept().close();  // lets the stream go
}

COROUTINE_TEST_CASE(finish_discards_what_was_not_received) {
  tcp::acceptor acceptor(loop_executor(), {asio::ip::address_v4::loopback(), 0});
  stream one = co_await connected(acceptor.local_endpoint());
  stream other(co_await acceptor.async_accept(use_task));
  co_await other.send(std::string(100'000, 'x'));
  co_await one.send("answer");
  const auto read_all = [&]() -> task<std::size_t> {
    std::size_t all = 0;
    char into[100];
    while (const std::size_t n = co_await other.receive(into)) all += n;
    other.close();
    co_return all;
  };
  auto [ended, got] = co_await cosock::when_all(one.finish(1min), read_all());
  BOOST_TEST(ended);
  BOOST_TEST(got == 6u);
}

/// A served stream of Asio's that its handler destroys ends in order too, and counts until then.
COROUTINE_TEST_CASE(serve_ends_them_in_order) {
  struct asio_acceptor {
    tcp::acceptor of{loop_executor(), {asio::ip::address_v4::loopback(), 0}};
    task<stream> accept() { co_return stream(co_await of.async_accept(use_task)); }
    void close() noexcept { of.close(); }
  };
  asio_acceptor acceptor;
  const tcp::endpoint at = acceptor.of.local_endpoint();
  cosock::server_handle handle;
  const auto by_value = [](stream s) -> task<> { co_await s.send(std::string(size, 'a')); };
  const auto client = [&]() -> task<> {
    stream s = co_await connected(at);
    co_await s.send("unread");
    std::size_t got = 0;
    char into[4096];
    while (const std::size_t n = co_await s.receive(into)) got += n;
    BOOST_TEST(got == size);
    BOOST_TEST(handle.counters().active == 1u);
    s.close();
    while (handle.counters().active != 0) co_await cosock::yield();
    handle.stop();
  };
  const cosock::serve_options options{.drain = 0ns, .finish_timeout = 1min};
  const auto serve = [&]() -> task<> {
    // An acceptor of Asio's that is closed ends its accept with an error.
    static_cast<void>(co_await as_result(cosock::serve(acceptor, by_value, handle, options)));
  };
  co_await cosock::when_all(serve(), client());
}

/// The buffer of a stream is part of what an outbox has written.
BOOST_AUTO_TEST_CASE(flush_of_an_outbox_reaches_the_system) {
  const alarm_clock guard;
  late_reader peer;
  {
    cosock::loop on;
    auto running = on.start([](tcp::endpoint to) -> task<> {
      stream s = co_await connected(to);
      cosock::outbox out(s, {.max_bytes = size});
      co_await cosock::with_nursery([&](cosock::nursery& n) -> task<> {
        n.start([&] { return out.run(); });
        co_await out.send(std::string(size, 'x'));
        co_await out.flush();
        n.cancel();
      });
    }(peer.at()));
    while (!running.done()) on.run_some();
  }  // nothing is sent behind the scenes any more
  BOOST_TEST(peer.got() == size);
}

BOOST_AUTO_TEST_CASE(run_of_an_outbox_ends_when_all_has_left) {
  const alarm_clock guard;
  late_reader peer;
  {
    cosock::loop on;
    auto running = on.start([](tcp::endpoint to) -> task<> {
      stream s = co_await connected(to);
      cosock::outbox out(s, {.max_bytes = size});
      BOOST_TEST(out.try_send(std::string(size, 'x')));
      out.close();
      co_await out.run();
    }(peer.at()));
    while (!running.done()) on.run_some();
  }
  BOOST_TEST(peer.got() == size);
}

}  // namespace
