// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// A chat server with rooms. The first line that a client sends is its name, which must be unique.
// The client is then a member, in the room `lobby`. Each further line is a command or a text:
//
//   /join ROOM    moves the member to another room
//   /leave        moves it back to the lobby
//   /who          lists the members of its room
//   /quit         closes the connection
//   TEXT          is sent to all members of the room, as `NAME: TEXT`
//
// Lines of the server begin with `*`, or with `!` if it refuses something. A line has at most 4096
// bytes; the server skips a longer line. It disconnects a member that reads too slowly: no other
// member waits for it. A member that sends nothing for 60 seconds receives /ping, and is
// disconnected if it sends nothing, such as /pong, for 60 more seconds. On SIGTERM or SIGINT the
// server notifies all members, and exits with status 0.
//
//   chat_server [--host ADDR] [--port PORT] [--loops N] [--idle SECONDS]
//
// By default it listens on 127.0.0.1, port 7000, and runs one loop. With --port 0 it picks a free
// port, with --loops 0 it runs one loop for each core. Each loop serves its own connections; the
// loops share the chat_rooms, and send lines to each other through mailboxes.

#include <cosock/cosock.hpp>

#include <memory>
#include <utility>
#include <vector>

#include "chat_rooms.hpp"
#include "options.hpp"
#include "text.hpp"

using namespace std::chrono_literals;

constexpr const char* lobby = "lobby";  // the room that every member enters first
constexpr const char* command_list = "/join ROOM, /leave, /who, /quit";
constexpr std::size_t max_line = 4096;
constexpr cosock::outbox_options outbox_limits{.policy = cosock::overflow_policy::close,
                                               .close_message = "! disconnected: too slow\n",
                                               .close_timeout = 15s};

/// The part of the server that belongs to one loop.
struct loop_context {
  chat_rooms& rooms;
  std::chrono::milliseconds idle_limit;
  std::vector<struct chat_member*> members = {};
  room_mailbox mailbox{32};
};

/// A client that is connected to this loop.
struct chat_member {
  chat_member(cosock::byte_stream& client, loop_context& loop)
      : context(loop), rooms(loop.rooms), outbox(client, outbox_limits) {
    context.members.push_back(this);
  }
  ~chat_member() {
    std::erase(context.members, this);
    if (!name.empty()) rooms.remove_member(name);
  }
  void tell(std::string line) { outbox.try_send(line += '\n'); }

  loop_context& context;
  chat_rooms& rooms;
  cosock::outbox outbox;
  std::string name;  // empty until the client has sent one
  std::string room;
};

/// Sends a line to all members of a room, on every loop. While the mailbox of a loop is full, it
/// waits.
cosock::task<> broadcast(chat_rooms& rooms, std::string room, std::string line) {
  const room_message message{room, std::make_shared<const std::string>(line + '\n')};
  const std::vector<room_mailbox::sender> senders = rooms.senders();
  for (const room_mailbox::sender& sender : senders)
    while (!sender.try_send(message) && !sender.is_closed()) co_await cosock::sleep_for(1ms);
}

void list_members(chat_member& member) {
  member.tell("* in " + member.room + ':' + member.rooms.member_names(member.room));
}

cosock::task<> announce_entry(chat_member& member) {
  list_members(member);
  co_await broadcast(member.rooms, member.room, "* " + member.name + " has joined " + member.room);
}

cosock::task<> set_name(chat_member& member, std::string name) {
  if (!is_name(name)) co_return member.tell("! a name is 1 to 32 characters without spaces");
  if (!member.rooms.add_member(name, lobby))
    co_return member.tell("! the name " + name + " is taken");
  member.name = name;
  member.room = lobby;
  member.tell("* welcome, " + name + "; commands: " + command_list);
  co_await announce_entry(member);
}

cosock::task<> change_room(chat_member& member, std::string room) {
  if (room == member.room) co_return member.tell("! you are already in " + room);
  const std::string previous = std::exchange(member.room, room);
  member.rooms.move_member(member.name, room);
  co_await broadcast(member.rooms, previous, "* " + member.name + " has left " + previous);
  co_await announce_entry(member);
}

