// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// A proxy for tests with other implementations: connects, sends a PROXY header for the client
// 192.0.2.7:4321 at 198.51.100.9:80 and then its input, and prints what it receives.
//
//   send_header PORT 1|2|2-with-checksum

#include <cosock/connect.hpp>
#include <cosock/copy.hpp>
#include <cosock/descriptor_stream.hpp>
#include <cosock/proxy_header.hpp>
#include <cosock/run.hpp>
#include <cosock/tcp.hpp>

#include <cstdio>
#include <string_view>

namespace {

cosock::task<> talk(std::string port, std::string_view version) {
  const cosock::proxy_header header(cosock::endpoint::parse("192.0.2.7:4321"),
                                    cosock::endpoint::parse("198.51.100.9:80"));
  cosock::proxy_format format;
  if (version == "1") format.version = cosock::proxy_version::v1;
  format.checksum = version == "2-with-checksum";
  cosock::tcp_socket to = co_await cosock::connect("127.0.0.1", cosock::endpoint::parse_port(port));
  co_await cosock::send_proxy_header(to, header, format);
  std::string line;
  for (int c = 0; (c = std::getchar()) != EOF;) line += static_cast<char>(c);
  co_await to.send(line);
  const std::string answer = co_await cosock::receive_to_end(to, 1 << 20);
  std::fwrite(answer.data(), 1, answer.size(), stdout);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) return cosock::usage_error("usage: send_header PORT 1|2|2-with-checksum");
  return cosock::run(talk(argv[1], argv[2]));
}
