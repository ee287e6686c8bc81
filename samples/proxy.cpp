// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// Forwards each connection to a target, in both directions, until both sides have ended.
//
//   proxy LISTEN TARGET
//
// TARGET is HOST:PORT for TCP, or for a local socket a PATH that contains a /, or @NAME. LISTEN is
// the same, with the address of an interface as its host.

#include <cosock/connect.hpp>
#include <cosock/copy.hpp>
#include <cosock/error.hpp>
#include <cosock/local.hpp>
#include <cosock/run.hpp>
#include <cosock/serve.hpp>
#include <cosock/tcp.hpp>

#include <cstdio>
#include <exception>
#include <stdexcept>
#include <string>

/// The address of one side: a host and a port, or a local socket.
struct location {
  std::string text;
  std::string host;
  std::string port;
  cosock::local_endpoint local;
  bool is_local() const { return port.empty(); }
};

location parse(const std::string& text) {
  location result;
  result.text = text;
  if (text.find('/') != text.npos || text.starts_with('@')) {
    result.local = cosock::local_endpoint::parse(text);
    return result;
  }
  const std::size_t colon = text.rfind(':');
  if (colon == text.npos)
    throw std::invalid_argument('"' + text + "\": neither HOST:PORT, a PATH with a /, nor @NAME");
  result.host = text.substr(0, colon);
  if (result.host.starts_with('[') && result.host.ends_with(']'))
    result.host = result.host.substr(1, result.host.size() - 2);  // an IPv6 address
  result.port = text.substr(colon + 1);
  (void)cosock::endpoint::parse_port(result.port);
  return result;
}

cosock::task<> forward_connection(cosock::byte_stream& client, const location& target) {
  cosock::copy_result result;
  if (target.is_local()) {
    cosock::local_stream_socket server = co_await cosock::connect(target.local);
    result = co_await cosock::copy_both(client, server);
  } else {
    cosock::tcp_socket server = co_await cosock::connect(target.host, target.port);
    result = co_await cosock::copy_both(client, server);
  }
  if (result.error) throw boost::system::system_error(result.error);
}

template <class Acceptor>
cosock::task<> serve_acceptor(Acceptor& acceptor, const location& target) {
  std::printf("listening on %s\n", acceptor.local_endpoint().to_string().c_str());
  std::fflush(stdout);
  co_await cosock::serve(
      acceptor, [&](cosock::byte_stream& client) { return forward_connection(client, target); });
}

cosock::task<> proxy(location source, location target) {
  if (source.is_local()) {
    cosock::local_acceptor acceptor(source.local);
    co_await serve_acceptor(acceptor, target);
  } else {
    cosock::tcp_acceptor acceptor(cosock::endpoint::parse(source.text));
    co_await serve_acceptor(acceptor, target);
  }
}

int main(int argc, char** argv) {
  if (argc != 3) return cosock::usage_error("usage: proxy LISTEN TARGET");
  location locations[2];
  try {
    for (int i = 0; i != 2; ++i) locations[i] = parse(argv[i + 1]);
    if (!locations[0].is_local()) (void)cosock::endpoint::parse(locations[0].text);
  } catch (const std::exception& e) {
    return cosock::usage_error(e.what());
  }
  return cosock::run(proxy(locations[0], locations[1]));
}
