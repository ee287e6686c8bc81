// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

#include <cosock/asio.hpp>
#include <cosock/cosock.hpp>

#include <boost/beast/core/buffers_to_string.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>
#include <boost/beast/websocket.hpp>

#include "check.hpp"

namespace asio = boost::asio;
using namespace std::chrono_literals;

namespace {

using cosock::task;
using cosock::use_task;

//! [http]
namespace beast = boost::beast;
namespace http = beast::http;

task<> answer_requests(cosock::byte_stream& client) {
  cosock::async_stream stream(client);
  beast::flat_buffer buffer(16'384);  // the limit of the headers, and of one read
  for (;;) {
    http::request_parser<http::string_body> parser;
    parser.body_limit(1 << 20);
    const auto result = co_await cosock::as_result(
        cosock::with_timeout(30s, http::async_read(stream, buffer, parser, use_task)));
    if (result.error() == http::error::end_of_stream) co_return;
    result.value();
    http::response<http::string_body> response(http::status::ok, parser.get().version());
    response.body() = "you said " + parser.get().body();
    response.keep_alive(parser.keep_alive());
    response.prepare_payload();
    co_await cosock::with_timeout(30s, http::async_write(stream, response, use_task));
    if (!response.keep_alive()) co_return;
  }
}

task<std::string> post(cosock::byte_stream& server, std::string text) {
  cosock::async_stream stream(server);
  http::request<http::string_body> request(http::verb::post, "/", 11);
  request.set(http::field::host, "example.org");
  request.body() = std::move(text);
  request.prepare_payload();
  co_await http::async_write(stream, request, use_task);
  beast::flat_buffer buffer;
  http::response<http::string_body> response;
  co_await cosock::with_timeout(30s, http::async_read(stream, buffer, response, use_task));
  co_return std::move(response.body());
}
//! [http]

//! [websocket]
namespace websocket = beast::websocket;
using web_stream = websocket::stream<cosock::async_stream>;

task<> send_back(cosock::byte_stream& client) {
  web_stream web{cosock::async_stream(client)};
  web.set_option(websocket::stream_base::timeout::suggested(beast::role_type::server));
  web.read_message_max(65'536);
  co_await web.async_accept(use_task);
  beast::flat_buffer message;
  for (;;) {
    const auto result = co_await cosock::as_result(web.async_read(message, use_task));
    if (result.error() == websocket::error::closed) co_return;  // see web.reason()
    result.value();
    co_await web.async_write(message.data(), use_task);
    message.clear();
  }
}

task<std::string> send_and_receive(cosock::byte_stream& server, std::string text) {
  web_stream web{cosock::async_stream(server)};
  web.set_option(websocket::stream_base::timeout::suggested(beast::role_type::client));
  co_await web.async_handshake("example.org", "/chat", use_task);
  co_await web.async_write(asio::buffer(text), use_task);
  beast::flat_buffer message;
  co_await web.async_read(message, use_task);
  co_await web.async_close(websocket::close_code::normal, use_task);
  co_return beast::buffers_to_string(message.data());
}
//! [websocket]

task<> http_over_a_local_pair() {
  auto [a, b] = cosock::local_pair();
  auto& client = a;
  auto& server = b;
  const auto ask = [&]() -> task<> {
    check(co_await post(client, "hello") == "you said hello");
    const std::string text(100'000, 'x');
    check(co_await post(client, text) == "you said " + text);
    client.close();
  };
  co_await cosock::when_all(ask(), answer_requests(server));
}

task<> websocket_over_a_local_pair() {
  auto [a, b] = cosock::local_pair();
  auto& client = a;
  auto& server = b;
  const auto ask = [&]() -> task<> {
    check(co_await send_and_receive(client, "hello") == "hello");
  };
  co_await cosock::when_all(ask(), send_back(server));
}

task<> run_examples() {
  co_await http_over_a_local_pair();
  co_await websocket_over_a_local_pair();
}

}  // namespace

int main() { return run_snippets(run_examples()); }
