// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// Sends each line of one feed to many subscribers: the lines arrive at the feed port, and every
// client of the other port receives them. The feed never waits: a subscriber that is more than 1000
// lines behind loses the oldest, receives `! missed N`, and continues with the next line. On
// SIGTERM or SIGINT the subscribers still receive all earlier lines, and the program exits with
// status 0.
//
//   fan_out [--host ADDR] [--port PORT] [--feed-port PORT]     default 127.0.0.1, 7000 and 7001

#include <cosock/cosock.hpp>

#include "options.hpp"
#include "text.hpp"

#include <memory>

using shared_line = std::shared_ptr<const std::string>;  // stored once for all subscribers
using line_broadcast = cosock::broadcast<shared_line>;

cosock::task<> handle_feed(cosock::tcp_socket& feed, line_broadcast& lines) {
  cosock::buffered_reader reader(feed);
  while (const auto line = co_await reader.read_line())
    lines.send(std::make_shared<const std::string>(printable(*line) + '\n'));
}

cosock::task<> send_lines(line_broadcast::subscription& subscription,
                          cosock::tcp_socket& subscriber) {
  while (const auto line = co_await subscription.receive()) {
    const auto missed = subscription.missed();
    if (missed != 0) co_await subscriber.send("! missed " + std::to_string(missed) + '\n');
    co_await subscriber.send(**line);
  }
}

/// Completes when the subscriber ends its side of the connection. Discards the data before it.
cosock::task<> wait_end(cosock::tcp_socket& subscriber) {
  char buffer[1024];
  while (co_await subscriber.receive(buffer) != 0) {
  }
}

cosock::task<> handle_subscriber(cosock::tcp_socket& subscriber, line_broadcast& lines) {
  line_broadcast::subscription subscription = lines.subscribe();
  co_await cosock::when_any(send_lines(subscription, subscriber), wait_end(subscriber));
}

/// Serves one feed at a time. Closes the broadcast at the end, which ends the subscribers.
cosock::task<> serve_feeds(cosock::tcp_acceptor& acceptor, line_broadcast& lines) {
  const auto handler = [&](cosock::tcp_socket& feed) { return handle_feed(feed, lines); };
  const auto close = [&]() -> cosock::task<> {
    lines.close();
    co_return;
  };
  co_await cosock::finally(
      cosock::serve(acceptor, handler, {.max_connections = 1, .drain = std::chrono::seconds(0)}),
      close);
}

cosock::task<> fan_out(cosock::endpoint endpoint, std::uint16_t feed_port) {
  cosock::tcp_acceptor feeds(cosock::endpoint(endpoint.address(), feed_port));
  cosock::tcp_acceptor subscribers(endpoint, {.send_buffer = 1 << 16});
  announce(subscribers.local_endpoint());
  announce(feeds.local_endpoint());
  line_broadcast lines(1000);
  const auto handler = [&](cosock::tcp_socket& subscriber) {
    return handle_subscriber(subscriber, lines);
  };
  co_await cosock::when_all(serve_feeds(feeds, lines), cosock::serve(subscribers, handler));
}

int main(int argc, char** argv) {
  std::uint16_t feed_port = 7001;
  const auto endpoint = endpoint_option(argc, argv, {port_option("--feed-port", feed_port)});
  return cosock::run(fan_out(endpoint, feed_port));
}
