// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// A client for chat_server: sends each line of its standard input, and prints each line that it
// receives, both at the same time. It answers /ping with /pong, so that the server keeps a quiet
// member, and sends /quit at the end of its input. If the server closes the connection first, the
// program exits with status 1.
//
//   chat_client HOST PORT NAME

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

struct connection {
  cosock::tcp_socket socket;
  cosock::mutex send_mutex;  // only one task at a time may send on a socket
  bool quit = false;         // /quit is sent, or about to be
};

std::array<cosock::const_buffer, 2> with_newline(std::string_view line) {
  return {cosock::buffer(line), cosock::buffer("\n", 1)};
}

/// Returns false if the line could not be sent. The reason is not reported here: the task that
/// receives fails too.
cosock::task<bool> send_line(connection& server, std::string_view line) {
  const auto lock = co_await server.send_mutex.lock();
  co_return (co_await cosock::as_result(server.socket.send(with_newline(line)))).has_value();
}

cosock::task<> send_input(connection& server, std::string name) {
  auto input = cosock::descriptor_stream::standard_input();
  cosock::buffered_reader reader(input, {.max_line = 4096, .unterminated_line = true});
  bool sent = co_await send_line(server, name);
  while (sent && !server.quit) {
    const auto line = co_await reader.read_line();
    server.quit = !line || *line == "/quit";
    sent = co_await send_line(server, line.value_or("/quit"));
  }
}

cosock::task<> print_lines(connection& server) {
  auto output = cosock::descriptor_stream::standard_output();
  cosock::buffered_reader reader(server.socket, {.max_line = 1 << 20, .unterminated_line = true});
  while (const auto line = co_await reader.read_line()) {
    if (*line == "/ping")
      co_await send_line(server, "/pong");
    else
      co_await output.send(with_newline(*line));
  }
}

cosock::task<> chat(std::string host, std::string port, std::string name) {
  connection server;
  server.socket = co_await cosock::connect(host, port);
  co_await cosock::with_nursery([&](cosock::nursery& tasks) -> cosock::task<> {
    tasks.start([&] { return send_input(server, name); });
    co_await print_lines(server);
    tasks.cancel();  // the server has closed the connection: no more input
  });
  if (!server.quit) throw std::runtime_error("the server closed the connection");
}

int main(int argc, char** argv) {
  if (argc != 4) return cosock::usage_error("usage: chat_client HOST PORT NAME");
  if (!is_name(argv[3]))
    return cosock::usage_error("a name is 1 to 32 characters without spaces: \"" +
                               printable(argv[3]) + '"');
  return cosock::run(chat(argv[1], port_argument(argv[2]), argv[3]));
}
