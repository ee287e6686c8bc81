// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

#include <cosock/cosock.hpp>

#include <cstdio>
#include <memory>
#include <set>
#include <string>

//! [member]
using hall = std::set<struct member*>;

/// Somebody who is connected.
struct member {
  member(cosock::tcp_socket& client, hall& in) : all(in), out(client) { all.insert(this); }
  ~member() { all.erase(this); }

  hall& all;
  cosock::outbox out;
};
//! [member]

//! [talk]
void say(hall& all, const std::string& line) {
  const auto text = std::make_shared<const std::string>(line + '\n');
  for (member* each : all) each->out.try_send(text);
}

cosock::task<> listen(cosock::tcp_socket& client, member& me) {
  cosock::buffered_reader lines(client);
  while (const auto line = co_await lines.read_line()) say(me.all, std::string(*line));
  me.out.close();
}

cosock::task<> talk(cosock::tcp_socket& client, hall& all) {
  member me(client, all);
  co_await cosock::when_all(me.out.run(), listen(client, me));
}
//! [talk]

//! [chat]
cosock::task<> chat(std::string at) {
  cosock::tcp_acceptor acceptor(cosock::endpoint::parse(at));
  std::printf("listening on %s\n", acceptor.local_endpoint().to_string().c_str());
  std::fflush(stdout);
  hall all;
  co_await cosock::serve(acceptor, [&](cosock::tcp_socket& client) { return talk(client, all); });
}
//! [chat]

int main(int argc, char** argv) { return cosock::run(chat(argc > 1 ? argv[1] : "127.0.0.1:7000")); }
