// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// A chat over WebSockets, with Boost.Beast on the streams of cosock: the server sends each message
// to all members, after the number of its sender. It disconnects a member that reads too slowly.
//
//   websocket_chat [--host ADDR] [--port PORT]      the server, by default on 127.0.0.1, port 7000
//   websocket_chat join HOST PORT                   a client: sends standard input, prints messages
//
// In a browser: s = new WebSocket("ws://127.0.0.1:7000"); s.onmessage = m => console.log(m.data);
// then s.send("hello").

#include <cosock/asio.hpp>
#include <cosock/channel.hpp>
#include <cosock/connect.hpp>
#include <cosock/descriptor_stream.hpp>
#include <cosock/reader.hpp>
#include <cosock/run.hpp>
#include <cosock/serve.hpp>
#include <cosock/tcp.hpp>
#include <cosock/when.hpp>

#include <boost/beast/core/buffers_to_string.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/websocket.hpp>

#include <map>
#include <memory>
#include <string_view>

#include "options.hpp"
#include "text.hpp"

namespace beast = boost::beast;
namespace websocket = boost::beast::websocket;
using cosock::use_task;
using namespace std::chrono_literals;
using web_stream = websocket::stream<cosock::async_stream>;
using message = std::shared_ptr<const std::string>;  // stored once for all members

constexpr std::size_t max_message = 4096;

/// The members by number, each with the queue of its messages.
struct chat_room {
  std::map<int, cosock::channel<message>*> members = {};
  int last_number = 0;

  void broadcast(int sender, const std::string& text) {
    const auto line = std::make_shared<const std::string>(std::to_string(sender) + ": " + text);
    for (const auto& [number, queue] : members)
      if (!queue->try_send(line)) queue->close();  // full: the member is too slow
  }
};

/// Returns true if a read failed because the peer has closed the connection, or this side does.
bool is_end(const boost::system::error_code& error) {
  return error == websocket::error::closed || error == boost::asio::error::operation_aborted;
}

/// Sends a close frame and waits for the answer of the peer. The read of the other task ends first,
/// which cancels this task; the grace period lets it finish.
cosock::task<> close(web_stream& web, websocket::close_code code) {
  co_await cosock::with_grace(5s, web.async_close(code, use_task));
}

cosock::task<> receive_messages(web_stream& web, int number, chat_room& room) {
  beast::flat_buffer buffer;
  for (;;) {
    const auto result = co_await cosock::as_result(web.async_read(buffer, use_task));
    if (is_end(result.error())) co_return;
    result.value();  // throws the error, if there is one
    room.broadcast(number, printable(beast::buffers_to_string(buffer.data())));
    buffer.clear();
  }
}

cosock::task<> send_messages(web_stream& web, cosock::channel<message>& queue) {
  while (const auto text = co_await queue.receive())
    co_await web.async_write(boost::asio::buffer(**text), use_task);
  co_await close(web, websocket::close_code::policy_error);
}

cosock::task<> handle_client(cosock::tcp_socket& client, chat_room& room) {
  web_stream web{cosock::async_stream(client)};
  // Limits the time of a handshake, and pings idle members.
  web.set_option(websocket::stream_base::timeout::suggested(beast::role_type::server));
  web.read_message_max(max_message);
  co_await web.async_accept(use_task);
  const int number = ++room.last_number;
  cosock::channel<message> queue(100);
  const auto remove = [&](void*) { room.members.erase(number); };
  const std::unique_ptr<void, decltype(remove)> entry(&(room.members[number] = &queue), remove);
  co_await cosock::when_any(receive_messages(web, number, room), send_messages(web, queue));
}

cosock::task<> serve(cosock::endpoint endpoint) {
  cosock::tcp_acceptor acceptor(endpoint);
  announce(acceptor.local_endpoint());
  chat_room room;
  const auto handler = [&](cosock::tcp_socket& client) { return handle_client(client, room); };
  co_await cosock::serve(acceptor, handler, {.drain = 1s});
}

cosock::task<> send_input(web_stream& web) {
  auto input = cosock::descriptor_stream::standard_input();
  cosock::buffered_reader reader(input, {.max_line = max_message, .unterminated_line = true});
  while (const auto line = co_await reader.read_line())
    co_await web.async_write(boost::asio::buffer(*line), use_task);
  co_await close(web, websocket::close_code::normal);
}

cosock::task<> print_messages(web_stream& web) {
  beast::flat_buffer buffer;
  for (;;) {
    const auto result = co_await cosock::as_result(web.async_read(buffer, use_task));
    if (is_end(result.error())) co_return;
    result.value();
    std::printf("%s\n", printable(beast::buffers_to_string(buffer.data())).c_str());
    std::fflush(stdout);
    buffer.clear();
  }
}

cosock::task<> join(std::string host, std::string port) {
  cosock::tcp_socket server = co_await cosock::connect(host, port);
  web_stream web{cosock::async_stream(server)};
  web.set_option(websocket::stream_base::timeout::suggested(beast::role_type::client));
  co_await web.async_handshake(host + ':' + port, "/", use_task);
  co_await cosock::when_any(send_input(web), print_messages(web));
}

int main(int argc, char** argv) {
  if (argc < 2 || argv[1][0] == '-') return cosock::run(serve(endpoint_option(argc, argv)));
  if (argc != 4 || std::string_view(argv[1]) != "join")
    return cosock::usage_error(
        "usage: websocket_chat [--host ADDR] [--port PORT], or websocket_chat join HOST PORT");
  return cosock::run(join(argv[2], argv[3]));
}
