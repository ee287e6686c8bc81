// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// bridge_tls CERTIFICATE KEY: PEM files for the name localhost.

#include <cosock/asio.hpp>
#include <cosock/cosock.hpp>

#include <boost/asio/read_until.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/asio/write.hpp>

#include <stdexcept>
#include <string>

#include "check.hpp"

namespace asio = boost::asio;
using namespace std::chrono_literals;

namespace {

using cosock::task;
using cosock::use_task;

//! [tls]
using tls_stream = asio::ssl::stream<cosock::async_stream>;

/// One context is enough for a program. It trusts the certificates of a PEM file or of the system.
asio::ssl::context make_client_context(const char* trusted = nullptr) {
  asio::ssl::context context(asio::ssl::context::tls_client);
  context.set_options(asio::ssl::context::no_tlsv1 | asio::ssl::context::no_tlsv1_1);
  trusted ? context.load_verify_file(trusted) : context.set_default_verify_paths();
  context.set_verify_mode(asio::ssl::verify_peer);  // the default is to accept any certificate
  return context;
}

task<> shake_hands(tls_stream& tls, const std::string& host) {
  // Server name indication: the server sends the certificate of this name.
  if (SSL_set_tlsext_host_name(tls.native_handle(), host.c_str()) != 1)
    throw std::runtime_error(host + ": no name for TLS");
  tls.set_verify_callback(asio::ssl::host_name_verification(host));  // checks the name
  co_await cosock::with_timeout(10s, tls.async_handshake(tls_stream::client, use_task));
}

task<std::string> ask(std::string host, std::string port, asio::ssl::context& context) {
  cosock::tcp_socket socket = co_await cosock::connect(host, port);
  tls_stream tls(cosock::async_stream(socket), context);
  co_await shake_hands(tls, host);
  co_await asio::async_write(tls, asio::buffer("hello\n", 6), use_task);
  std::string line;
  co_await cosock::with_timeout(
      10s, asio::async_read_until(tls, asio::dynamic_buffer(line, 1000), '\n', use_task));
  co_await cosock::with_timeout(10s, tls.async_shutdown(use_task));  // both send close_notify
  co_return line;
}
//! [tls]

/// Sends one line back, after the server name that the client has sent.
task<> send_back(cosock::tcp_socket& client, asio::ssl::context& context) {
  tls_stream tls(cosock::async_stream(client), context);
  co_await tls.async_handshake(tls_stream::server, use_task);
  const char* const name = SSL_get_servername(tls.native_handle(), TLSEXT_NAMETYPE_host_name);
  std::string line;
  co_await asio::async_read_until(tls, asio::dynamic_buffer(line, 1000), '\n', use_task);
  line = std::string(name ? name : "nobody") + ": " + line;
  co_await asio::async_write(tls, asio::buffer(line), use_task);
  co_await tls.async_shutdown(use_task);
}

task<> ask_a_server(const char* certificate, const char* key) {
  asio::ssl::context server_context(asio::ssl::context::tls_server);
  server_context.use_certificate_chain_file(certificate);
  server_context.use_private_key_file(key, asio::ssl::context::pem);
  cosock::tcp_acceptor acceptor({cosock::address::loopback_v4(), 0});
  const std::string port = std::to_string(acceptor.local_endpoint().port());
  cosock::server_handle server;
  int refused = 0;
  const auto observer = [&](const std::exception_ptr&) { ++refused; };
  cosock::serve_options options;
  options.on_error = observer;
  const auto handler = [&](cosock::tcp_socket& client) {
    return send_back(client, server_context);
  };

  const auto clients = [&]() -> task<> {
    asio::ssl::context client_context = make_client_context(certificate);
    check(co_await ask("localhost", port, client_context) == "localhost: hello\n");
    // A trusted certificate for another name, and an untrusted certificate.
    const auto other_name = co_await cosock::as_result(ask("127.0.0.1", port, client_context));
    check(other_name.error().category() == asio::error::get_ssl_category());
    asio::ssl::context system_context = make_client_context();
    const auto unknown = co_await cosock::as_result(ask("localhost", port, system_context));
    check(unknown.error().category() == asio::error::get_ssl_category());
    server.stop();
  };
  co_await cosock::when_all(cosock::serve(acceptor, handler, server, options), clients());
  check(refused == 2);
}

}  // namespace

int main(int argc, char** argv) {
  check(argc == 3);
  return run_snippets(ask_a_server(argv[1], argv[2]));
}
