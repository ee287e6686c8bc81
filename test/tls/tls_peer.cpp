// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// Our side of the tests with other implementations of TLS, where a sample has not the options:
//
//   tls_peer server [OPTION VALUE]...        serves on a port that it prints
//   tls_peer client PORT [OPTION VALUE]...   connects to localhost
//
//   certificate FILE, key FILE   of this side, PEM
//   roots FILE                   the authorities; a server then requires certificates of its clients
//   protocols A,B                for ALPN
//   times N                      how often a client connects, one connection after another; 1
//   does echo                    sends back what it receives, until the peer ends
//   does page                    a client asks for a web page and prints it, a server has one; the default
//
// It prints a line `agreed: ` for each handshake, and a line `refused: ` for each that fails.

#include <cosock/cosock.hpp>
#include <cosock/tls.hpp>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <string>
#include <vector>

namespace {

using cosock::task;
using cosock::tls_stream;

std::map<std::string, std::string> options;

std::vector<std::string> protocols() {
  std::vector<std::string> all;
  std::string text = options["protocols"];
  while (!text.empty()) {
    const std::size_t comma = std::min(text.find(','), text.size());
    all.push_back(text.substr(0, comma));
    text.erase(0, comma + 1);
  }
  return all;
}

void print(const char* what, const std::string& text) {
  std::printf("%s: %s\n", what, text.c_str());
  std::fflush(stdout);
}

void print_facts(const cosock::tls_facts& facts) {
  print("agreed",
        std::string(facts.version == cosock::tls_version::tls_1_3 ? "TLS 1.3" : "TLS 1.2") +
            ", protocol [" + facts.protocol + "], " + (facts.is_resumed ? "resumed" : "new") +
            ", peer [" + (facts.peer ? facts.peer->subject() : "") + "]");
}

void print_error(const std::exception_ptr& error, std::string_view) {
  print("refused", cosock::error_message(error));
}

task<> echo(tls_stream& stream) {
  char block[4096];
  while (const std::size_t n = co_await stream.receive(block))
    co_await stream.send(cosock::buffer(block, n));
}

task<> send_page(tls_stream& stream) {
  cosock::buffered_reader reader(stream);
  while (const auto line = co_await reader.read_line())
    if (line->empty()) break;
  co_await stream.send("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nthe page of cosock\n");
}

task<> serve() {
  cosock::tls_server_context context(
      cosock::tls_identity::from_files(options["certificate"], options["key"]));
  if (!options["roots"].empty()) {
    context.add_client_roots_file(options["roots"]);
    context.set_client_certificates(cosock::tls_client_certificates::required);
  }
  if (!options["protocols"].empty()) context.set_protocols(protocols());
  cosock::tcp_acceptor acceptor({cosock::address::loopback_v4(), 0});
  print("listening on", std::to_string(acceptor.local_endpoint().port()));
  const auto handle = [](tls_stream& stream, const cosock::connection& connection) -> task<> {
    print_facts(*connection.tls());
    if (options["does"] == "echo")
      co_await echo(stream);
    else
      co_await send_page(stream);
  };
  co_await cosock::serve(acceptor, cosock::with_tls(context, handle), {.on_error = print_error});
}

task<> fetch_page(tls_stream& stream) {
  co_await stream.send("GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
  char block[4096];
  while (const std::size_t n = co_await stream.receive(block)) std::fwrite(block, 1, n, stdout);
}

task<int> come(std::uint16_t port) {
  cosock::tls_client_context context(cosock::tls_roots::none);
  context.add_roots_file(options["roots"]);
  if (!options["certificate"].empty())
    context.set_certificate(
        cosock::tls_identity::from_files(options["certificate"], options["key"]));
  if (!options["protocols"].empty()) context.set_protocols(protocols());
  const int times = options["times"].empty() ? 1 : std::atoi(options["times"].c_str());
  try {
    for (int i = 0; i != times; ++i) {
      // Servers that answer one request may leave out close_notify.
      tls_stream stream = co_await cosock::tls_connect(
          context, "localhost", port,
          {.accept_truncation = true, .tcp = {.family = cosock::family::v4}});
      print_facts(stream.facts());
      if (options["does"] == "echo")
        co_await echo(stream);
      else
        co_await fetch_page(stream);
      co_await stream.finish();
    }
  } catch (...) {
    print_error(std::current_exception(), {});
    co_return 1;
  }
  co_return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string side = argc > 1 ? argv[1] : "";
  const int first = side == "client" ? 3 : 2;
  if ((side != "client" && side != "server") || argc < first || (argc - first) % 2 != 0)
    return cosock::usage_error("usage: tls_peer server|client PORT [OPTION VALUE]...");
  for (int i = first; i < argc; i += 2) options[argv[i]] = argv[i + 1];
  if (side == "server") return cosock::run(serve());
  return cosock::run(come(cosock::endpoint::parse_port(argv[2])));
}
