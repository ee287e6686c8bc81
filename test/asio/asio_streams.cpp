// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#include <cosock/asio.hpp>

#define BOOST_TEST_MODULE asio_streams
#include "manual_event.hpp"
#include "stream_conformance.hpp"

#include <cosock/connect.hpp>
#include <cosock/reader.hpp>

#include <boost/asio/local/connect_pair.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/streambuf.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/use_future.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http.hpp>

#include <memory>

namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
using namespace test;
using asio::ip::tcp;
using boost::system::system_error;
using cosock::asio_stream;
using cosock::async_stream;
using cosock::loop_executor;
using cosock::task;
using cosock::use_task;
using test::is;
using namespace std::chrono_literals;

// A stream of Asio's as one of ours

task<stream_pair> tcp_of_asio() {
  tcp::acceptor acceptor(loop_executor(), {asio::ip::address_v4::loopback(), 0});
  tcp::socket one(loop_executor());
  co_await one.async_connect(acceptor.local_endpoint(), use_task);
  tcp::socket other = co_await acceptor.async_accept(use_task);
  one.set_option(tcp::no_delay(true));
  other.set_option(tcp::no_delay(true));
  using stream = asio_stream<tcp::socket>;
  co_return stream_pair(std::make_unique<stream>(std::move(one)),
                        std::make_unique<stream>(std::move(other)));
}

task<stream_pair> local_of_asio() {
  using socket = asio::local::stream_protocol::socket;
  socket one(loop_executor());
  socket other(loop_executor());
  asio::local::connect_pair(one, other);
  using stream = asio_stream<socket>;
  co_return stream_pair(std::make_unique<stream>(std::move(one)),
                        std::make_unique<stream>(std::move(other)));
}

/// Our own socket, as a stream of Asio's, as one of ours.
task<stream_pair> there_and_back() {
  struct owner {
    explicit owner(cosock::local_stream_socket&& s)
        : socket(std::make_unique<cosock::local_stream_socket>(std::move(s))) {}
    std::unique_ptr<cosock::local_stream_socket> socket;
  };
  struct layer : private owner, public async_stream {
    explicit layer(cosock::local_stream_socket&& s)
        : owner(std::move(s)), async_stream(*owner::socket) {}
    void close() { next_layer().close(); }
    void shutdown(asio::socket_base::shutdown_type, boost::system::error_code&) {
      next_layer().shutdown_send();
    }
  };
  auto [one, other] = cosock::local_pair();
  using stream = asio_stream<layer>;
  co_return stream_pair(std::make_unique<stream>(std::in_place, std::move(one)),
                        std::make_unique<stream>(std::in_place, std::move(other)));
}

const register_suite of_tcp("tcp_of_asio", tcp_of_asio, {.closes_at_once = false});
const register_suite of_local("local_of_asio", local_of_asio, {.closes_at_once = false});
const register_suite of_both("there_and_back", there_and_back, {.closes_at_once = false});

task<std::pair<tcp::socket, tcp::socket>> connected() {
  tcp::acceptor acceptor(loop_executor(), {asio::ip::address_v4::loopback(), 0});
  tcp::socket one(loop_executor());
  co_await one.async_connect(acceptor.local_endpoint(), use_task);
  tcp::socket other = co_await acceptor.async_accept(use_task);
  co_return std::pair(std::move(one), std::move(other));
}

COROUTINE_TEST_CASE(lines_from_a_stream_of_asio) {
  auto [one, other] = co_await connected();
  asio_stream<tcp::socket> stream(std::move(other));
  cosock::buffered_reader reader(stream);
  co_await asio::async_write(one, asio::buffer(std::string("first\nsecond\n")), use_task);
  one.close();
  BOOST_TEST(*co_await reader.read_line() == "first");
  BOOST_TEST(*co_await reader.read_line() == "second");
  BOOST_TEST(!co_await reader.read_line());
}

COROUTINE_TEST_CASE(what_was_sent_before_close_arrives) {
  auto [one, other] = co_await connected();
  asio_stream<tcp::socket> stream(std::move(other));
  const std::string much(20000, 'x');
  co_await stream.send(much);
  stream.close();
  std::string got;
  boost::system::error_code ec;
  while (!ec) {
    char into[4096];
    const auto r = co_await cosock::as_result(one.async_read_some(asio::buffer(into), use_task));
    if (r.has_error()) break;
    got.append(into, *r);
  }
  BOOST_TEST(got == much);
}

