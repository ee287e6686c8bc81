// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// Says each line of its standard input to a chat_server, and prints what comes from there, side by
// side. It says /quit when its input ends; that the server ends the conversation before is an
// error.
//
//   chat_client HOST PORT NAME         then, say, /join lobby

#include <cosock/connect.hpp>
#include <cosock/copy.hpp>
#include <cosock/descriptor_stream.hpp>
#include <cosock/error.hpp>
#include <cosock/nursery.hpp>
#include <cosock/reader.hpp>
#include <cosock/run.hpp>

#include <stdexcept>

#include "text.hpp"

/// Whether there is somebody to hear it; if not, that is seen where the answers are read.
cosock::task<bool> say(cosock::tcp_socket& server, std::string_view line) {
  const std::array<cosock::const_buffer, 2> whole{cosock::buffer(line), cosock::buffer("\n", 1)};
  co_return (co_await cosock::as_result(server.send(whole))).has_value();
}

cosock::task<> say_all(cosock::tcp_socket& server, std::string name, bool& quit) {
  cosock::descriptor_stream input = cosock::standard_input();
  cosock::buffered_reader lines(input, {.max_line = 4096, .unterminated_line = true});
  bool heard = co_await say(server, name);
  while (heard && !quit) {
    const auto line = co_await lines.read_line();
    quit = !line || *line == "/quit";
    heard = co_await say(server, line.value_or("/quit"));
  }
}

cosock::task<> chat(std::string host, std::string port, std::string name) {
  cosock::tcp_socket server = co_await cosock::connect(host, port);
  cosock::descriptor_stream output = cosock::standard_output();
  bool quit = false;
  co_await cosock::with_nursery([&](cosock::nursery& tasks) -> cosock::task<> {
    tasks.start([&] { return say_all(server, name, quit); });
    co_await cosock::copy(server, output);
    tasks.cancel_all();
  });
  if (!quit) throw std::runtime_error("the server has ended the conversation");
}

int main(int argc, char** argv) {
  if (argc != 4) return cosock::usage_error("usage: chat_client HOST PORT NAME");
  if (!is_name(argv[3])) return cosock::usage_error("a name is 1 to 32 characters without spaces");
  return cosock::run(chat(argv[1], argv[2], argv[3]));
}
