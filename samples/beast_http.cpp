// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// Boost.Beast in tasks: an HTTP server that answers with the request, and a client. Each operation
// of Beast takes cosock::use_task as its completion token; timeouts, serve() and connect() are
// those of cosock.
//
// The server is guarded against slow and many connections of one peer: --max-per-peer N,
// --first-byte SECONDS, and --min-bytes N of a request in each 10 s.
//
//   beast_http [--host ADDR] [--port PORT]      the server, by default on 127.0.0.1, port 7000
//   beast_http get HOST PORT TARGET             the client
//   curl -d text http://127.0.0.1:7000/any/path

#include <cosock/asio.hpp>
#include <cosock/connect.hpp>
#include <cosock/progress.hpp>
#include <cosock/run.hpp>
#include <cosock/serve.hpp>
#include <cosock/tcp.hpp>

#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http.hpp>

#include <chrono>
#include <cstdio>
#include <string>
#include <string_view>

#include "options.hpp"

namespace beast = boost::beast;
namespace http = boost::beast::http;
using cosock::use_task;
using namespace std::chrono_literals;

http::response<http::string_body> make_response(const http::request<http::string_body>& request) {
  http::response<http::string_body> response(http::status::ok, request.version());
  if (request.method() == http::verb::get || request.method() == http::verb::post) {
    response.set(http::field::content_type, "text/plain");
    response.body() = std::string(request.method_string()) + " " + std::string(request.target()) +
                      "\n" + request.body();
  } else {
    response.result(http::status::method_not_allowed);
  }
  response.keep_alive(request.keep_alive());
  response.prepare_payload();
  return response;
}

/// Limits against peers that have many connections, or keep them busy with a byte now and then.
struct guards {
  unsigned max_per_peer = 100;
  std::chrono::milliseconds first_byte = 10s;
  unsigned bytes = 100;  // of a request, in each 10 s
};

cosock::task<> handle_client(cosock::tcp_socket& client, guards limits) {
  cosock::async_stream stream(client);  // for Beast; the connection stays with serve()
  beast::flat_buffer buffer;
  for (;;) {
    // The next request may take a while to begin; from then on it must make progress.
    if (buffer.size() == 0) co_await cosock::with_timeout(30s, client.wait_readable());
    http::request<http::string_body> request;
    const auto result = co_await cosock::as_result(cosock::with_progress(
        {.bytes = limits.bytes, .every = 10s}, client,
        cosock::with_timeout(30s, http::async_read(stream, buffer, request, use_task))));
    if (result.error() == http::error::end_of_stream) break;
    result.value();  // throws the error, if there is one
    const auto response = make_response(request);
    co_await cosock::with_timeout(30s, http::async_write(stream, response, use_task));
    if (!response.keep_alive()) break;
  }
}

cosock::task<> serve(cosock::endpoint endpoint, guards limits) {
  cosock::tcp_acceptor acceptor(endpoint);
  announce(acceptor.local_endpoint());
  const auto handler = [limits](cosock::tcp_socket& client) {
    return handle_client(client, limits);
  };
  cosock::serve_options options;
  options.drain = 1s;
  options.max_per_peer = limits.max_per_peer;
  options.first_byte = limits.first_byte;
  co_await cosock::serve(acceptor, handler, options);
}

cosock::task<> get(std::string host, std::string port, std::string target) {
  beast::tcp_stream stream(cosock::release(co_await cosock::connect(host, port)));
  http::request<http::empty_body> request(http::verb::get, target, 11);
  request.set(http::field::host, host);
  co_await http::async_write(stream, request, use_task);
  beast::flat_buffer buffer;
  http::response<http::string_body> response;
  co_await cosock::with_timeout(30s, http::async_read(stream, buffer, response, use_task));
  std::printf("%u\n%s", response.result_int(), response.body().c_str());
}

int main(int argc, char** argv) {
  if (argc < 2 || argv[1][0] == '-') {
    guards limits;
    const cosock::endpoint endpoint =
        endpoint_option(argc, argv,
                        {number_option("--max-per-peer", limits.max_per_peer, 1, 1000000),
                         seconds_option("--first-byte", limits.first_byte),
                         number_option("--min-bytes", limits.bytes, 1, 1000000)});
    return cosock::run(serve(endpoint, limits));
  }
  if (argc != 5 || std::string_view(argv[1]) != "get")
    return cosock::usage_error(
        "usage: beast_http [--host ADDR] [--port PORT], or beast_http get HOST PORT TARGET");
  return cosock::run(get(argv[2], argv[3], argv[4]));
}
