// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// Sends each line back over TLS. asio::ssl::stream encrypts, asio_stream makes it a byte_stream,
// and buffered_reader reads lines as from any byte_stream. The line "quit" ends the connection, and
// so do 60 seconds without a line.
//
//   tls_lines CERTIFICATE KEY [--host ADDR] [--port PORT] [--idle SECONDS]
//   openssl s_client -quiet -connect 127.0.0.1:7000       a client
//
// CERTIFICATE and KEY are PEM files.

#include <cosock/asio.hpp>
#include <cosock/reader.hpp>
#include <cosock/run.hpp>
#include <cosock/serve.hpp>
#include <cosock/tcp.hpp>

#include <boost/asio/ssl.hpp>

#include <chrono>
#include <string>
#include <system_error>

#include "options.hpp"

namespace asio = boost::asio;
using namespace std::chrono_literals;
using tls_socket = asio::ssl::stream<asio::ip::tcp::socket>;

/// The handler of a connection.
struct handle_client {
  asio::ssl::context& context;
  std::chrono::milliseconds idle_limit;

  cosock::task<> operator()(cosock::tcp_socket client) {
    cosock::asio_stream<tls_socket> stream(std::in_place, cosock::release(std::move(client)),
                                           context);
    co_await cosock::with_timeout(
        10s, stream.next_layer().async_handshake(tls_socket::server, cosock::use_task));
    cosock::buffered_reader reader(stream, {.max_line = 1000});
    while (const auto line = co_await cosock::with_timeout(idle_limit, reader.read_line())) {
      if (*line == "quit") break;
      const std::string answer = std::string(*line) + "\n";
      co_await cosock::with_timeout(idle_limit, stream.send(answer));
    }
    co_await stream.finish();
  }
};

void throw_on_error(const boost::system::error_code& error, const char* path) {
  if (error) throw std::system_error(error, path);
}

cosock::task<> serve(cosock::endpoint endpoint, std::chrono::milliseconds idle_limit,
                     const char* certificate, const char* key) {
  asio::ssl::context context(asio::ssl::context::tls_server);
  boost::system::error_code error;
  throw_on_error(context.use_certificate_chain_file(certificate, error), certificate);
  throw_on_error(context.use_private_key_file(key, asio::ssl::context::pem, error), key);
  cosock::tcp_acceptor acceptor(endpoint);
  announce(acceptor.local_endpoint());
  co_await cosock::serve(acceptor, handle_client{context, idle_limit}, {.drain = 1s});
}

int main(int argc, char** argv) {
  if (argc < 3)
    return cosock::usage_error(
        "usage: tls_lines CERTIFICATE KEY [--host ADDR] [--port PORT] "
        "[--idle SECONDS]");
  std::chrono::milliseconds idle_limit = 60s;
  const auto endpoint = endpoint_option(argc - 2, argv + 2, {seconds_option("--idle", idle_limit)});
  return cosock::run(serve(endpoint, idle_limit, argv[1], argv[2]));
}
