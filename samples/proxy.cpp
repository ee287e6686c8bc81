// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// Passes each connection on to a target, both ways, until both sides have ended.
//
//   proxy LISTEN TARGET        each HOST:PORT (LISTEN: ADDR:PORT), a PATH with a /, or @NAME

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

/// A host and a port, or the name of a local socket.
struct place {
  std::string text;
  std::string host;
  std::string port;
  cosock::local_endpoint local;
  bool is_local() const { return port.empty(); }
};

place parse(const std::string& text) {
  place p;
  p.text = text;
  if (text.find('/') != text.npos || text.starts_with('@')) {
    p.local = cosock::local_endpoint::parse(text);
    return p;
  }
  const std::size_t colon = text.rfind(':');
  if (colon == text.npos)
    throw std::invalid_argument('"' + text + "\": neither HOST:PORT, a PATH with a /, nor @NAME");
  p.host = text.substr(0, colon);
  if (p.host.starts_with('[') && p.host.ends_with(']')) p.host = p.host.substr(1, p.host.size() - 2);
  p.port = text.substr(colon + 1);
  (void)cosock::parse_port(p.port);
  return p;
}

cosock::task<> pass_on(cosock::byte_stream& client, const place& target) {
  cosock::copied result;
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
cosock::task<> serve_on(Acceptor& acceptor, const place& target) {
  std::printf("listening on %s\n", acceptor.local_endpoint().to_string().c_str());
  std::fflush(stdout);
  co_await cosock::serve(acceptor, [&](cosock::byte_stream& client) {
    return pass_on(client, target);
  });
}

cosock::task<> proxy(place at, place target) {
  if (at.is_local()) {
    cosock::local_acceptor acceptor(at.local);
    co_await serve_on(acceptor, target);
  } else {
    cosock::tcp_acceptor acceptor(cosock::endpoint::parse(at.text));
    co_await serve_on(acceptor, target);
  }
}

int main(int argc, char** argv) {
  if (argc != 3) return cosock::usage_error("usage: proxy LISTEN TARGET");
  place ends[2];
  try {
    for (int i = 0; i != 2; ++i) ends[i] = parse(argv[i + 1]);
    if (!ends[0].is_local()) (void)cosock::endpoint::parse(ends[0].text);
  } catch (const std::exception& e) {
    return cosock::usage_error(e.what());
  }
  return cosock::run(proxy(ends[0], ends[1]));
}