BOOST_AUTO_TEST_CASE(the_loop_is_destroyed_first) {
  std::vector<std::unique_ptr<asio_stream<tcp::socket>>> kept;
  {
    cosock::loop loop;
    auto waits = loop.start([](auto& kept) -> task<> {
      auto [one, other] = co_await connected();
      kept.push_back(std::make_unique<asio_stream<tcp::socket>>(std::move(one)));
      kept.push_back(std::make_unique<asio_stream<tcp::socket>>(std::move(other)));
      char into[8];
      co_await cosock::when_all(kept[0]->receive(into), kept[1]->send(std::string(10 << 20, 'x')));
    }(kept));
    for (int i = 0; i != 20; ++i) test::run_until_idle(loop);
  }
  BOOST_REQUIRE(kept.size() == 2u);
  BOOST_TEST(!kept[0]->is_open());
}

BOOST_AUTO_TEST_CASE(a_stream_on_a_context_of_the_program) {
  const test::alarm_clock guard;
  asio::io_context context;
  auto f = cosock::spawn(
      context,
      []() -> task<std::string> {
        auto [one, other] = co_await connected();
        asio_stream<tcp::socket> stream(std::move(one));
        co_await stream.send("hello\n");
        stream.close();
        asio_stream<tcp::socket> back(std::move(other));
        cosock::buffered_reader reader(back);
        const auto line = co_await reader.read_line();
        co_return std::string(*line);
      },
      asio::use_future);
  context.run();
  BOOST_TEST(f.get() == "hello");
}

// A stream of ours as one of Asio's

COROUTINE_TEST_CASE(operations_of_asio_on_a_stream_of_ours) {
  auto [a, b] = cosock::local_pair();
  async_stream one(a);
  async_stream other(b);
  const std::array<asio::const_buffer, 3> parts = {asio::buffer("one ", 4), asio::const_buffer(),
                                                   asio::buffer("two\nrest", 8)};
  BOOST_TEST(co_await asio::async_write(one, parts, use_task) == 12u);
  std::string text;
  const std::size_t line =
      co_await asio::async_read_until(other, asio::dynamic_buffer(text), '\n', use_task);
  BOOST_TEST(text.substr(0, line) == "one two\n");
  a.close();
  const auto r = co_await cosock::as_result(
      asio::async_read(other, asio::dynamic_buffer(text), asio::transfer_at_least(100), use_task));
  BOOST_TEST((r.error() == asio::error::eof));
  BOOST_TEST(text == "one two\nrest");
  char into[4];
  BOOST_TEST(co_await other.async_read_some(asio::mutable_buffer(), use_task) == 0u);
  b.close();
  const auto closed =
      co_await cosock::as_result(other.async_read_some(asio::buffer(into), use_task));
  BOOST_TEST((closed.error() == asio::error::bad_descriptor));
}

COROUTINE_TEST_CASE(an_operation_on_a_stream_of_ours_is_cancelled) {
  auto [a, b] = cosock::local_pair();
  async_stream one(a);
  char into[4];
  const auto r = co_await cosock::as_result(
      cosock::with_timeout(1ms, one.async_read_some(asio::buffer(into), use_task)));
  BOOST_TEST((r.error() == cosock::error::timed_out));
  co_await b.send("more");
  BOOST_TEST(co_await one.async_read_some(asio::buffer(into), use_task) == 4u);
}

// Beast

namespace http = beast::http;

template <class Stream>
task<> serve_one(Stream& stream) {
  beast::flat_buffer buffer;
  http::request<http::string_body> request;
  co_await http::async_read(stream, buffer, request, use_task);
  http::response<http::string_body> response(http::status::ok, request.version());
  response.body() = "you said " + request.body();
  response.prepare_payload();
  co_await http::async_write(stream, response, use_task);
}

template <class Stream>
task<std::string> ask(Stream& stream, std::string text) {
  http::request<http::string_body> request(http::verb::post, "/", 11);
  request.body() = std::move(text);
  request.prepare_payload();
  co_await http::async_write(stream, request, use_task);
  beast::flat_buffer buffer;
  http::response<http::string_body> response;
  co_await http::async_read(stream, buffer, response, use_task);
  co_return response.body();
}

COROUTINE_TEST_CASE(beast_on_streams_of_beast) {
  auto [one, other] = co_await connected();
  beast::tcp_stream client(std::move(one));
  beast::tcp_stream server(std::move(other));
  client.expires_after(10s);
  auto [nothing, answer] = co_await cosock::when_all(serve_one(server), ask(client, "hello"));
  static_cast<void>(nothing);
  BOOST_TEST(answer == "you said hello");
}

