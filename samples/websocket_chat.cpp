// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// A chat over WebSockets, with Boost.Beast over the streams of this library: whatever a member says,
// all members hear, behind the number of the speaker. A member who does not read is sent away.
//
//   websocket_chat [--host ADDR] [--port PORT]      the server, by default on 127.0.0.1 and 7000
//   websocket_chat join HOST PORT                   says the lines of standard input; prints what it hears
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
using message = std::shared_ptr<const std::string>;

constexpr std::size_t longest_message = 4096;

/// The members by number, each with what it has still to hear.
struct room {
  std::map<int, cosock::channel<message>*> members = {};
  int last = 0;

  void say(int speaker, const std::string& text) {
    const auto said = std::make_shared<const std::string>(std::to_string(speaker) + ": " + text);
    for (const auto& [number, heard] : members)
      if (!heard->try_send(said)) heard->close();  // too slow
  }
};

/// What a read ends with when the peer has closed the connection, or this side does so meanwhile.
bool is_end(const boost::system::error_code& error) {
  return error == websocket::error::closed || error == boost::asio::error::operation_aborted;
}

/// Goes on, for a while, after the read that goes on beside it has ended.
cosock::task<> close(web_stream& web, websocket::close_code why) {
  co_await cosock::with_grace(5s, web.async_close(why, use_task));
}

cosock::task<> listen(web_stream& web, int number, room& all) {
  beast::flat_buffer buffer;
  for (;;) {
    const auto got = co_await cosock::as_result(web.async_read(buffer, use_task));
    if (is_end(got.error())) co_return;
    got.value();
    all.say(number, printable(beast::buffers_to_string(buffer.data())));
    buffer.clear();
  }
}

cosock::task<> tell(web_stream& web, cosock::channel<message>& heard) {
  while (const auto text = co_await heard.receive())
    co_await web.async_write(boost::asio::buffer(**text), use_task);
  co_await close(web, websocket::close_code::policy_error);
}

cosock::task<> talk(cosock::tcp_socket& client, room& all) {
  web_stream web{cosock::async_stream(client)};
  // Limits the handshakes, and asks members who stay silent whether they are still there.
  web.set_option(websocket::stream_base::timeout::suggested(beast::role_type::server));
  web.read_message_max(longest_message);
  co_await web.async_accept(use_task);
  const int number = ++all.last;
  cosock::channel<message> heard(100);
  const auto leave = [&](void*) { all.members.erase(number); };
  const std::unique_ptr<void, decltype(leave)> entered(&(all.members[number] = &heard), leave);
  co_await cosock::when_any(listen(web, number, all), tell(web, heard));
}

cosock::task<> serve(cosock::endpoint at) {
  cosock::tcp_acceptor acceptor(at);
  announce(acceptor.local_endpoint());
  room all;
  const auto handler = [&](cosock::tcp_socket& client) { return talk(client, all); };
  co_await cosock::serve(acceptor, handler, {.drain = 1s});
}

cosock::task<> say_lines(web_stream& web) {
  cosock::descriptor_stream input = cosock::standard_input();
  cosock::buffered_reader lines(input, {.max_line = longest_message, .unterminated_line = true});
  while (const auto line = co_await lines.read_line())
    co_await web.async_write(boost::asio::buffer(*line), use_task);
  co_await close(web, websocket::close_code::normal);
}

cosock::task<> hear(web_stream& web) {
  beast::flat_buffer buffer;
  for (;;) {
    const auto got = co_await cosock::as_result(web.async_read(buffer, use_task));
    if (is_end(got.error())) co_return;
    got.value();
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
  co_await cosock::when_any(say_lines(web), hear(web));
}

int main(int argc, char** argv) {
  if (argc < 2 || argv[1][0] == '-') return cosock::run(serve(endpoint_option(argc, argv)));
  if (argc != 4 || std::string_view(argv[1]) != "join")
    return cosock::usage_error(
        "usage: websocket_chat [--host ADDR] [--port PORT], or websocket_chat join HOST PORT");
  return cosock::run(join(argv[2], argv[3]));
}
