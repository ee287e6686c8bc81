// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// An echo server behind haproxy, nginx or a load balancer that sends the PROXY protocol. For each
// connection it prints the address of the real client, and what else the proxy says.
//
//   proxied_echo_server [--host ADDR] [--port PORT] [--trust RANGE]... [--untrusted serve|refuse]
//
// Proxies are trusted if they are in a RANGE, such as 10.0.0.0/8 or ::1; without --trust nobody is. Other
// peers are served as themselves, or refused.

#include <cosock/proxy_protocol.hpp>
#include <cosock/run.hpp>
#include <cosock/serve.hpp>

#include <cstdio>
#include <stdexcept>
#include <string_view>

#include "options.hpp"

void print(const cosock::connection& connection) {
  std::string line = "client " + connection.source().to_string() + " at " +
                     connection.destination().to_string() + " by " + connection.peer().to_string();
  if (const cosock::proxy_header* const header = connection.proxy()) {
    if (header->is_local) line += ", the proxy itself";
    if (!header->protocol.empty()) line += ", protocol " + header->protocol;
    if (!header->authority.empty()) line += ", host " + header->authority;
    if (!header->unique_id.empty()) line += ", id " + header->unique_id;
    if (header->tls && header->tls->is_tls) line += ", " + header->tls->version;
    if (header->tls && header->tls->is_verified) line += " of " + header->tls->common_name;
  }
  std::puts(line.c_str());
  std::fflush(stdout);
}

cosock::task<> echo(cosock::tcp_socket& client, const cosock::connection& connection) {
  print(connection);
  char buffer[4096];
  while (std::size_t n = co_await client.receive(buffer))
    co_await client.send(cosock::buffer(buffer, n));
}

cosock::task<> serve(cosock::endpoint endpoint, const cosock::trusted_proxies& trusted,
                     cosock::untrusted_peer untrusted) {
  cosock::tcp_acceptor acceptor(endpoint);
  announce(acceptor.local_endpoint());
  co_await cosock::serve(acceptor, cosock::behind_proxy(trusted, echo, {.untrusted = untrusted}));
}

void add_range(const option& o, const char* text) {
  static_cast<cosock::trusted_proxies*>(o.target)->add(text);
}

void set_untrusted(const option& o, const char* text) {
  using std::string_view_literals::operator""sv;
  if (text != "serve"sv && text != "refuse"sv) throw std::invalid_argument("is serve or refuse");
  *static_cast<cosock::untrusted_peer*>(o.target) =
      text == "serve"sv ? cosock::untrusted_peer::serve : cosock::untrusted_peer::refuse;
}

int main(int argc, char** argv) {
  cosock::trusted_proxies trusted;
  cosock::untrusted_peer untrusted = cosock::untrusted_peer::serve;
  const cosock::endpoint endpoint =
      endpoint_option(argc, argv,
                      {{"--trust", "RANGE", add_range, &trusted},
                       {"--untrusted", "serve|refuse", set_untrusted, &untrusted}});
  return cosock::run(serve(endpoint, trusted, untrusted));
}