COROUTINE_TEST_CASE(beast_on_streams_of_ours) {
  auto [a, b] = cosock::local_pair();
  async_stream client(a);
  async_stream server(b);
  const std::string large(100'000, 'x');
  auto [nothing, answer] = co_await cosock::when_all(serve_one(server), ask(client, large));
  static_cast<void>(nothing);
  BOOST_TEST(answer == "you said " + large);
}

// Sockets

template <class Socket>
task<> there_and_back(Socket one, Socket other) {
  auto theirs = cosock::release(std::move(one));
  BOOST_TEST(!one.is_open());
  co_await theirs.async_send(asio::buffer("ping", 4), use_task);
  char into[8];
  const auto got = co_await other.receive(into);
  BOOST_TEST((std::string_view(into, 4) == "ping"));
  static_cast<void>(got);
  Socket ours = cosock::adopt(std::move(theirs));
  co_await ours.send("pong");
  auto other_of_asio = cosock::release(std::move(other), loop_executor());
  BOOST_TEST(co_await other_of_asio.async_receive(asio::buffer(into), use_task) == 4u);
  BOOST_TEST((std::string_view(into, 4) == "pong"));
}

COROUTINE_TEST_CASE(sockets_change_hands) {
  const std::size_t before = test::open_descriptors();
  {
    cosock::tcp_acceptor acceptor(cosock::endpoint(cosock::address::loopback_v6(), 0));
    const auto at = acceptor.local_endpoint();
    // The acceptor, to Asio and back.
    tcp::acceptor theirs = cosock::release(std::move(acceptor));
    auto first = cosock::connect(at);
    auto [client, accepted] =
        co_await cosock::when_all(std::move(first), theirs.async_accept(use_task));
    BOOST_TEST(accepted.remote_endpoint().address().is_v6());
    co_await there_and_back(std::move(client), cosock::adopt(std::move(accepted)));
    acceptor = cosock::adopt(std::move(theirs));
    auto again = co_await cosock::when_all(cosock::connect(at), acceptor.accept());
    static_cast<void>(again);

    auto [a, b] = cosock::local_pair();
    co_await there_and_back(std::move(a), std::move(b));
    auto [c, d] = cosock::local_pair<cosock::local_datagram_socket>();
    co_await there_and_back(std::move(c), std::move(d));

    auto [e, f] = cosock::local_pair<cosock::local_seqpacket_socket>();
    auto g = cosock::release(std::move(e));
    co_await g.async_send(asio::buffer("ping", 4), 0, use_task);
    char into[8];
    BOOST_TEST(co_await f.receive(into) == 4u);
    e = cosock::adopt(std::move(g));
    BOOST_TEST(e.is_open());

    cosock::udp_socket one(cosock::endpoint(cosock::address::loopback_v4(), 0));
    auto other = co_await cosock::connect_udp(one.local_endpoint());
    one.connect(other.local_endpoint());
    co_await there_and_back(std::move(one), std::move(other));

    cosock::local_acceptor listens{cosock::local_endpoint()};
    const auto there = listens.local_endpoint();
    auto listens_for_asio = cosock::release(std::move(listens));
    listens = cosock::adopt(std::move(listens_for_asio));
    auto both = co_await cosock::when_all(cosock::connect(there), listens.accept());
    static_cast<void>(both);
  }
  co_await cosock::yield();
  BOOST_TEST(test::open_descriptors() == before);
}

COROUTINE_TEST_CASE(a_closed_socket_cannot_change_hands) {
  cosock::tcp_socket closed;
  BOOST_CHECK_EXCEPTION(static_cast<void>(cosock::release(std::move(closed))), system_error,
                        is(cosock::error::closed));
  BOOST_CHECK_EXCEPTION(static_cast<void>(cosock::native(closed)), system_error,
                        is(cosock::error::closed));
  co_return;
}

COROUTINE_TEST_CASE(options_of_asio) {
  cosock::tcp_acceptor acceptor(cosock::endpoint(cosock::address::loopback_v6(), 0));
  auto view = cosock::native(acceptor);
  BOOST_TEST((view.protocol() == tcp::v6()));
  BOOST_TEST(view.native_handle() == acceptor.native_handle());
  asio::socket_base::reuse_address reuse;
  view.get_option(reuse);
  BOOST_TEST(reuse.value());
  view.set_option(asio::socket_base::receive_buffer_size(20000));
  asio::socket_base::receive_buffer_size size;
  view.get_option(size);
  BOOST_TEST(size.value() == 40000);
  view.set_option(asio::socket_base::linger(true, 3));
  asio::socket_base::linger linger;
  view.get_option(linger);
  BOOST_TEST(linger.timeout() == 3);
  co_return;
}

}  // namespace
