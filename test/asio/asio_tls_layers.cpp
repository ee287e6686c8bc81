// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#include <cosock/asio.hpp>

#define BOOST_TEST_MODULE asio_tls_layers
#include "asio_layers.hpp"
#include "certificate.hpp"

#include <boost/asio/read.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/buffers_to_string.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/websocket.hpp>
#include <boost/beast/websocket/ssl.hpp>

// Layers over async_stream: TLS of Asio's, and Beast's WebSocket on that.

namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace websocket = beast::websocket;
using cosock::as_result;
using cosock::async_stream;
using cosock::task;
using cosock::use_task;
using namespace std::chrono_literals;
using tls_stream = asio::ssl::stream<async_stream>;
static_assert(std::is_same_v<tls_stream::lowest_layer_type, async_stream>);

struct contexts {
  asio::ssl::context server{asio::ssl::context::tls_server};
  asio::ssl::context client{asio::ssl::context::tls_client};
  contexts() {
    test::use_own_certificate(server, &client);
    client.set_verify_mode(asio::ssl::verify_peer);
  }
};

constexpr std::size_t much = 100'000;

task<> echo(cosock::byte_stream& stream, asio::ssl::context& context) {
  tls_stream tls(async_stream(stream), context);
  co_await tls.async_handshake(tls_stream::server, use_task);
  std::string all(much, 0);
  co_await asio::async_read(tls, asio::buffer(all), use_task);
  co_await asio::async_write(tls, asio::buffer(all), use_task);
  co_await tls.async_shutdown(use_task);
}

task<> ask(cosock::byte_stream& stream, asio::ssl::context& context) {
  tls_stream tls(async_stream(stream), context);
  BOOST_TEST(&tls.lowest_layer().next_layer() == &stream);
  BOOST_TEST((tls.get_executor() == cosock::loop_executor()));
  co_await tls.async_handshake(tls_stream::client, use_task);
  const std::string all(much, 'q');
  std::string back(much, 0);
  co_await cosock::when_all(asio::async_write(tls, asio::buffer(all), use_task),
                            asio::async_read(tls, asio::buffer(back), use_task));
  BOOST_TEST((back == all));
  co_await tls.async_shutdown(use_task);
}

task<> ask_through_a_byte_stream(cosock::byte_stream& stream, asio::ssl::context& context) {
  cosock::asio_stream<tls_stream> tls(std::in_place, async_stream(stream), context);
  co_await tls.next_layer().async_handshake(tls_stream::client, use_task);
  const std::string all(much, 'q');
  std::string back(much, 0);
  co_await cosock::when_all(tls.send(all), tls.receive_exactly(back));
  BOOST_TEST((back == all));
  char rest[1];
  BOOST_TEST(co_await tls.receive(rest) == 0u);
}

COROUTINE_TEST_CASE(tls_over_every_kind_of_stream) {
  contexts with;
  for (const auto make : test::every_kind) {
    const auto first = co_await make();
    co_await cosock::when_all(echo(*first.server, with.server), ask(*first.client, with.client));
    BOOST_TEST(first.client->is_open());
    const auto second = co_await make();
    co_await cosock::when_all(echo(*second.server, with.server),
                              ask_through_a_byte_stream(*second.client, with.client));
  }
}

COROUTINE_TEST_CASE(a_tls_handshake_has_a_limit) {
  contexts with;
  for (const auto make : test::every_kind) {
    const auto ends = co_await make();
    tls_stream tls(async_stream(*ends.client), with.client);
    const auto late = co_await as_result(
        cosock::with_timeout(5ms, tls.async_handshake(tls_stream::client, use_task)));
    BOOST_TEST((late.error() == cosock::error::timed_out));
  }
}

using web_stream = websocket::stream<tls_stream>;

task<> echo_message(cosock::byte_stream& stream, asio::ssl::context& context) {
  web_stream web(async_stream(stream), context);
  co_await web.next_layer().async_handshake(tls_stream::server, use_task);
  co_await web.async_accept(use_task);
  beast::flat_buffer message;
  co_await web.async_read(message, use_task);
  co_await web.async_write(message.data(), use_task);
  const auto end = co_await as_result(web.async_read(message, use_task));
  BOOST_TEST((end.error() == websocket::error::closed));
}

task<> ask_message(cosock::byte_stream& stream, asio::ssl::context& context) {
  web_stream web(async_stream(stream), context);
  co_await web.next_layer().async_handshake(tls_stream::client, use_task);
  co_await web.async_handshake("localhost", "/", use_task);
  const std::string text(much, 'w');
  beast::flat_buffer answer;
  co_await cosock::when_all(web.async_write(asio::buffer(text), use_task),
                            web.async_read(answer, use_task));
  BOOST_TEST((beast::buffers_to_string(answer.data()) == text));
  co_await web.async_close(websocket::close_code::normal, use_task);
  BOOST_TEST(&beast::get_lowest_layer(web) == &stream);
}

COROUTINE_TEST_CASE(a_web_socket_over_tls) {
  contexts with;
  for (const auto make : test::every_kind) {
    const auto ends = co_await make();
    co_await cosock::when_all(echo_message(*ends.server, with.server),
                              ask_message(*ends.client, with.client));
    for (auto* const each : {ends.server.get(), ends.client.get()}) {
      char rest[1];
      BOOST_TEST(co_await each->receive(rest) == 0u);
    }
  }
}

}  // namespace