cosock::task<> handle_line(chat_member& member, std::string line) {
  if (line == "/pong") co_return;
  if (member.name.empty()) co_return co_await set_name(member, line);
  if (line == "/who") co_return list_members(member);
  if (line == "/leave") co_return co_await change_room(member, lobby);
  if (line.starts_with("/join ") && is_name(line.substr(6)))
    co_return co_await change_room(member, line.substr(6));
  if (line.starts_with('/'))
    co_return member.tell(std::string("! unknown command; commands: ") + command_list);
  co_await broadcast(member.rooms, member.room, member.name + ": " + line);
}

cosock::task<> receive_lines(cosock::byte_stream& client, chat_member& member) {
  cosock::buffered_reader reader(client, {.max_line = max_line});
  const auto idle_limit = member.context.idle_limit;
  for (bool pinged = false;;) {
    const auto line =
        co_await cosock::as_result(cosock::with_timeout(idle_limit, reader.read_line()));
    const bool idle = line.error() == cosock::error::timed_out;
    if (idle && pinged) {
      member.tell("! disconnected: no answer to /ping");
      co_return member.outbox.close();
    }
    pinged = idle;
    if (idle) {
      member.tell("/ping");
    } else if (line.error() == cosock::error::line_too_long) {
      member.tell("! line too long: the limit is " + std::to_string(max_line) + " bytes");
      co_await cosock::with_timeout(idle_limit, reader.skip_line());
    } else if (!line || !*line || **line == "/quit") {
      co_return member.outbox.close();
    } else {
      co_await handle_line(member, printable(**line));
    }
  }
}

/// Handles the lines of a member and writes its outbox, until one of the two ends.
cosock::task<> handle_client(cosock::byte_stream& client, loop_context& context) {
  if (context.mailbox.is_closed()) co_return;  // accepted while the server was shutting down
  chat_member member(client, context);
  bool too_slow = false;
  const auto chat = [&]() -> cosock::task<> {
    // After the last line, the outbox gets 5 seconds to write its queue.
    const auto result = co_await cosock::as_result(cosock::when_any(
        cosock::with_grace(5s, member.outbox.run()), receive_lines(client, member)));
    too_slow = result.error() == cosock::error::slow_consumer;
    result.value();  // throws the error, if there is one
  };
  const auto announce_exit = [&]() -> cosock::task<> {
    if (member.name.empty()) co_return;
    const std::string name = std::exchange(member.name, {});
    member.rooms.remove_member(name);  // before the others hear it: the name is free again
    const std::string event = too_slow ? " was disconnected: too slow" : " has left the chat";
    co_await broadcast(member.rooms, member.room, "* " + name + event);
  };
  co_await cosock::finally(chat(), announce_exit);
}

/// Delivers messages to the members on this loop. When the server shuts down, notifies them and
/// closes their outboxes, which ends their handlers.
cosock::task<> deliver_messages(loop_context& context) {
  while (const auto message = co_await cosock::as_result(context.mailbox.receive()))
    for (chat_member* member : context.members)
      if (member->room == message.value()->room) member->outbox.try_send(message.value()->text);
  context.mailbox.close();
  for (chat_member* member : context.members) {
    member->tell("* the server is shutting down");
    member->outbox.close();
  }
}

cosock::task<> run_loop(cosock::tcp_acceptor acceptor, chat_rooms& rooms,
                        std::chrono::milliseconds idle_limit) {
  loop_context context{rooms, idle_limit};
  rooms.add_loop(context.mailbox.make_sender());
  const auto handler = [&](cosock::tcp_socket& client) { return handle_client(client, context); };
  co_await cosock::when_all(cosock::serve(acceptor, handler), deliver_messages(context));
}

cosock::task<> run_server(cosock::endpoint endpoint, unsigned loop_count,
                          std::chrono::milliseconds idle_limit) {
  if (loop_count == 0) loop_count = cosock::usable_cores();
  cosock::tcp_acceptors acceptors(endpoint, loop_count, {.send_buffer = 1 << 16});
  announce(acceptors.local_endpoint());
  chat_rooms rooms;
  const auto start = [&](unsigned index) {
    return run_loop(acceptors.acceptor(index), rooms, idle_limit);
  };
  co_await cosock::run_loops(acceptors.size(), start);
}

int main(int argc, char** argv) {
  unsigned loop_count = 1;
  std::chrono::milliseconds idle_limit = 60s;
  const cosock::endpoint endpoint = endpoint_option(
      argc, argv,
      {number_option("--loops", loop_count, 0, 64), seconds_option("--idle", idle_limit)});
  return cosock::run(run_server(endpoint, loop_count, idle_limit));
}
