// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

#include <cosock/cosock.hpp>

#include <cstdio>
#include <string>

//! [server]
cosock::task<> handle_client(cosock::tcp_socket& client) {
  cosock::buffered_reader reader(client);
  while (const auto line = co_await reader.read_line()) {
    const std::string answer = "you said: " + std::string(*line) + '\n';
    co_await client.send(answer);
  }
}

cosock::task<> run_server(std::string endpoint) {
  cosock::tcp_acceptor acceptor(cosock::endpoint::parse(endpoint));
  std::printf("listening on %s\n", acceptor.local_endpoint().to_string().c_str());
  std::fflush(stdout);
  co_await cosock::serve(acceptor, handle_client);
}
//! [server]

int main(int argc, char** argv) {
  return cosock::run(run_server(argc > 1 ? argv[1] : "127.0.0.1:7000"));
}
