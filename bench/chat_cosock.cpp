// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
//
// A chat room on cosock: each member has a reader and an outbox, and what one says is shared by all.

#include <cosock/nursery.hpp>
#include <cosock/outbox.hpp>
#include <cosock/reader.hpp>
#include <cosock/run.hpp>
#include <cosock/serve.hpp>
#include <cosock/tcp.hpp>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <set>
#include <string>

using room = std::set<cosock::outbox*>;

cosock::task<> listen_to(cosock::tcp_socket& socket, room& members) {
  cosock::buffered_reader reader(socket);
  while (const auto line = co_await reader.read_line()) {
    auto text = std::make_shared<std::string>();
    text->reserve(line->size() + 1);
    text->append(*line).push_back('\n');
    const std::shared_ptr<const std::string> said = std::move(text);
    for (cosock::outbox* each : members) each->try_send(said);
  }
}

cosock::task<> join(cosock::tcp_socket& socket, room& members) {
  cosock::outbox_options options;
  options.max_messages = 1024;
  options.policy = cosock::overflow_policy::close;
  cosock::outbox out(socket, options);
  co_await cosock::with_nursery([&](cosock::nursery& n) -> cosock::task<> {
    n.start([&] { return out.run(); });
    members.insert(&out);
    struct leaving {
      room& from;
      cosock::outbox& who;
      ~leaving() {
        from.erase(&who);
        who.close();
      }
    } const at_end{members, out};
    co_await listen_to(socket, members);
  });
}

cosock::task<> serve(std::uint16_t port) {
  cosock::tcp_acceptor acceptor({cosock::address::loopback_v4(), port});
  std::printf("listening on 127.0.0.1:%u\n", acceptor.local_endpoint().port());
  std::fflush(stdout);
  room members;
  co_await cosock::serve(acceptor,
                         [&](cosock::tcp_socket& socket) { return join(socket, members); });
}

int main(int argc, char** argv) {
  if (argc != 2) return cosock::usage_error("usage: chat_cosock PORT");
  return cosock::run(serve(static_cast<std::uint16_t>(std::atoi(argv[1]))));
}
