// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

#include <cosock/cosock.hpp>

#include <cstdio>
#include <memory>
#include <set>
#include <string>

using hall = std::set<struct member*>;

//! [limits]
constexpr std::size_t longest_line = 4096;
constexpr cosock::outbox_options limits{
    .max_messages = 256, .max_bytes = 1 << 20, .policy = cosock::when_full::close};
//! [limits]

/// Somebody who is connected.
struct member {
  member(cosock::tcp_socket& client, hall& in) : all(in), out(client, limits) { all.insert(this); }
  ~member() { all.erase(this); }
  void tell(std::string line) { out.try_send(line += '\n'); }

  hall& all;
  cosock::outbox out;
  std::string name = {};
  std::string room = {};  // empty: in none
};

void say(hall& all, const std::string& room, const std::string& line) {
  const auto text = std::make_shared<const std::string>(line + '\n');
  for (member* each : all)
    if (each->room == room) each->out.try_send(text);
}

/// To another room, or to none.
void move_to(member& me, const std::string& room) {
  if (!me.room.empty()) say(me.all, me.room, "* " + me.name + " has left " + me.room);
  me.room = room;
  if (!room.empty()) say(me.all, room, "* " + me.name + " has joined " + room);
}

void take_name(member& me, const std::string& name) {
  for (member* each : me.all)
    if (each->name == name) return me.tell("! there is a " + name + " already");
  me.name = name;
  me.tell("* hello " + name + ": /join ROOM, /leave, /who, /quit");
}

std::string who(const hall& all, const std::string& room) {
  std::set<std::string> names;
  for (member* each : all)
    if (each->room == room) names.insert(' ' + each->name);
  std::string all_names;
  for (const std::string& each : names) all_names += each;
  return all_names;
}

void obey(member& me, const std::string& line) {
  if (me.name.empty()) return take_name(me, line);
  if (line == "/who") return me.tell("* here:" + who(me.all, me.room));
  if (line == "/leave") return move_to(me, "");
  if (line.starts_with("/join ")) return move_to(me, line.substr(6));
  if (line.starts_with('/')) return me.tell("! there are /join ROOM, /leave, /who and /quit");
  if (me.room.empty()) return me.tell("! you are in no room: /join one");
  say(me.all, me.room, me.name + ": " + line);
}

//! [listen]
cosock::task<> listen(cosock::tcp_socket& client, member& me) {
  cosock::buffered_reader lines(client, {.max_line = longest_line});
  for (;;) {
    const auto line = co_await cosock::as_result(lines.read_line());
    if (line.error() == cosock::error::line_too_long) {
      me.tell("! a line has " + std::to_string(longest_line) + " bytes at most");
      co_await lines.skip_line();
      continue;
    }
    if (line.error() == cosock::error::closed) break;  // by the outbox, which says why
    if (!line.value() || **line == "/quit") break;
    obey(me, std::string(**line));
  }
  me.out.close();
}
//! [listen]

//! [talk]
cosock::task<> talk(cosock::tcp_socket& client, hall& all) {
  member me(client, all);
  bool slow = false;
  const auto chat = [&]() -> cosock::task<> {
    const auto ended = co_await cosock::as_result(
        cosock::when_all(me.out.run(), listen(client, me)));
    slow = ended.error() == cosock::error::slow_consumer;
    ended.value();  // throws, if it was an error
  };
  const auto leave = [&]() -> cosock::task<> {
    if (slow)
      say(all, me.room, "* " + me.name + " was too slow and is dropped");
    else
      move_to(me, "");
    co_return;
  };
  co_await cosock::finally(chat(), leave);
}
//! [talk]

cosock::task<> chat(std::string at) {
  cosock::tcp_acceptor acceptor(cosock::endpoint::parse(at), {.send_buffer = 1 << 16});
  std::printf("listening on %s\n", acceptor.local_endpoint().to_string().c_str());
  std::fflush(stdout);
  hall all;
  co_await cosock::serve(acceptor, [&](cosock::tcp_socket& client) { return talk(client, all); });
}

int main(int argc, char** argv) { return cosock::run(chat(argc > 1 ? argv[1] : "127.0.0.1:7000")); }
