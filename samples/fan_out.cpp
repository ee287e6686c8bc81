// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// One feed in, many subscribers out: each line that comes on the feed port goes to everybody who is
// connected to the other port. The feed never waits; a subscriber who falls more than 1000 lines
// behind is told `! missed N`, and goes on with what is still there. On SIGTERM or SIGINT each gets
// what was fed so far, and the program exits with status 0.
//
//   fan_out [--host ADDR] [--port PORT] [--feed-port PORT]     default 127.0.0.1, 7000 and 7001

#include <cosock/cosock.hpp>

#include "options.hpp"
#include "text.hpp"

using line = std::shared_ptr<const std::string>;  // one for all
using lines = cosock::broadcast<line>;

cosock::task<> feed(cosock::tcp_socket& from, lines& to) {
  cosock::buffered_reader reader(from);
  while (const auto text = co_await reader.read_line())
    to.send(std::make_shared<const std::string>(printable(*text) + '\n'));
}

cosock::task<> pass_on(cosock::subscription<line>& from, cosock::tcp_socket& to) {
  while (const auto next = co_await from.receive()) {
    if (from.missed() != 0) co_await to.send("! missed " + std::to_string(from.missed()) + '\n');
    co_await to.send(**next);
  }
}

/// Until the subscriber goes, or ends its side; what it may say before is of no interest.
cosock::task<> wait_for_end(cosock::tcp_socket& subscriber) {
  char buffer[1024];
  while (co_await subscriber.receive(buffer) != 0) {
  }
}

cosock::task<> subscribe(cosock::tcp_socket& subscriber, lines& to) {
  cosock::subscription<line> mine = to.subscribe();
  co_await cosock::when_any(pass_on(mine, subscriber), wait_for_end(subscriber));
}

/// Serves one feed after the other. The subscribers have come to their end when this has.
cosock::task<> serve_feed(cosock::tcp_acceptor& acceptor, lines& all) {
  const auto handler = [&](cosock::tcp_socket& from) { return feed(from, all); };
  const auto close = [&]() -> cosock::task<> {
    all.close();
    co_return;
  };
  co_await cosock::finally(
      cosock::serve(acceptor, handler, {.max_connections = 1, .drain = std::chrono::seconds(0)}),
      close);
}

cosock::task<> fan_out(cosock::endpoint at, std::uint16_t feed_port) {
  cosock::tcp_acceptor feeds(cosock::endpoint(at.address(), feed_port));
  cosock::tcp_acceptor subscribers(at, {.send_buffer = 1 << 16});
  announce(subscribers.local_endpoint());
  announce(feeds.local_endpoint());
  lines all(1000);
  const auto handler = [&](cosock::tcp_socket& to) { return subscribe(to, all); };
  co_await cosock::when_all(serve_feed(feeds, all), cosock::serve(subscribers, handler));
}

int main(int argc, char** argv) {
  std::uint16_t feed_port = 7001;
  const auto set_feed_port = [&](const char* text) { feed_port = cosock::parse_port(text); };
  const auto at = endpoint_option(argc, argv, {{"--feed-port", "PORT", set_feed_port}});
  return cosock::run(fan_out(at, feed_port));
}
