// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

#include <cosock/cosock.hpp>

#include <cstdio>
#include <memory>
#include <string>
#include <vector>

//! [member]
using member_list = std::vector<struct chat_member*>;

/// A client that is connected.
struct chat_member {
  chat_member(cosock::tcp_socket& client, member_list& list) : members(list), outbox(client) {
    members.push_back(this);
  }
  ~chat_member() { std::erase(members, this); }

  member_list& members;
  cosock::outbox outbox;
};
//! [member]

//! [handler]
void broadcast(member_list& members, const std::string& line) {
  const auto text = std::make_shared<const std::string>(line + '\n');
  for (chat_member* member : members) member->outbox.try_send(text);
}

cosock::task<> receive_lines(cosock::tcp_socket& client, chat_member& member) {
  cosock::buffered_reader reader(client);
  while (const auto line = co_await reader.read_line())
    broadcast(member.members, std::string(*line));
  member.outbox.close();
}

cosock::task<> handle_client(cosock::tcp_socket& client, member_list& members) {
  chat_member member(client, members);
  co_await cosock::when_all(member.outbox.run(), receive_lines(client, member));
}
//! [handler]

//! [server]
cosock::task<> run_server(std::string endpoint) {
  cosock::tcp_acceptor acceptor(cosock::endpoint::parse(endpoint));
  std::printf("listening on %s\n", acceptor.local_endpoint().to_string().c_str());
  std::fflush(stdout);
  member_list members;
  const auto handler = [&](cosock::tcp_socket& client) { return handle_client(client, members); };
  co_await cosock::serve(acceptor, handler);
}
//! [server]

int main(int argc, char** argv) {
  return cosock::run(run_server(argc > 1 ? argv[1] : "127.0.0.1:7000"));
}
