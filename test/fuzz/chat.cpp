// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// The protocol of chat_server: members of one loop who say any bytes in any pieces. Each is told
// whole lines without control characters.

#include "input.hpp"
#include "scripted_stream.hpp"

#define main chat_server_main
#include "../../samples/chat_server.cpp"
#undef main

namespace {

bool is_line(std::string_view line) {
  if (!std::all_of(line.begin(), line.end(), [](char c) { return (c & 0xe0) != 0 && c != '\x7f'; }))
    return false;
  if (line.starts_with("* ") || line.starts_with("! ")) return true;
  return is_name(line.substr(0, line.find(": ")));
}

void check_told(std::string_view told) {
  REQUIRE(told.empty() || told.back() == '\n');
  while (!told.empty()) {
    const std::size_t lf = told.find('\n');
    REQUIRE(is_line(told.substr(0, lf)));
    told.remove_prefix(lf + 1);
  }
}

cosock::task<> attend(cosock::byte_stream& client, place& here) {
  const auto ended = co_await cosock::as_result(talk(client, here));
  REQUIRE(ended || ended.error() == cosock::error::cancelled ||
          ended.error() == cosock::error::end_of_stream ||
          ended.error() == cosock::error::slow_consumer);
}

cosock::task<> meet(fuzz::input in) {
  hall all;
  place here{all, std::chrono::hours(1)};
  all.add_loop(here.heard.make_sender());
  std::vector<std::unique_ptr<test::scripted_stream>> clients;
  for (std::size_t n = in.below(3) + 1; n != 0; --n)
    clients.push_back(co_await test::make_scripted_stream());
  co_await cosock::with_nursery([&](cosock::nursery& spreading) -> cosock::task<> {
    spreading.start([&] { return spread(here); });
    co_await cosock::with_nursery([&](cosock::nursery& talking) -> cosock::task<> {
      for (auto& each : clients)
        talking.start([&](test::scripted_stream* to) { return attend(*to, here); }, each.get());
      while (!in.empty()) {
        test::scripted_stream& to = *clients[in.below(clients.size())];
        const std::size_t size = in.byte();
        if (size == 0) to.end();
        to.push(std::string(in.text(size)));
        if (in.flag()) co_await cosock::yield();
      }
      for (auto& each : clients) each->end();
    });
    spreading.cancel_all();
  });
  for (auto& each : clients) check_told(each->sent());
}

}  // namespace

void fuzz_one(fuzz::input in) { fuzz::run(meet(in)); }
