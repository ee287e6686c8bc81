// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

#include <cosock/cosock.hpp>

#include <cstdio>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

//! [member]
using member_list = std::vector<struct chat_member*>;

constexpr const char* lobby = "lobby";  // the room that every member enters first

/// A client that is connected.
struct chat_member {
  chat_member(cosock::tcp_socket& client, member_list& list) : members(list), outbox(client) {
    members.push_back(this);
  }
  ~chat_member() { std::erase(members, this); }
  void tell(std::string line) { outbox.try_send(line += '\n'); }

  member_list& members;
  cosock::outbox outbox;
  std::string name = {};  // empty until the client has sent one
  std::string room = {};
};
//! [member]

//! [rooms]
/// Sends a line to all members of a room.
void broadcast(member_list& members, const std::string& room, const std::string& line) {
  const auto text = std::make_shared<const std::string>(line + '\n');
  for (chat_member* member : members)
    if (member->room == room) member->outbox.try_send(text);
}

void list_members(chat_member& member) {
  std::set<std::string> names;
  for (chat_member* other : member.members)
    if (other->room == member.room) names.insert(other->name);
  std::string line = "* in " + member.room + ':';
  for (const std::string& name : names) line += ' ' + name;
  member.tell(line);
}

void announce_entry(chat_member& member) {
  list_members(member);
  broadcast(member.members, member.room, "* " + member.name + " has joined " + member.room);
}

void change_room(chat_member& member, const std::string& room) {
  if (room == member.room) return member.tell("! you are already in " + room);
  const std::string previous = std::exchange(member.room, room);
  broadcast(member.members, previous, "* " + member.name + " has left " + previous);
  announce_entry(member);
}

void set_name(chat_member& member, const std::string& name) {
  if (name.empty()) return member.tell("! a name is not empty");
  for (chat_member* other : member.members)
    if (other->name == name) return member.tell("! the name " + name + " is taken");
  member.name = name;
  member.room = lobby;
  member.tell("* welcome, " + name + "; commands: /join ROOM, /leave, /who, /quit");
  announce_entry(member);
}

void handle_line(chat_member& member, const std::string& line) {
  if (member.name.empty()) return set_name(member, line);
  if (line == "/who") return list_members(member);
  if (line == "/leave") return change_room(member, lobby);
  if (line.starts_with("/join ") && line.size() > 6) return change_room(member, line.substr(6));
  if (line.starts_with('/'))
    return member.tell("! unknown command; commands: /join ROOM, /leave, /who, /quit");
  broadcast(member.members, member.room, member.name + ": " + line);
}
//! [rooms]

//! [handler]
cosock::task<> receive_lines(cosock::tcp_socket& client, chat_member& member) {
  cosock::buffered_reader reader(client);
  while (const auto line = co_await reader.read_line()) {
    if (*line == "/quit") break;
    handle_line(member, std::string(*line));
  }
  member.outbox.close();
}

cosock::task<> handle_client(cosock::tcp_socket& client, member_list& members) {
  chat_member member(client, members);
  const auto announce_exit = [&]() -> cosock::task<> {
    if (!member.name.empty())
      broadcast(members, member.room, "* " + member.name + " has left the chat");
    co_return;
  };
  co_await cosock::finally(
      cosock::when_all(member.outbox.run(), receive_lines(client, member)), announce_exit);
}
//! [handler]

cosock::task<> run_server(std::string endpoint) {
  cosock::tcp_acceptor acceptor(cosock::endpoint::parse(endpoint));
  std::printf("listening on %s\n", acceptor.local_endpoint().to_string().c_str());
  std::fflush(stdout);
  member_list members;
  const auto handler = [&](cosock::tcp_socket& client) { return handle_client(client, members); };
  co_await cosock::serve(acceptor, handler);
}

int main(int argc, char** argv) {
  return cosock::run(run_server(argc > 1 ? argv[1] : "127.0.0.1:7000"));
}
