// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

#include <cosock/cosock.hpp>

#include <cstdio>
#include <memory>
#include <set>
#include <string>

//! [member]
using hall = std::set<struct member*>;

/// Somebody who is connected.
struct member {
  member(cosock::tcp_socket& client, hall& in) : all(in), out(client) { all.insert(this); }
  ~member() { all.erase(this); }
  void tell(std::string line) { out.try_send(line += '\n'); }

  hall& all;
  cosock::outbox out;
  std::string name = {};
  std::string room = {};  // empty: in none
};
//! [member]

//! [rooms]
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
//! [rooms]

//! [listen]
cosock::task<> listen(cosock::tcp_socket& client, member& me) {
  cosock::buffered_reader lines(client);
  while (const auto line = co_await lines.read_line()) {
    if (*line == "/quit") break;
    obey(me, std::string(*line));
  }
  me.out.close();
}

cosock::task<> talk(cosock::tcp_socket& client, hall& all) {
  member me(client, all);
  co_await cosock::finally(cosock::when_all(me.out.run(), listen(client, me)),
                           [&]() -> cosock::task<> {
                             move_to(me, "");
                             co_return;
                           });
}
//! [listen]

cosock::task<> chat(std::string at) {
  cosock::tcp_acceptor acceptor(cosock::endpoint::parse(at));
  std::printf("listening on %s\n", acceptor.local_endpoint().to_string().c_str());
  std::fflush(stdout);
  hall all;
  co_await cosock::serve(acceptor, [&](cosock::tcp_socket& client) { return talk(client, all); });
}

int main(int argc, char** argv) { return cosock::run(chat(argc > 1 ? argv[1] : "127.0.0.1:7000")); }
