// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// Sends its standard input to a server and prints the data that it receives, both at the same
// time, until both have ended.
//
//   echo_client HOST PORT < some_file > its_copy

#include <cosock/connect.hpp>
#include <cosock/copy.hpp>
#include <cosock/descriptor_stream.hpp>
#include <cosock/run.hpp>
#include <cosock/when.hpp>

#include "options.hpp"

cosock::task<> send_input(cosock::tcp_socket& server) {
  auto input = cosock::descriptor_stream::standard_input();
  co_await cosock::copy(input, server);
  server.shutdown_send();  // tells the server the end of the input; receiving continues
}

cosock::task<> client(std::string host, std::string port) {
  cosock::tcp_socket server = co_await cosock::connect(host, port);
  auto output = cosock::descriptor_stream::standard_output();
  co_await cosock::when_all(send_input(server), cosock::copy(server, output));
}

int main(int argc, char** argv) {
  if (argc != 3) return cosock::usage_error("usage: echo_client HOST PORT");
  return cosock::run(client(argv[1], port_argument(argv[2])));
}
