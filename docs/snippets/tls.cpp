// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

#include <cosock/cosock.hpp>
#include <cosock/tls.hpp>
#include <cosock/tls_error.hpp>

#include <csignal>
#include <string>

#include "check.hpp"

using namespace std::chrono_literals;

namespace {

using cosock::task;

//! [client]
task<std::string> ask(const cosock::tls_client_context& context, std::string host,
                      std::uint16_t port) {
  cosock::tls_stream server = co_await cosock::tls_connect(context, host, port);
  co_await server.send("hello\n");
  cosock::buffered_reader reader(server);
  const auto line = co_await cosock::with_timeout(10s, reader.read_line());
  const std::string answer(line.value_or(""));
  co_await server.finish();
  co_return answer;
}
//! [client]

//! [own]
/// For servers whose certificates an authority of one's own has issued: no other one is trusted.
struct own_authority {
  explicit own_authority(const std::string& file) { context.add_roots_file(file); }
  cosock::tls_client_context context{cosock::tls_roots::none};
};
//! [own]

//! [server]
task<> send_back(cosock::tls_stream& client) {
  cosock::buffered_reader reader(client);
  while (const auto line = co_await cosock::with_timeout(60s, reader.read_line())) {
    const std::string answer = std::string(*line) + "\n";
    co_await cosock::with_timeout(60s, client.send(answer));
  }
}

task<> serve_lines(cosock::tcp_acceptor& acceptor, const cosock::tls_server_context& context,
                   cosock::server_handle& server) {
  co_await cosock::serve(acceptor, cosock::with_tls(context, send_back), server);
}
//! [server]

//! [client_certificates]
task<> greet(cosock::tls_stream& client, const cosock::connection& connection) {
  const auto& peer = connection.tls()->peer;  // verified
  const std::string answer = "hello " + (peer ? peer->subject() : "stranger") + "\n";
  co_await client.send(answer);
}

void ask_for_certificates(cosock::tls_server_context& context, const std::string& authority) {
  context.add_client_roots_file(authority);
  context.set_client_certificates(cosock::tls_client_certificates::optional);
}
//! [client_certificates]

//! [reload]
task<> reload_on_hangup(cosock::tls_server_context& context) {
  cosock::signal_set hangups{SIGHUP};
  for (;;) {
    co_await hangups.wait();
    try {
      context.reload();
    } catch (const boost::system::system_error& e) {
      std::fprintf(stderr, "the old certificate stays: %s\n", e.what());
    }
  }
}
//! [reload]

//! [starttls]
/// The server of an upgrade: the client asks for TLS in plain text.
task<cosock::tls_stream> upgrade(cosock::tcp_socket client,
                                 const cosock::tls_server_context& context) {
  char request[9];
  co_await client.receive_exactly(request);  // "STARTTLS\n": no byte more
  co_await client.send("ready\n");
  co_return co_await cosock::tls_accept(context, std::move(client));
}
//! [starttls]

task<> upgrade_client(cosock::endpoint at, const cosock::tls_client_context& context) {
  cosock::tcp_socket plain = co_await cosock::connect(at);
  co_await plain.send("STARTTLS\n");
  char answer[6];
  co_await plain.receive_exactly(answer);
  cosock::tls_stream secured = co_await cosock::tls_over(context, std::move(plain), "localhost");
  co_await secured.finish();
}

task<> prove(const char* certificate, const char* key) {
  const own_authority trusted(certificate);
  cosock::tls_server_context context(cosock::tls_identity::from_files(certificate, key));
  cosock::tcp_acceptor acceptor({cosock::address::loopback_v4(), 0});
  const cosock::endpoint at = acceptor.local_endpoint();
  cosock::server_handle server;
  const auto clients = [&]() -> task<> {
    check(co_await ask(trusted.context, "localhost", at.port()) == "hello");
    const auto other = co_await cosock::as_result(ask(trusted.context, "127.0.0.1", at.port()));
    check(other.error() == cosock::tls_errc::name_mismatch);
    const cosock::tls_client_context system;
    const auto unknown = co_await cosock::as_result(ask(system, "localhost", at.port()));
    check(unknown.error() == cosock::tls_errc::unknown_authority);
    server.stop();
  };
  co_await cosock::when_all(serve_lines(acceptor, context, server), clients());
}

task<> prove_the_rest(const char* certificate, const char* key) {
  own_authority trusted(certificate);
  trusted.context.set_certificate(cosock::tls_identity::from_files(certificate, key));
  cosock::tls_server_context context(cosock::tls_identity::from_files(certificate, key));
  cosock::tcp_acceptor acceptor({cosock::address::loopback_v4(), 0});
  const cosock::endpoint at = acceptor.local_endpoint();
  const auto upgrading = [&]() -> task<> {
    cosock::tls_stream client = co_await upgrade(co_await acceptor.accept(), context);
    co_await client.finish();
  };
  co_await cosock::when_all(upgrading(), upgrade_client(at, trusted.context));

  ask_for_certificates(context, certificate);
  cosock::server_handle server;
  const auto client = [&]() -> task<> {
    check(co_await ask(trusted.context, "localhost", at.port()) == "hello CN=localhost");
    server.stop();
  };
  co_await cosock::when_all(cosock::serve(acceptor, cosock::with_tls(context, greet), server),
                            client());

  const auto hang_up = [&]() -> task<> {
    co_await cosock::yield();
    std::raise(SIGHUP);
    co_await cosock::yield();
  };
  co_await cosock::when_any(reload_on_hangup(context), hang_up());
}

task<> all(const char* certificate, const char* key) {
  co_await prove(certificate, key);
  co_await prove_the_rest(certificate, key);
}

}  // namespace

int main(int argc, char** argv) {
  check(argc == 3);
  return run_snippets(all(argv[1], argv[2]));
}
