// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// Fetches the page / of a web server over HTTPS, and prints the answer. If the server's certificate is
// refused, it says why, and exits with status 1.
//
//   https_get HOST [PORT]
//
// It trusts the authorities of the system. With the environment variable SSL_CERT_FILE, OpenSSL reads
// them from another file.

#include <cosock/run.hpp>
#include <cosock/tls.hpp>

#include <cstdio>
#include <string>

cosock::task<> get(std::string host, std::uint16_t port) {
  cosock::tls_client_context context;
  context.set_protocols({"http/1.1"});
  cosock::tls_stream stream = co_await cosock::tls_connect(context, host, port);
  const std::string request =
      "GET / HTTP/1.1\r\nHost: " + host + "\r\nConnection: close\r\nAccept: */*\r\n\r\n";
  co_await stream.send(request);
  char buffer[4096];
  while (const std::size_t n = co_await stream.receive(buffer)) std::fwrite(buffer, 1, n, stdout);
  co_await stream.finish();
}

int main(int argc, char** argv) {
  if (argc != 2 && argc != 3) return cosock::usage_error("usage: https_get HOST [PORT]");
  std::uint16_t port = 443;
  try {
    if (argc == 3) port = cosock::endpoint::parse_port(argv[2]);
  } catch (const std::exception& e) {
    return cosock::usage_error(e.what());
  }
  return cosock::run(get(argv[1], port));
}
