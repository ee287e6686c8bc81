// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// The same as library.cpp for cosock-tls.

#include <cosock/finish.hpp>
#include <cosock/run.hpp>
#include <cosock/serve.hpp>
#include <cosock/tls.hpp>
#include <cosock/tls_error.hpp>

#include <memory>
#include <string>

namespace {

cosock::task<> by_reference(cosock::tls_stream& stream) { co_await stream.finish(); }
cosock::task<> by_value(cosock::tls_stream stream, const cosock::connection& connection) {
  if (connection.tls() != nullptr) co_await stream.send(connection.tls()->protocol);
}

cosock::task<> use(std::string host, std::uint16_t port) {
  cosock::tls_client_context client;
  client.set_protocols({"h2", "http/1.1"});
  client.set_certificate(cosock::tls_identity::from_files("certificate", "key"));
  try {
    cosock::tls_stream stream = co_await cosock::tls_connect(
        client, host, port, {.timeout = std::chrono::seconds(5), .tcp = {.no_delay = false}});
    char buffer[100];
    static_cast<void>(co_await stream.receive(buffer));
    static_cast<void>(co_await stream.finish(std::chrono::milliseconds(10)));
    cosock::tls_stream inner =
        co_await cosock::tls_over(client, std::move(stream), std::string("inner"));
    inner.close();
  } catch (const cosock::tls_error& e) {
    if (e.code() == cosock::tls_errc::name_mismatch || e.from_peer()) throw;
  }
  cosock::tls_server_context server(cosock::tls_identity::from_pem("certificate", "key"));
  server.add("*.example.org", cosock::tls_identity::from_pkcs12_file("file", "password"));
  server.set_client_certificates(cosock::tls_client_certificates::optional);
  cosock::tcp_acceptor acceptor({cosock::address::loopback_v4(), 0});
  co_await cosock::serve(acceptor, cosock::with_tls(server, by_reference));
  co_await cosock::serve(acceptor, cosock::with_tls(server, by_value, {.accept_truncation = true}));
  int calls = 0;
  const auto counting = [&](cosock::tls_stream& stream) -> cosock::task<> {
    ++calls;
    co_await stream.send("x");
  };
  co_await cosock::serve(acceptor, cosock::with_tls(server, counting));
  cosock::tcp_socket accepted = co_await acceptor.accept();
  cosock::tls_stream last = co_await cosock::tls_accept(server, std::move(accepted));
  const cosock::tls_facts facts = last.facts();
  if (facts.peer) host = facts.peer->subject();
}

}  // namespace

int main() { return cosock::run(use("localhost", 443)); }
