// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

#include <cosock/cosock.hpp>

#include <cstdio>
#include <string>

//! [talk]
cosock::task<> talk(cosock::tcp_socket& client) {
  cosock::buffered_reader lines(client);
  while (const auto line = co_await lines.read_line()) {
    const std::string answer = "you said: " + std::string(*line) + '\n';
    co_await client.send(answer);
  }
}

cosock::task<> chat(std::string at) {
  cosock::tcp_acceptor acceptor(cosock::endpoint::parse(at));
  std::printf("listening on %s\n", acceptor.local_endpoint().to_string().c_str());
  std::fflush(stdout);
  co_await cosock::serve(acceptor, talk);
}
//! [talk]

int main(int argc, char** argv) { return cosock::run(chat(argc > 1 ? argv[1] : "127.0.0.1:7000")); }
