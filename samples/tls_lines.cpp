// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// Sends back each line over TLS: asio::ssl::stream does the encryption, asio_stream makes it a
// byte_stream, and buffered_reader reads lines from that as from any other. "quit" ends a
// connection, and so do 60 seconds without a line.
//
//   tls_lines CERTIFICATE KEY [--host ADDR] [--port PORT] [--idle SECONDS]      PEM files
//   openssl s_client -quiet -connect 127.0.0.1:7000

#include <cosock/asio.hpp>
#include <cosock/reader.hpp>
#include <cosock/run.hpp>
#include <cosock/serve.hpp>
#include <cosock/tcp.hpp>

#include <boost/asio/ssl.hpp>

#include <chrono>
#include <cstdio>
#include <string>
#include <system_error>

#include "options.hpp"

namespace asio = boost::asio;
using namespace std::chrono_literals;
using tls_socket = asio::ssl::stream<asio::ip::tcp::socket>;

struct talk {
  asio::ssl::context& context;
  std::chrono::milliseconds idle;

  cosock::task<> operator()(cosock::tcp_socket client) {
    cosock::asio_stream<tls_socket> stream(std::in_place, cosock::release(std::move(client)),
                                           context);
    co_await cosock::with_timeout(
        10s, stream.next_layer().async_handshake(tls_socket::server, cosock::use_task));
    cosock::buffered_reader reader(stream, {.max_line = 1000});
    while (const auto line = co_await cosock::with_timeout(idle, reader.read_line())) {
      if (*line == "quit") break;
      const std::string answer = std::string(*line) + "\n";
      co_await cosock::with_timeout(idle, stream.send(answer));
    }
    co_await stream.finish();
  }
};

void must(const boost::system::error_code& error, const char* path) {
  if (error) throw std::system_error(error, path);
}

cosock::task<> serve(cosock::endpoint at, std::chrono::milliseconds idle, const char* certificate,
                     const char* key) {
  asio::ssl::context context(asio::ssl::context::tls_server);
  boost::system::error_code error;
  must(context.use_certificate_chain_file(certificate, error), certificate);
  must(context.use_private_key_file(key, asio::ssl::context::pem, error), key);
  cosock::tcp_acceptor acceptor(at);
  std::printf("listening on %s\n", acceptor.local_endpoint().to_string().c_str());
  std::fflush(stdout);
  co_await cosock::serve(acceptor, talk{context, idle}, {.drain = 1s});
}

int main(int argc, char** argv) {
  if (argc < 3)
    return cosock::usage_error("usage: tls_lines CERTIFICATE KEY [--host ADDR] [--port PORT] "
                               "[--idle SECONDS]");
  std::chrono::milliseconds idle = 60s;
  const auto at = endpoint_option(argc - 2, argv + 2, {seconds_option("--idle", idle)});
  return cosock::run(serve(at, idle, argv[1], argv[2]));
}
