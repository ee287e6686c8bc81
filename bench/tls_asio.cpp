// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
//
// TLS of Asio: ssl::stream with awaitables. See tls_measure.hpp.

#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/connect.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>

#include "tls_certificate.hpp"
#include "tls_measure.hpp"

#include <memory>
#include <vector>

namespace {

namespace asio = boost::asio;
using asio::awaitable;
using asio::use_awaitable;
using asio::ip::tcp;
using namespace asio::experimental::awaitable_operators;
using stream = asio::ssl::stream<tcp::socket>;

SSL_SESSION* kept = nullptr;

struct contexts {
  explicit contexts(const tls_certificate_pem& pem)
      : server(asio::ssl::context::tls_server), client(asio::ssl::context::tls_client) {
    server.use_certificate(asio::buffer(pem.certificate), asio::ssl::context::pem);
    server.use_private_key(asio::buffer(pem.key), asio::ssl::context::pem);
    client.add_certificate_authority(asio::buffer(pem.certificate));
    client.set_verify_mode(asio::ssl::verify_peer);
    SSL_CTX* const c = client.native_handle();
    SSL_CTX_set_mode(c, SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_mode(server.native_handle(), SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_session_cache_mode(c, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(c, [](SSL*, SSL_SESSION* session) {
      SSL_SESSION_free(kept);
      kept = session;
      return 1;
    });
  }
  asio::ssl::context server;
  asio::ssl::context client;
};

struct ends {
  std::unique_ptr<stream> client;
  std::unique_ptr<stream> server;
};

awaitable<ends> connect(contexts& with, tcp::acceptor& acceptor, bool resume) {
  tcp::socket one(acceptor.get_executor());
  const auto accepting = [&]() -> awaitable<tcp::socket> {
    co_return co_await acceptor.async_accept(use_awaitable);
  };
  tcp::socket other =
      co_await (accepting() && one.async_connect(acceptor.local_endpoint(), use_awaitable));
  one.set_option(tcp::no_delay(true));
  other.set_option(tcp::no_delay(true));
  ends made{std::make_unique<stream>(std::move(one), with.client),
            std::make_unique<stream>(std::move(other), with.server)};
  SSL_set_tlsext_host_name(made.client->native_handle(), "localhost");
  made.client->set_verify_callback(asio::ssl::host_name_verification("localhost"));
  if (resume && kept) SSL_set_session(made.client->native_handle(), kept);
  co_await (made.client->async_handshake(asio::ssl::stream_base::client, use_awaitable) &&
            made.server->async_handshake(asio::ssl::stream_base::server, use_awaitable));
  co_return made;
}

awaitable<void> round_trips(ends& pair, int count) {
  const auto echo = [&]() -> awaitable<void> {
    char block[64];
    for (int i = 0; i != count; ++i) {
      co_await asio::async_read(*pair.server, asio::buffer(block), use_awaitable);
      co_await asio::async_write(*pair.server, asio::buffer(block), use_awaitable);
    }
  };
  const auto ask = [&]() -> awaitable<void> {
    char block[64] = {};
    for (int i = 0; i != count; ++i) {
      co_await asio::async_write(*pair.client, asio::buffer(block), use_awaitable);
      co_await asio::async_read(*pair.client, asio::buffer(block), use_awaitable);
    }
  };
  co_await (echo() && ask());
}

awaitable<void> bulk(ends& pair, int mebibytes) {
  const auto send = [&]() -> awaitable<void> {
    const std::vector<char> block(256 << 10);
    for (int i = 0; i != 4 * mebibytes; ++i)
      co_await asio::async_write(*pair.client, asio::buffer(block), use_awaitable);
  };
  const auto receive = [&]() -> awaitable<void> {
    std::vector<char> block(256 << 10);
    for (std::size_t left = static_cast<std::size_t>(mebibytes) << 20; left != 0;)
      left -= co_await pair.server->async_read_some(asio::buffer(block), use_awaitable);
  };
  co_await (send() && receive());
}

awaitable<void> measure(contexts& with, tls_task what) {
  tcp::acceptor acceptor(co_await asio::this_coro::executor, {asio::ip::address_v4::loopback(), 0});
  if (what.what == "handshakes" || what.what == "resumed") {
    const bool resume = what.what == "resumed";
    const tls_rate rate;
    for (int i = 0; i != what.count; ++i) {
      ends pair = co_await connect(with, acceptor, resume);
      if (resume) co_await round_trips(pair, 1);
    }
    rate.print(what.count);
    co_return;
  }
  ends first = co_await connect(with, acceptor, false);
  if (what.what == "round-trips") {
    co_await round_trips(first, what.count);
  } else if (what.what == "bulk") {
    const tls_rate rate;
    co_await bulk(first, what.count);
    rate.print(what.count);
  } else {
    std::vector<ends> all;
    all.reserve(static_cast<std::size_t>(what.count));
    const std::size_t before = bytes_in_use();
    for (int i = 0; i != what.count; ++i) {
      ends made = co_await connect(with, acceptor, false);
      all.push_back(std::move(made));
      co_await round_trips(all.back(), 1);
    }
    std::printf("%zu\n", (bytes_in_use() - before) / (2 * static_cast<std::size_t>(what.count)));
  }
}

}  // namespace

int main(int argc, char** argv) {
  const tls_task what = tls_arguments(argc, argv);
  contexts with(make_tls_certificate());
  asio::io_context loop(1);
  asio::co_spawn(loop, measure(with, what), [](std::exception_ptr e) {
    if (e) std::rethrow_exception(e);
  });
  loop.run();
}
