// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// Sends its standard input to a local server, and prints what comes back, both at the same time, until
// both have ended. As echo_client, but for the line that connects.
//
//   local_echo_client PATH < some_file > its_copy        @NAME is an abstract name

#include <cosock/cosock.hpp>

#include <exception>
cosock::task<> send_input(cosock::local_stream_socket& server) {
  cosock::descriptor_stream input = cosock::standard_input();
  co_await cosock::copy(input, server);
  server.shutdown_send();  // the server sees the end; what it still sends is printed
}

cosock::task<> client(cosock::local_endpoint at) {
  cosock::local_stream_socket server = co_await cosock::connect(at);
  cosock::descriptor_stream output = cosock::standard_output();
  co_await cosock::when_all(send_input(server), cosock::copy(server, output));
}

int main(int argc, char** argv) {
  if (argc != 2) return cosock::usage_error("usage: local_echo_client PATH");
  cosock::local_endpoint at;
  try {
    at = cosock::local_endpoint::parse(argv[1]);
  } catch (const std::exception& e) {
    return cosock::usage_error(e.what());
  }
  return cosock::run(client(at));
}
