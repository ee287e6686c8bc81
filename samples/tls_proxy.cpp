// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// Ends TLS in front of a server that speaks plain TCP: forwards each connection, decrypted, to the target,
// in both directions, until both sides have ended.
//
//   tls_proxy CERTIFICATE KEY TARGET-HOST TARGET-PORT [--host ADDR] [--port PORT]
//
// CERTIFICATE and KEY are PEM files.

#include <cosock/connect.hpp>
#include <cosock/copy.hpp>
#include <cosock/run.hpp>
#include <cosock/serve.hpp>
#include <cosock/tls.hpp>

#include <string>

#include "options.hpp"

cosock::task<> forward(cosock::tls_stream& client, const std::string& host, std::uint16_t port) {
  cosock::tcp_socket server = co_await cosock::connect(host, port);
  const cosock::copy_result result = co_await cosock::copy_both(client, server);
  if (result.error) throw boost::system::system_error(result.error);
}

cosock::task<> proxy(cosock::endpoint endpoint, std::string certificate, std::string key,
                     std::string host, std::uint16_t port) {
  const cosock::tls_server_context context(cosock::tls_identity::from_files(certificate, key));
  cosock::tcp_acceptor acceptor(endpoint);
  announce(acceptor.local_endpoint());
  const auto handler = [&](cosock::tls_stream& client) { return forward(client, host, port); };
  co_await cosock::serve(acceptor, cosock::with_tls(context, handler));
}

int main(int argc, char** argv) {
  if (argc < 5)
    return cosock::usage_error(
        "usage: tls_proxy CERTIFICATE KEY TARGET-HOST TARGET-PORT [--host ADDR] [--port PORT]");
  std::uint16_t port = 0;
  try {
    port = cosock::endpoint::parse_port(argv[4]);
  } catch (const std::exception& e) {
    return cosock::usage_error(e.what());
  }
  const auto endpoint = endpoint_option(argc - 4, argv + 4);
  return cosock::run(proxy(endpoint, argv[1], argv[2], argv[3], port));
}
