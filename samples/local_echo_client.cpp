// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// Sends its standard input to a local server and prints the data that it receives, both at the same
// time, until both have ended. Only the type of the socket differs from echo_client.
//
//   local_echo_client PATH < some_file > its_copy        a PATH of @NAME is an abstract name

#include <cosock/cosock.hpp>

#include <exception>

cosock::task<> send_input(cosock::local_stream_socket& server) {
  auto input = cosock::descriptor_stream::standard_input();
  co_await cosock::copy(input, server);
  server.shutdown_send();  // tells the server the end of the input; receiving continues
}

cosock::task<> client(cosock::local_endpoint endpoint) {
  cosock::local_stream_socket server = co_await cosock::connect(endpoint);
  auto output = cosock::descriptor_stream::standard_output();
  co_await cosock::when_all(send_input(server), cosock::copy(server, output));
}

int main(int argc, char** argv) {
  if (argc != 2) return cosock::usage_error("usage: local_echo_client PATH");
  cosock::local_endpoint endpoint;
  try {
    endpoint = cosock::local_endpoint::parse(argv[1]);
  } catch (const std::exception& e) {
    return cosock::usage_error(e.what());
  }
  return cosock::run(client(endpoint));
}
