// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

#include <cosock/cosock.hpp>

#include <chrono>
#include <cstdio>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

using namespace std::chrono_literals;

using member_list = std::vector<struct chat_member*>;

constexpr const char* lobby = "lobby";

constexpr std::size_t max_line = 4096;
constexpr cosock::outbox_options outbox_limits{
    .max_messages = 256, .max_bytes = 1 << 20, .policy = cosock::overflow_policy::close};

/// A client that is connected.
struct chat_member {
  chat_member(cosock::tcp_socket& client, member_list& list)
      : members(list), outbox(client, outbox_limits) {
    members.push_back(this);
  }
  ~chat_member() { std::erase(members, this); }
  void tell(std::string line) { outbox.try_send(line += '\n'); }

  member_list& members;
  cosock::outbox outbox;
  std::string name = {};  // empty until the client has sent one
  std::string room = {};
};

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

cosock::task<> receive_lines(cosock::tcp_socket& client, chat_member& member) {
  cosock::buffered_reader reader(client, {.max_line = max_line});
  for (;;) {
    const auto line = co_await cosock::as_result(reader.read_line());
    if (line.error() == cosock::error::line_too_long) {
      member.tell("! line too long: the limit is " + std::to_string(max_line) + " bytes");
      co_await reader.skip_line();
      continue;
    }
    if (line.error() == cosock::error::closed) break;  // by the outbox; run() throws the reason
    if (!line.value() || **line == "/quit") break;
    handle_line(member, std::string(**line));
  }
  member.outbox.close();
}

//! [handler]
cosock::task<> handle_client(cosock::tcp_socket& client, member_list& members) {
  chat_member member(client, members);
  bool too_slow = false;
  const auto chat = [&]() -> cosock::task<> {
    const auto result = co_await cosock::as_result(cosock::when_any(
        cosock::with_grace(5s, member.outbox.run()), receive_lines(client, member)));
    too_slow = result.error() == cosock::error::slow_consumer;
    result.value();  // throws the error, if there is one
  };
  const auto announce_exit = [&]() -> cosock::task<> {
    if (member.name.empty()) co_return;
    const std::string event = too_slow ? " was disconnected: too slow" : " has left the chat";
    broadcast(members, member.room, "* " + member.name + event);
  };
  co_await cosock::finally(chat(), announce_exit);
}
//! [handler]

//! [shutdown]
/// Waits until the program is told to end, and notifies all members.
cosock::task<> announce_shutdown(member_list& members) {
  cosock::event never;
  const auto result = co_await cosock::as_result(never.wait());  // ends only when it is cancelled
  for (chat_member* member : members) {
    member->tell("* the server is shutting down");
    member->outbox.close();  // run() writes the queue and returns, which ends the handler
  }
  result.value();
}

cosock::task<> run_server(std::string endpoint) {
  cosock::tcp_acceptor acceptor(cosock::endpoint::parse(endpoint), {.send_buffer = 1 << 16});
  std::printf("listening on %s\n", acceptor.local_endpoint().to_string().c_str());
  std::fflush(stdout);
  member_list members;
  const auto handler = [&](cosock::tcp_socket& client) { return handle_client(client, members); };
  co_await cosock::when_all(cosock::serve(acceptor, handler), announce_shutdown(members));
}
//! [shutdown]

int main(int argc, char** argv) {
  return cosock::run(run_server(argc > 1 ? argv[1] : "127.0.0.1:7000"));
}
