// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#include <cosock/asio.hpp>

#define BOOST_TEST_MODULE asio_tls
#include "certificate.hpp"
#include "support.hpp"

#include <cosock/connect.hpp>
#include <cosock/copy.hpp>
#include <cosock/local.hpp>
#include <cosock/run.hpp>
#include <cosock/tcp.hpp>
#include <cosock/when.hpp>

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/asio/write.hpp>

#include <functional>
#include <string>
#include <thread>

namespace {

namespace asio = boost::asio;
using namespace test;
using boost::system::error_code;
using cosock::as_result;
using cosock::byte_stream;
using cosock::endpoint;
using cosock::task;
using tls = asio::ssl::stream<asio::ip::tcp::socket>;
using stream = cosock::asio_stream<tls>;

/// A context of a server with a certificate made up here.
asio::ssl::context server_context() {
  asio::ssl::context made(asio::ssl::context::tls_server);
  test::use_own_certificate(made);
  return made;
}

/// A server of Asio's on a thread of its own, for one client.
class peer {
 public:
  explicit peer(std::function<void(tls&)> serve)
      : acceptor_(context_, {asio::ip::address_v4::loopback(), 0}) {
    at_ = endpoint(cosock::address::loopback_v4(), acceptor_.local_endpoint().port());
    thread_ = std::thread([this, serve = std::move(serve)] {
      asio::ssl::context context = server_context();
      error_code failed;
      tls s(acceptor_.accept(), context);
      s.handshake(tls::server, failed);
      if (!failed) serve(s);
    });
  }
  ~peer() { join(); }
  void join() {
    if (thread_.joinable()) thread_.join();
  }
  endpoint at() const { return at_; }

