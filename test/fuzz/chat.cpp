// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// The protocol of chat_server: the clients of one loop send any bytes in any pieces. Each receives
// whole lines without control characters, and no member is left in a room at the end.

#include "input.hpp"
#include "support/scripted_stream.hpp"

#define main chat_server_main
#include "../../samples/chat_server.cpp"

#include <algorithm>
#include <memory>
#undef main

namespace {

bool is_line(std::string_view line) {
  if (!std::all_of(line.begin(), line.end(), [](char c) { return (c & 0xe0) != 0 && c != '\x7f'; }))
    return false;
  if (line.starts_with("* ") || line.starts_with("! ")) return true;
  return is_name(line.substr(0, line.find(": ")));
}

void check_lines(std::string_view sent) {
  REQUIRE(sent.empty() || sent.back() == '\n');
  while (!sent.empty()) {
    const std::size_t lf = sent.find('\n');
    REQUIRE(is_line(sent.substr(0, lf)));
    sent.remove_prefix(lf + 1);
  }
}

cosock::task<> check_client(cosock::byte_stream& client, loop_context& context) {
  const auto result = co_await cosock::as_result(handle_client(client, context));
  REQUIRE(result || result.error() == cosock::error::cancelled ||
          result.error() == cosock::error::end_of_stream ||
          result.error() == cosock::error::slow_consumer);
}

cosock::task<> check_chat(fuzz::input in) {
  chat_rooms rooms;
  loop_context context{rooms, std::chrono::hours(1)};
  rooms.add_loop(context.mailbox.make_sender());
  std::vector<std::unique_ptr<test::scripted_stream>> clients;
  for (std::size_t n = in.below(3) + 1; n != 0; --n)
    clients.push_back(co_await test::make_scripted_stream());
  co_await cosock::with_nursery([&](cosock::nursery& delivery) -> cosock::task<> {
    delivery.start([&] { return deliver_messages(context); });
    co_await cosock::with_nursery([&](cosock::nursery& handlers) -> cosock::task<> {
      const auto handler = [&](test::scripted_stream* client) {
        return check_client(*client, context);
      };
      for (auto& client : clients) handlers.start(handler, client.get());
      while (!in.empty()) {
        test::scripted_stream& client = *clients[in.below(clients.size())];
        const std::size_t size = in.byte();
        if (size == 0) client.end();
        client.push(std::string(in.text(size)));
        if (in.flag()) co_await cosock::yield();
      }
      for (auto& client : clients) client->end();
    });
    delivery.cancel();
  });
  REQUIRE(context.members.empty());
  REQUIRE(rooms.member_names(lobby).empty());
  for (auto& client : clients) check_lines(client->sent());
}

}  // namespace

void fuzz_one(fuzz::input in) { fuzz::run(check_chat(in)); }
