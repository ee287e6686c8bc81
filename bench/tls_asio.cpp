// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
//
// TLS of Asio: ssl::stream with awaitables. See tls_measure.hpp.

#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/connect.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>

#include "tls_measure.hpp"

#include <memory>

namespace {

namespace asio = boost::asio;
using asio::awaitable;
using asio::use_awaitable;
using asio::ip::tcp;
using namespace asio::experimental::awaitable_operators;
using stream = asio::ssl::stream<tcp::socket>;

struct ends {
  std::unique_ptr<stream> client;
  std::unique_ptr<stream> server;
};

class driver {
 public:
  explicit driver(const tls::certificate_pem& pem) {
    server_.use_certificate(asio::buffer(pem.certificate), asio::ssl::context::pem);
    server_.use_private_key(asio::buffer(pem.key), asio::ssl::context::pem);
    client_.add_certificate_authority(asio::buffer(pem.certificate));
    client_.set_verify_mode(asio::ssl::verify_peer);
    SSL_CTX_set_mode(client_.native_handle(), SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_mode(server_.native_handle(), SSL_MODE_RELEASE_BUFFERS);
    tls::keep_sessions(client_.native_handle());
  }
  ends connect(bool resume) {
    ends made;
    run(make(made, resume));
    return made;
  }
  static bool is_resumed(const ends& pair) {
    return SSL_session_reused(pair.client->native_handle()) == 1;
  }
  void close(ends pair) {
    run(pair.client->async_shutdown(use_awaitable) && pair.server->async_shutdown(use_awaitable));
  }
  void round_trips(ends& pair, int count) {
    run(echo(*pair.server, count) && ask(*pair.client, count));
  }
  void bulk(ends& pair, int mebibytes) {
    run(send(*pair.client, mebibytes) && receive(*pair.server, mebibytes));
  }

 private:
  void run(awaitable<void> work) {
    asio::co_spawn(loop_, std::move(work), [](std::exception_ptr e) {
      if (e) std::rethrow_exception(e);
    });
    loop_.restart();
    loop_.run();
  }
  awaitable<void> accept(tcp::socket& into) {
    co_await acceptor_.async_accept(into, use_awaitable);
  }
  awaitable<void> make(ends& made, bool resume) {
    tcp::socket one(loop_);
    tcp::socket other(loop_);
    co_await (accept(other) && one.async_connect(acceptor_.local_endpoint(), use_awaitable));
    one.set_option(tcp::no_delay(true));
    other.set_option(tcp::no_delay(true));
    made.client = std::make_unique<stream>(std::move(one), client_);
    made.server = std::make_unique<stream>(std::move(other), server_);
    SSL* const ssl = made.client->native_handle();
    SSL_set_tlsext_host_name(ssl, "localhost");
    made.client->set_verify_callback(asio::ssl::host_name_verification("localhost"));
    if (resume && tls::kept_session) SSL_set_session(ssl, tls::kept_session);
    co_await (made.client->async_handshake(asio::ssl::stream_base::client, use_awaitable) &&
              made.server->async_handshake(asio::ssl::stream_base::server, use_awaitable));
  }
  static awaitable<void> echo(stream& from, int count) {
    char block[64];
    for (int i = 0; i != count; ++i) {
      co_await asio::async_read(from, asio::buffer(block), use_awaitable);
      co_await asio::async_write(from, asio::buffer(block), use_awaitable);
    }
  }
  static awaitable<void> ask(stream& from, int count) {
    char block[64] = {};
    for (int i = 0; i != count; ++i) {
      co_await asio::async_write(from, asio::buffer(block), use_awaitable);
      co_await asio::async_read(from, asio::buffer(block), use_awaitable);
    }
  }
  static awaitable<void> send(stream& to, int mebibytes) {
    const std::vector<char> block(256 << 10);
    for (int i = 0; i != 4 * mebibytes; ++i)
      co_await asio::async_write(to, asio::buffer(block), use_awaitable);
  }
  static awaitable<void> receive(stream& from, int mebibytes) {
    std::vector<char> block(256 << 10);
    for (std::size_t left = static_cast<std::size_t>(mebibytes) << 20; left != 0;)
      left -= co_await from.async_read_some(asio::buffer(block), use_awaitable);
  }

  asio::io_context loop_{1};
  asio::ssl::context server_{asio::ssl::context::tls_server};
  asio::ssl::context client_{asio::ssl::context::tls_client};
  tcp::acceptor acceptor_{loop_, {asio::ip::address_v4::loopback(), 0}};
};

}  // namespace

int main(int argc, char** argv) { return tls::main<driver>(argc, argv); }
