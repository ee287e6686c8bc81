// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// Sends each line of its standard input as a datagram and prints the answer. Datagrams get lost: one
// without an answer is sent again after a second, three times in all.
//
//   udp_echo_client HOST PORT

#include <cosock/cancel.hpp>
#include <cosock/error.hpp>
#include <cosock/run.hpp>
#include <cosock/udp.hpp>

#include <chrono>
#include <iostream>
#include <string>

using namespace std::chrono_literals;

cosock::task<std::string> ask(cosock::udp_socket& server, const std::string& question) {
  char buffer[65536];
  for (int attempt = 1;; ++attempt) {
    try {
      co_await server.send(question);
      const auto answer = co_await cosock::with_timeout(1s, server.receive(buffer));
      co_return std::string(buffer, answer.size);
    } catch (const boost::system::system_error& e) {
      if (e.code() != cosock::error::timed_out || attempt == 3) throw;
    }
  }
}

cosock::task<> client(std::string host, std::string port) {
  cosock::udp_socket server = co_await cosock::connect_udp(host, port);
  for (std::string line; std::getline(std::cin, line);)  // nothing else waits on this loop
    std::cout << co_await ask(server, line) << std::endl;
}

int main(int argc, char** argv) {
  if (argc != 3) return cosock::usage_error("usage: udp_echo_client HOST PORT");
  return cosock::run(client(argv[1], argv[2]));
}