 private:
  asio::io_context context_;
  asio::ip::tcp::acceptor acceptor_;
  endpoint at_;
  std::thread thread_;
};

/// What a server reads, slowly, to the end, which it then answers.
struct read_slowly {
  std::size_t& got;
  error_code& end;
  void operator()(tls& s) const {
    std::string into(64 << 10, '\0');
    while (!end) {
      got += s.read_some(asio::buffer(into), end);
      std::this_thread::sleep_for(200us);
    }
    error_code ignored;
    s.shutdown(ignored);
  }
};

struct client {
  client() : context(asio::ssl::context::tls_client) {}
  asio::ssl::context context;
  task<stream> connect(endpoint to) {
    stream s(std::in_place, cosock::release(co_await cosock::connect(to)), context);
    co_await s.next_layer().async_handshake(tls::client, cosock::use_task);
    co_return s;
  }
};

enum class ending { destroyed, closed, shut_down, finished };

task<> send_and_end(endpoint to, std::size_t size, ending how) {
  client c;
  stream s = co_await c.connect(to);
  co_await s.send(std::string(size, 'x'));
  if (how == ending::shut_down) s.shutdown_send();
  if (how == ending::closed || how == ending::shut_down) s.close();
  if (how == ending::finished) BOOST_TEST(co_await s.finish(1min));
}

BOOST_AUTO_TEST_CASE(what_was_sent_arrives_though_the_program_ends) {
  const alarm_clock guard;
  for (const std::size_t size : {std::size_t{30'000}, std::size_t{3'000'000}})
    for (const ending how :
         {ending::destroyed, ending::closed, ending::shut_down, ending::finished}) {
      std::size_t got = 0;
      error_code end;
      peer server(read_slowly{got, end});
      BOOST_TEST(cosock::run(send_and_end(server.at(), size, how)) == 0);
      server.join();
      BOOST_TEST(got == size);
      BOOST_TEST((end == asio::error::eof), end.message());
    }
}

constexpr std::size_t answer_size = 200'000;

/// Answers a question that ends with the end of the stream.
void answer(tls& s) {
  error_code end;
  std::string question(100, '\0');
  question.resize(asio::read(s, asio::buffer(question), end));
  if (question != "question" || end != asio::error::eof) return;
  for (int i = 0; i != 10; ++i) {
    asio::write(s, asio::buffer(std::string(answer_size / 10, 'a')), end);
    std::this_thread::sleep_for(2ms);
  }
  s.shutdown(end);
}

task<std::size_t> ask(byte_stream& s) {
  co_await s.send("question");
  s.shutdown_send();
  BOOST_TEST((co_await as_result(s.send("more"))).error() == boost::system::errc::broken_pipe);
  std::size_t got = 0;
  char into[4096];
  while (const std::size_t n = co_await s.receive(into)) got += n;
  co_return got;
}

BOOST_AUTO_TEST_CASE(receiving_goes_on_after_shutdown_send) {
  const alarm_clock guard;
  peer server(&answer);
  cosock::loop on;
  on.run([](endpoint to) -> task<> {
    client c;
    stream s = co_await c.connect(to);
    BOOST_TEST(co_await ask(s) == answer_size);
    BOOST_TEST(co_await s.finish());
  }(server.at()));
}

/// The same while a receive is pending all along.
BOOST_AUTO_TEST_CASE(a_pending_receive_goes_on_too) {
  const alarm_clock guard;
  peer server(&answer);
  cosock::loop on;
  on.run([](endpoint to) -> task<> {
    client c;
    stream s = co_await c.connect(to);
    std::size_t got = 0;
    const auto receive = [&]() -> task<> {
      char into[4096];
      while (const std::size_t n = co_await s.receive(into)) got += n;
    };
    const auto send = [&]() -> task<> {
      co_await cosock::yield();
      co_await s.send("question");
      s.shutdown_send();
    };
    co_await cosock::when_all(receive(), send());
    BOOST_TEST(got == answer_size);
  }(server.at()));
}

BOOST_AUTO_TEST_CASE(half_close_passes_through_copy_both) {
  const alarm_clock guard;
  peer server(&answer);
  cosock::loop on;
  on.run([](endpoint to) -> task<> {
    client c;
    stream s = co_await c.connect(to);
    auto [mine, theirs] = cosock::local_pair();
    const auto copy = [&]() -> task<> {
      const auto all = co_await cosock::copy_both(theirs, s);
      BOOST_TEST(!all.error, all.error.message());
      theirs.close();
    };
    const auto [nothing, got] = co_await cosock::when_all(copy(), ask(mine));
    static_cast<void>(nothing);
    BOOST_TEST(got == answer_size);
  }(server.at()));
}

/// A server that ends with unread input: its last answer arrives.
BOOST_AUTO_TEST_CASE(a_served_connection_ends_in_order) {
  const alarm_clock guard;
  cosock::loop on;
  on.run([]() -> task<> {
    asio::ssl::context context = server_context();
    cosock::tcp_acceptor acceptor(endpoint(cosock::address::loopback_v4(), 0));
    const auto serve = [&]() -> task<> {
      stream s(std::in_place, cosock::release(co_await acceptor.accept()), context);
      co_await s.next_layer().async_handshake(tls::server, cosock::use_task);
      char head[1];
      co_await s.receive_exactly(head);
      co_await s.send(std::string(answer_size, 'a'));
      BOOST_TEST(co_await s.finish(1min));
    };
    const auto read = [&]() -> task<> {
      client c;
      stream s = co_await c.connect(acceptor.local_endpoint());
      co_await s.send(std::string(50'000, 'u'));
      co_await cosock::sleep_for(5ms);
      std::size_t got = 0;
      char into[4096];
      while (const std::size_t n = co_await s.receive(into)) got += n;
      BOOST_TEST(got == answer_size);
    };
    co_await cosock::when_all(serve(), read());
  }());
}

/// What Asio calls secure, and does not do with OpenSSL.
struct other_tls : asio::ip::tcp::socket {
  using asio::ip::tcp::socket::basic_stream_socket;
  explicit other_tls(asio::ip::tcp::socket&& of) : asio::ip::tcp::socket(std::move(of)) {}
  template <class Handler>
  void async_shutdown(Handler&& handler) {
    error_code ec;
    shutdown(asio::ip::tcp::socket::shutdown_send, ec);
    asio::post(get_executor(),
               [handler = std::forward<Handler>(handler)]() mutable { handler(error_code()); });
  }
};

COROUTINE_TEST_CASE(where_half_close_is_impossible_it_says_so) {
  cosock::tcp_acceptor acceptor(endpoint(cosock::address::loopback_v4(), 0));
  auto [one, other] =
      co_await cosock::when_all(cosock::connect(acceptor.local_endpoint()), acceptor.accept());
  cosock::asio_stream<other_tls> s(std::in_place, cosock::release(std::move(one)));
  co_await s.send("all");
  const auto says = [](const boost::system::system_error& e) {
    return e.code() == boost::system::errc::operation_not_supported &&
           std::string(e.what()).starts_with("no half close: ");
  };
  BOOST_CHECK_EXCEPTION(s.shutdown_send(), boost::system::system_error, says);
  co_await s.send(" of it");
  BOOST_TEST(!co_await s.finish(1min));
  char into[9];
  co_await other.receive_exactly(into);
  BOOST_TEST(co_await other.receive(into) == 0u);
}

}  // namespace
