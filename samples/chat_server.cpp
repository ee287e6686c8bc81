// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// Rooms in which people talk. The first line that is sent is a name; then come, of 4096 bytes each
// at most (longer ones are refused and skipped),
//
//   /join ROOM    /leave    /who    /quit    and anything else is said to the room
//
// Lines of the server begin with `*`, and with `!` where it refuses something. Whoever does not
// read what is said is dropped, with a message, and delays nobody. Whoever says nothing for 60
// seconds is sent /ping, to which /pong is an answer, and is dropped after 60 more. On SIGTERM or
// SIGINT the server tells everybody that it ends, and exits with status 0.
//
//   chat_server [--host ADDR] [--port PORT] [--loops N] [--idle SECONDS]
//
// Default 127.0.0.1 and 7000, port 0 picks one; 1 loop, with 0 one for each core. Each loop has its
// own members; what the loops share is the hall (hall.hpp), through which they tell each other what
// is said.

#include <cosock/cosock.hpp>

#include <set>

#include "hall.hpp"
#include "options.hpp"
#include "text.hpp"

using namespace std::chrono_literals;

/// What one loop has of the server.
struct place {
  hall& all;
  std::chrono::milliseconds idle;
  std::set<struct member*> members = {};
  inbox heard{32};
};

constexpr cosock::outbox_options limits{.policy = cosock::when_full::close,
                                        .last_words = "! you are too slow, and are dropped\n",
                                        .last_words_time = 15s};

/// Somebody who is connected to this loop.
struct member {
  member(cosock::byte_stream& client, place& on) : here(on), all(on.all), out(client, limits) {
    here.members.insert(this);
  }
  ~member() {
    here.members.erase(this);
    if (!name.empty()) all.leave(name);
  }
  void tell(std::string line) { out.try_send(line += '\n'); }

  place& here;
  hall& all;
  cosock::outbox out;
  std::string name;
  std::string room;  // empty: in none
};

/// On every loop; a loop that has much to do is waited for.
cosock::task<> say(hall& all, std::string room, std::string line) {
  const news said{room, std::make_shared<const std::string>(line + '\n')};
  const std::vector<inbox::sender> loops = all.loops();
  for (const inbox::sender& loop : loops)
    while (!loop.try_send(said) && !loop.is_closed()) co_await cosock::sleep_for(1ms);
}

/// To another room, or to none.
cosock::task<> move_to(member& me, std::string room) {
  if (!me.room.empty()) co_await say(me.all, me.room, "* " + me.name + " has left " + me.room);
  me.room = room;
  me.all.move(me.name, room);
  if (room.empty()) co_return me.tell("* you are in no room");
  co_await say(me.all, room, "* " + me.name + " has joined " + room);
}

void take_name(member& me, const std::string& name) {
  if (!is_name(name)) return me.tell("! a name is 1 to 32 characters without spaces");
  if (!me.all.enter(name)) return me.tell("! the name " + name + " is taken");
  me.name = name;
  me.tell("* hello " + name + ": /join ROOM, /leave, /who, /quit");
}

cosock::task<> obey(member& me, std::string line) {
  if (line == "/pong") co_return;
  if (me.name.empty()) co_return take_name(me, line);
  if (line == "/who") co_return me.tell("* here:" + me.all.who(me.room));
  if (line == "/leave") co_return co_await move_to(me, "");
  if (line.starts_with("/join ") && is_name(line.substr(6)))
    co_return co_await move_to(me, line.substr(6));
  if (line.starts_with('/')) co_return me.tell("! there are /join ROOM, /leave, /who and /quit");
  if (me.room.empty()) co_return me.tell("! you are in no room: /join one");
  co_await say(me.all, me.room, me.name + ": " + line);
}

cosock::task<> listen(cosock::byte_stream& client, member& me) {
  cosock::buffered_reader lines(client, {.max_line = 4096});
  const auto idle = me.here.idle;
  for (bool pinged = false;;) {
    const auto line = co_await cosock::as_result(cosock::with_timeout(idle, lines.read_line()));
    const bool silent = line.error() == cosock::error::timed_out;
    if (silent && pinged) {
      me.tell("! you are silent, and are dropped");
      co_return me.out.close();
    }
    pinged = silent;
    if (silent) {
      me.tell("/ping");
    } else if (line.error() == cosock::error::line_too_long) {
      me.tell("! a line has 4096 bytes at most");
      co_await cosock::with_timeout(idle, lines.skip_line());
    } else if (!line || !*line || **line == "/quit") {
      co_return me.out.close();
    } else {
      co_await obey(me, printable(**line));
    }
  }
}

/// Listens to a member, and writes what the member is told, until either has come to its end.
cosock::task<> talk(cosock::byte_stream& client, place& here) {
  if (here.heard.is_closed()) co_return;  // came just when the server was told to end
  member me(client, here);
  bool slow = false;
  const auto chat = [&]() -> cosock::task<> {
    const auto ended = co_await cosock::as_result(
        cosock::when_any(cosock::with_grace(5s, me.out.run()), listen(client, me)));
    slow = ended.error() == cosock::error::slow_consumer;
    ended.value();  // throws, if it was an error
  };
  const auto leave = [&]() -> cosock::task<> {
    const std::string parting = me.name + (slow ? " was too slow and is dropped" : " has left");
    if (!me.room.empty()) co_await say(me.all, me.room, "* " + parting);
  };
  co_await cosock::finally(chat(), leave);
}

/// Tells those on this loop what is said in their rooms, until the server is told to end.
cosock::task<> spread(place& here) {
  while (const auto heard = co_await cosock::as_result(here.heard.receive()))
    for (member* each : here.members)
      if (each->room == heard.value()->room) each->out.try_send(heard.value()->line);
  here.heard.close();
  for (member* each : here.members) {
    each->tell("* the server is shutting down");
    each->out.close();  // and when that is written, it ends
  }
}

cosock::task<> serve_loop(cosock::tcp_acceptor acceptor, hall& all,
                          std::chrono::milliseconds idle) {
  place here{all, idle};
  all.add_loop(here.heard.make_sender());
  const auto handler = [&](cosock::tcp_socket& client) { return talk(client, here); };
  co_await cosock::when_all(cosock::serve(acceptor, handler), spread(here));
}

cosock::task<> chat(cosock::endpoint at, unsigned loops, std::chrono::milliseconds idle) {
  cosock::tcp_listeners listeners(at, loops, {.send_buffer = 1 << 16});
  announce(listeners.local_endpoint());
  hall all;
  const auto one = [&](unsigned i) { return serve_loop(listeners.acceptor(i), all, idle); };
  co_await cosock::run_loops(listeners.size(), one);
}

int main(int argc, char** argv) {
  unsigned loops = 1;
  std::chrono::milliseconds idle = 60s;
  const cosock::endpoint at = endpoint_option(
      argc, argv, {number_option("--loops", loops, 0, 64), seconds_option("--idle", idle)});
  return cosock::run(chat(at, loops, idle));
}
