// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#include <cosock/asio.hpp>

#define BOOST_TEST_MODULE asio_websocket
#include "asio_layers.hpp"
#include "scripted_stream.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/use_future.hpp>
#include <boost/beast/core/buffers_to_string.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/websocket.hpp>

namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace websocket = beast::websocket;
using cosock::as_result;
using cosock::async_stream;
using cosock::task;
using cosock::use_task;
using test::is;
using namespace std::chrono_literals;
using web_stream = websocket::stream<async_stream>;

const std::size_t sizes[] = {0, 1, 125, 126, 5000, 65535, 65536, 200'000};

/// Sends back every message until the client says goodbye.
task<> echo(cosock::byte_stream& stream) {
  web_stream web{async_stream(stream)};
  co_await web.async_accept(use_task);
  beast::flat_buffer message;
  for (;;) {
    const auto got = co_await as_result(web.async_read(message, use_task));
    if (!got) {
      BOOST_TEST((got.error() == websocket::error::closed));
      BOOST_TEST(web.reason().reason == "done");
      co_return;
    }
    co_await web.async_write(message.data(), use_task);
    message.clear();
  }
}

task<> ask(cosock::byte_stream& stream) {
  web_stream web{async_stream(stream)};
  co_await web.async_handshake("localhost", "/", use_task);
  for (const std::size_t size : sizes) {
    const std::string text(size, 'w');
    beast::flat_buffer answer;
    co_await cosock::when_all(web.async_write(asio::buffer(text), use_task),
                              web.async_read(answer, use_task));
    BOOST_TEST((beast::buffers_to_string(answer.data()) == text));
  }
  co_await web.async_close({websocket::close_code::normal, "done"}, use_task);
  BOOST_TEST(!web.is_open());
}

COROUTINE_TEST_CASE(a_web_socket_over_every_kind_of_stream) {
  for (const auto make : test::every_kind) {
    const auto ends = co_await make();
    co_await cosock::when_all(echo(*ends.server), ask(*ends.client));
    // Both directions have ended in order, and the streams are still their owner's to close.
    for (auto* const each : {ends.server.get(), ends.client.get()}) {
      BOOST_REQUIRE(each->is_open());
      char rest[1];
      BOOST_TEST(co_await each->receive(rest) == 0u);
    }
  }
}

COROUTINE_TEST_CASE(a_server_says_goodbye) {
  for (const auto make : test::every_kind) {
    const auto ends = co_await make();
    web_stream server{async_stream(*ends.server)};
    web_stream client{async_stream(*ends.client)};
    co_await cosock::when_all(server.async_accept(use_task),
                              client.async_handshake("localhost", "/", use_task));
    beast::flat_buffer nothing;
    const auto closed = [&]() -> task<> {
      const auto got = co_await as_result(client.async_read(nothing, use_task));
      BOOST_TEST((got.error() == websocket::error::closed));
    };
    co_await cosock::when_all(server.async_close(websocket::close_code::going_away, use_task),
                              closed());
    BOOST_TEST(client.reason().code == websocket::close_code::going_away);
  }
}

// With bytes of a protocol that only looks like one: nothing of the server's is lost.
COROUTINE_TEST_CASE(frames_arrive_in_pieces) {
  const auto wire = co_await test::make_scripted_stream();
  web_stream web{async_stream(*wire)};
  wire->push_each(
      "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
      "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n");
  co_await web.async_accept(use_task);
  BOOST_TEST(wire->sent().find("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=") != std::string::npos);
  wire->sent().clear();
  const std::string masked("\x81\x85\0\0\0\0hello\x88\x82\0\0\0\0\x03\xe8", 19);
  wire->push_each(masked);
  wire->end();
  beast::flat_buffer message;
  co_await web.async_read(message, use_task);
  BOOST_TEST(beast::buffers_to_string(message.data()) == "hello");
  const auto end = co_await as_result(web.async_read(message, use_task));
  BOOST_TEST((end.error() == websocket::error::closed));
  BOOST_TEST(wire->sent() == std::string("\x88\x02\x03\xe8", 4));
  BOOST_TEST(wire->is_shut());
}

COROUTINE_TEST_CASE(a_handshake_has_a_limit) {
  for (const auto make : test::every_kind) {
    const auto ends = co_await make();
    web_stream web{async_stream(*ends.client)};
    const auto late = co_await as_result(
        cosock::with_timeout(5ms, web.async_handshake("localhost", "/", use_task)));
    BOOST_TEST((late.error() == cosock::error::timed_out));
    BOOST_TEST(ends.client->is_open());
  }
}

// Beast's own limits close the stream below; both on a loop and in a strand of the program.
task<> idle() {
  for (const auto make : test::every_kind) {
    const auto ends = co_await make();
    web_stream web{async_stream(*ends.client)};
    web.set_option(websocket::stream_base::timeout{5ms, websocket::stream_base::none(), false});
    const auto late = co_await as_result(web.async_handshake("localhost", "/", use_task));
    BOOST_TEST((late.error() == beast::error::timeout));
    BOOST_TEST(!ends.client->is_open());
    BOOST_TEST(&beast::get_lowest_layer(web) == ends.client.get());
  }
}
COROUTINE_TEST_CASE(limits_of_beast) { co_await idle(); }
BOOST_AUTO_TEST_CASE(limits_of_beast_in_a_context_of_the_program) {
  const test::alarm_clock guard(60);
  asio::io_context context;
  auto on_context = cosock::spawn(context, idle(), asio::use_future);
  auto in_strand = cosock::spawn(asio::make_strand(context), idle(), asio::use_future);
  context.run();
  on_context.get();
  in_strand.get();
}

/// Without half close.
struct whole_stream final : cosock::byte_stream {
  explicit whole_stream(cosock::local_stream_socket&& s)
      : byte_stream(nullptr), below(std::move(s)) {
    object_ = test_access::object_of(below);
  }
  struct test_access : cosock::byte_stream {
    static cosock::detail::io_object* object_of(cosock::byte_stream& s) {
      return s.*(&test_access::object_);
    }
  };
  void shutdown_send() override {
    throw boost::system::system_error(asio::error::operation_not_supported);
  }
  void close() noexcept override {
    object_ = nullptr;
    below.close();
  }
  cosock::local_stream_socket below;
};

COROUTINE_TEST_CASE(a_stream_without_half_close_is_closed) {
  auto [a, b] = cosock::local_pair();
  whole_stream server(std::move(a));
  co_await cosock::when_all(echo(server), ask(b));
  BOOST_TEST(!server.is_open());
  char rest[1];
  BOOST_TEST(co_await b.receive(rest) == 0u);
}

COROUTINE_TEST_CASE(a_reset_ends_a_web_socket_with_an_error) {
  auto ends = co_await test::over_tcp();
  web_stream server{async_stream(*ends.server)};
  web_stream client{async_stream(*ends.client)};
  co_await cosock::when_all(server.async_accept(use_task),
                            client.async_handshake("localhost", "/", use_task));
  static_cast<cosock::tcp_socket&>(*ends.client).abort();
  beast::flat_buffer nothing;
  const auto got = co_await as_result(server.async_read(nothing, use_task));
  BOOST_TEST((got.error() == boost::system::errc::connection_reset));
}

}  // namespace
