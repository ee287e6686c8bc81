// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// Says each line of its standard input to a chat_server, and prints what comes from there, side by
// side. It answers /ping with /pong, so that a quiet member is not dropped, and says /quit when its
// input ends; that the server ends the conversation before is an error.
//
//   chat_client HOST PORT NAME         then, say, /join lobby

#include <cosock/connect.hpp>
#include <cosock/descriptor_stream.hpp>
#include <cosock/error.hpp>
#include <cosock/nursery.hpp>
#include <cosock/reader.hpp>
#include <cosock/run.hpp>
#include <cosock/sync.hpp>

#include <stdexcept>

#include "options.hpp"
#include "text.hpp"

struct conversation {
  cosock::tcp_socket with;
  cosock::mutex turn;  // to say something: one task at a time sends on a socket
  bool quit = false;
};

std::array<cosock::const_buffer, 2> whole(std::string_view line) {
  return {cosock::buffer(line), cosock::buffer("\n", 1)};
}

/// Whether there is somebody to hear it; if not, that is seen where the answers are read.
cosock::task<bool> say(conversation& server, std::string_view line) {
  const auto mine = co_await server.turn.lock();
  co_return (co_await cosock::as_result(server.with.send(whole(line)))).has_value();
}

cosock::task<> say_all(conversation& server, std::string name) {
  cosock::descriptor_stream input = cosock::standard_input();
  cosock::buffered_reader lines(input, {.max_line = 4096, .unterminated_line = true});
  bool heard = co_await say(server, name);
  while (heard && !server.quit) {
    const auto line = co_await lines.read_line();
    server.quit = !line || *line == "/quit";
    heard = co_await say(server, line.value_or("/quit"));
  }
}

cosock::task<> hear_all(conversation& server) {
  cosock::descriptor_stream output = cosock::standard_output();
  cosock::buffered_reader lines(server.with, {.max_line = 1 << 20, .unterminated_line = true});
  while (const auto line = co_await lines.read_line()) {
    if (*line == "/ping")
      co_await say(server, "/pong");
    else
      co_await output.send(whole(*line));
  }
}

cosock::task<> chat(std::string host, std::string port, std::string name) {
  conversation server;
  server.with = co_await cosock::connect(host, port);
  co_await cosock::with_nursery([&](cosock::nursery& tasks) -> cosock::task<> {
    tasks.start([&] { return say_all(server, name); });
    co_await hear_all(server);
    tasks.cancel_all();
  });
  if (!server.quit) throw std::runtime_error("the server has ended the conversation");
}

int main(int argc, char** argv) {
  if (argc != 4) return cosock::usage_error("usage: chat_client HOST PORT NAME");
  if (!is_name(argv[3]))
    return cosock::usage_error("a name is 1 to 32 characters without spaces: \"" +
                               printable(argv[3]) + '"');
  return cosock::run(chat(argv[1], port_argument(argv[2]), argv[3]));
}
