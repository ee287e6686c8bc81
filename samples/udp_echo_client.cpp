// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// Sends each line of its standard input as a datagram, and prints the answer. Datagrams can be
// lost: after a second without an answer, the client sends the datagram again, three times in
// total. Then an earlier answer can arrive late, or twice. For this reason each request begins with
// a number, which the server returns; the client discards answers with another number.
//
//   udp_echo_client HOST PORT

#include <cosock/cancel.hpp>
#include <cosock/error.hpp>
#include <cosock/run.hpp>
#include <cosock/udp.hpp>

#include <chrono>
#include <iostream>
#include <string>
#include <string_view>

#include "options.hpp"

using namespace std::chrono_literals;

cosock::task<std::string> receive_answer(cosock::udp_socket& server, const std::string& number) {
  char buffer[65536];
  for (;;) {
    const auto received = co_await server.receive(buffer);
    const std::string_view answer(buffer, received.size);
    if (answer.starts_with(number)) co_return std::string(answer.substr(number.size()));
  }
}

cosock::task<std::string> request(cosock::udp_socket& server, std::string number,
                                  std::string line) {
  const std::string datagram = number + line;
  for (int attempt = 1;; ++attempt) {
    try {
      co_await server.send(datagram);
      co_return co_await cosock::with_timeout(1s, receive_answer(server, number));
    } catch (const boost::system::system_error& e) {
      if (e.code() != cosock::error::timed_out || attempt == 3) throw;
    }
  }
}

cosock::task<> client(std::string host, std::string port) {
  cosock::udp_socket server = co_await cosock::connect_udp(host, port);
  std::string line;
  // std::getline blocks the loop, which has no other task.
  for (unsigned number = 1; std::getline(std::cin, line); ++number) {
    const std::string answer = co_await request(server, std::to_string(number) + ' ', line);
    std::cout << answer << std::endl;
  }
}

int main(int argc, char** argv) {
  if (argc != 3) return cosock::usage_error("usage: udp_echo_client HOST PORT");
  return cosock::run(client(argv[1], port_argument(argv[2])));
}
