// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// A chat server that runs as several processes, on one or more machines: the rooms are streams in
// Redis. It stands behind a proxy that sends the PROXY protocol. A client speaks in lines:
//
//   hello NAME KEY     first. KEY is a random word that the client chooses once and keeps. The
//                      answer is `welcome ADDRESS`, with the address of this server
//   join ROOM          enters a room; leaves the previous one. The answer is `joined ROOM ID`
//   resume ROOM ID     enters a room after an interruption, and receives all lines after this ID.
//                      `gap ROOM ID` tells that lines after this ID may be missing, because a room
//                      keeps about --keep lines only
//   say NUMBER TEXT    says a line. `ok NUMBER ID`: Redis has it. `retry NUMBER REASON`: nobody knows;
//                      say it again, with the same number. `refused NUMBER REASON`: it was not said
//
// The server sends `said ROOM ID NAME TEXT` for each line, also to its author, in the order of the IDs.
// It sends `ping` to a quiet client, which answers `pong`. Lines with `*` are remarks, those with `!`
// errors.
//
// A line is said once, however often it is repeated after a lost answer: its number is one more than that
// of the line before (from 1), and Redis keeps the last number and ID of each KEY, for a day. A script
// compares and adds in one step. Two commands would not do: a server that dies between them leaves a
// number without its line, or a line without its number; and the readers could drop repetitions only if
// each of them knew all lines from the first one.
//
// A client that connects and sends `/health` receives `health ok` if Redis answers, otherwise `health
// failed`, and is disconnected.
//
//   chat_cluster [--host ADDR] [--port PORT] [--redis-host ADDR] [--redis-port PORT]
//                [--proxy ADDR] [--keep LINES] [--idle SECONDS]
//
// Connections from the proxy (default 127.0.0.1) must begin with a PROXY header. docs/cluster.md has a
// configuration of haproxy, and what is guaranteed; tools/demo-cluster shows it.

#include <cosock/cosock.hpp>
#include <cosock/proxy_protocol.hpp>

#include <algorithm>
#include <map>
#include <memory>
#include <random>
#include <utility>
#include <vector>

#include "chat_ids.hpp"
#include "options.hpp"
#include "redis.hpp"
#include "text.hpp"

using namespace std::chrono_literals;

constexpr std::size_t max_line = 4096;
constexpr std::size_t max_rooms = 1000;  // with members on this server
constexpr std::size_t max_read = 3000;   // lines at once: within the limit of redis_reader
constexpr cosock::outbox_options outbox_limits{.max_messages = 1024,
                                               .max_bytes = 1 << 20,
                                               .policy = cosock::overflow_policy::close,
                                               .close_message = "! disconnected: too slow\n",
                                               .close_timeout = 15s};

// KEYS: the room, the last number of the author. ARGV: the number, lines to keep, name, text.
constexpr const char* say_once = R"(
local last = redis.call('HMGET', KEYS[2], 'number', 'id')
local number, previous = tonumber(ARGV[1]), tonumber(last[1] or '0')
if number == previous then return last[2] end
if number ~= previous + 1 then return 'expected ' .. previous + 1 end
local id = redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[2], '*', 'name', ARGV[3], 'text', ARGV[4])
redis.call('HSET', KEYS[2], 'number', number, 'id', id)
redis.call('EXPIRE', KEYS[1], 2592000)
redis.call('EXPIRE', KEYS[2], 86400)
return id
)";

/// A room that has members on this server.
struct chat_room {
  stream_id last;  // the reader has delivered the lines up to this one
  std::vector<struct chat_member*> members = {};
};

struct cluster_server {
  explicit cluster_server(cosock::endpoint at) : redis_endpoint(at), redis(at) {}
  cosock::endpoint redis_endpoint;
  redis_client redis;  // for commands; the reader has a connection of its own
  std::string address;
  std::string keep;
  std::chrono::milliseconds idle_limit = 60s;
  std::map<std::string, chat_room> rooms;
  std::string wake_stream = "wake:" + random_word();
  bool reading = false;
};

/// A client that is connected to this server.
struct chat_member {
  chat_member(cosock::byte_stream& client, cluster_server& to)
      : server(to), outbox(client, outbox_limits) {}
  ~chat_member() { leave(); }
  void tell(std::string line) { outbox.try_send(line += '\n'); }
  void leave() {
    const auto found = server.rooms.find(room);
    room.clear();
    if (found == server.rooms.end()) return;
    std::erase(found->second.members, this);
    if (found->second.members.empty()) server.rooms.erase(found);
  }

  cluster_server& server;
  cosock::outbox outbox;
  std::string name;
  std::string key;
  std::string room;   // empty: none
  stream_id last;     // the last line that was sent to the member, or will not be
  bool live = false;  // has all lines that the room had when the member came
};

/// The line for the members, from an entry `[ID, [name, NAME, text, TEXT]]`; empty for the entry with
/// which a room begins.
std::string said_line(const std::string& room, const redis_reply& entry) {
  const auto& fields = entry.items.at(1).items;
  if (fields.size() != 4) return {};
  return "said " + room + ' ' + entry.items.at(0).text + ' ' + fields[1].text + ' ' +
         fields[3].text + '\n';
}

cosock::task<redis_reply> range(redis_client& redis, std::string room, std::string from,
                                std::string to, std::string count) {
  const std::string key = "room:" + room;
  const std::string command = redis_command({"XRANGE", key, from, to, "COUNT", count});
  return redis.call(command);
}

/// Returns the ID of the last line of a room. A new room gets an entry first, so that an ID which is
/// no longer in the room means that lines were removed.
cosock::task<stream_id> last_id(redis_client& redis, std::string room) {
  const std::string key = "room:" + room;
  const std::string find = redis_command({"XREVRANGE", key, "+", "-", "COUNT", "1"});
  const std::string begin = redis_command({"XADD", key, "0-1", "begin", ""});
  const std::string expire = redis_command({"EXPIRE", key, "86400"});  // until a line is said
  for (;;) {
    const redis_reply found = co_await redis.call(find);
    if (!found.items.empty()) co_return parse_id(found.items[0].items.at(0).text).value();
    // Fails if another server was faster.
    const auto begun = co_await cosock::as_result(redis.call(begin));
    if (!begun && begun.error() != boost::system::errc::protocol_error) begun.value();
    if (begun) co_await redis.call(expire);
  }
}

/// Has the reader continue with the rooms of now: an entry in a stream that only it reads. Unlike
/// CLIENT UNBLOCK, the entry also counts if the reader begins to wait later.
cosock::task<> wake_reader(cluster_server& server) {
  const std::string wake =
      redis_command({"XADD", server.wake_stream, "MAXLEN", "1", "*", "wake", ""});
  const std::string expire = redis_command({"EXPIRE", server.wake_stream, "3600"});
  // If Redis is away, the reader begins again, too.
  const auto woken = co_await cosock::as_result(server.redis.call(wake));
  if (woken.error() == cosock::error::cancelled) woken.value();
  if (woken) co_await cosock::as_result(server.redis.call(expire));
}

/// Sends the lines since the last one of the member from Redis, page by page as fast as the client reads,
/// until it has those that the reader has delivered. Each page begins with the line before, so that lines
/// that were removed in the meantime are noticed.
cosock::task<> catch_up(chat_member& member, const chat_room& room) {
  while (member.last < room.last) {
    const std::string from = to_string(member.last);
    const redis_reply page = co_await range(member.server.redis, member.room, from, "+", "100");
    bool first = true;
    for (const redis_reply& entry : page.items) {
      const stream_id id = parse_id(entry.items.at(0).text).value();
      if (first && id != member.last) member.tell("gap " + member.room + ' ' + from);
      if (std::exchange(first, false) && id == member.last) continue;
      member.last = id;
      std::string line = said_line(member.room, entry);
      if (!line.empty()) member.outbox.try_send(std::move(line));
    }
    if (page.items.size() < 2) co_return;
    co_await cosock::with_timeout(member.server.idle_limit, member.outbox.flush());
  }
}

/// Whether a line is still in a room.
cosock::task<bool> has_line(redis_client& redis, std::string room, stream_id id) {
  const std::string text = to_string(id);
  const redis_reply found = co_await range(redis, room, text, text, "1");
  co_return !found.items.empty();
}

/// Enters a room: first the lines since `after`, then those of the reader.
cosock::task<> enter(chat_member& member, std::string name, std::optional<stream_id> after) {
  cluster_server& server = member.server;
  member.leave();
  const stream_id newest = co_await last_id(server.redis, name);
  const bool is_known = !after || co_await has_line(server.redis, name, *after);
  if (server.rooms.size() >= max_rooms && !server.rooms.contains(name))
    co_return member.tell("! this server has too many rooms");
  const auto [found, is_new] = server.rooms.try_emplace(name, chat_room{newest});
  chat_room& room = found->second;  // stays while it has members
  room.members.push_back(&member);
  member.room = name;
  member.last = after.value_or(newest);
  member.live = false;
  // If there are later lines, catch_up() notices the same.
  if (!is_known && member.last >= room.last) member.tell("gap " + name + ' ' + to_string(*after));
  member.tell("joined " + name + ' ' + to_string(member.last));
  if (is_new) co_await wake_reader(server);
  co_await catch_up(member, room);
  member.live = true;
}

cosock::task<> say(chat_member& member, std::string number, std::string text) {
  const std::string room = "room:" + member.room;
  const std::string author = "author:" + member.key;
  const std::string command = redis_command(
      {"EVAL", say_once, "2", room, author, number, member.server.keep, member.name, text});
  const auto answer = co_await cosock::as_result(member.server.redis.call(command));
  if (!answer) {
    if (answer.error() == cosock::error::cancelled) answer.value();
    co_return member.tell("retry " + number + ' ' + answer.error().message());
  }
  const std::string& id = answer.value().text;
  member.tell((parse_id(id) ? "ok " : "refused ") + number + ' ' + id);
}

cosock::task<> handle_line(chat_member& member, std::string line) {
  const std::vector<std::string> words = split(line, 3);
  const std::string& command = words[0];
  if (command == "pong") co_return;
  if (command == "join" && words.size() == 2 && is_name(words[1]))
    co_return co_await enter(member, words[1], std::nullopt);
  if (command == "resume" && words.size() == 3 && is_name(words[1]) && parse_id(words[2]))
    co_return co_await enter(member, words[1], parse_id(words[2]));
  if (command == "say" && words.size() == 3 && is_number(words[1])) {
    if (member.room.empty()) co_return member.tell("refused " + words[1] + " not in a room");
    co_return co_await say(member, words[1], words[2]);
  }
  member.tell("! commands: join ROOM, resume ROOM ID, say NUMBER TEXT");
}

cosock::task<> receive_lines(cosock::buffered_reader& reader, chat_member& member) {
  const auto idle_limit = member.server.idle_limit;
  for (bool pinged = false;;) {
    const auto line =
        co_await cosock::as_result(cosock::with_timeout(idle_limit, reader.read_line()));
    const bool idle = line.error() == cosock::error::timed_out;
    if (idle && pinged) co_return member.tell("! disconnected: no answer to ping");
    pinged = idle;
    if (idle) {
      member.tell("ping");
    } else if (line.error() == cosock::error::line_too_long) {
      co_return member.tell("! line too long: the limit is " + std::to_string(max_line) + " bytes");
    } else if (!line || !*line) {
      co_return;
    } else {
      const auto handled = co_await cosock::as_result(handle_line(member, printable(**line)));
      if (handled.error() == cosock::error::cancelled) handled.value();
      // The client comes back, perhaps to another server, and resumes.
      if (!handled) co_return member.tell("! disconnected: " + handled.error().message());
    }
  }
}

cosock::task<> handle_client(cosock::tcp_socket& client, const cosock::connection& connection,
                             cluster_server& server) {
  cosock::buffered_reader reader(client, {.max_line = max_line});
  const auto first = co_await cosock::with_timeout(10s, reader.read_line());
  if (!first) co_return;
  if (*first == "/health") {
    const bool healthy = server.redis.is_ready() && server.reading && !connection.is_draining();
    co_await client.send(std::string_view(healthy ? "health ok\n" : "health failed\n"));
    co_return;
  }
  const std::vector<std::string> words = split(printable(*first), 3);
  if (words.size() != 3 || words[0] != "hello" || !is_name(words[1]) || !is_name(words[2])) {
    co_await client.send("! the first line is hello NAME KEY\n");
    co_return;
  }
  chat_member member(client, server);
  member.name = words[1];
  member.key = words[2];
  member.tell("welcome " + server.address);
  std::printf("%s comes from %s\n", member.name.c_str(), connection.source().to_string().c_str());
  std::fflush(stdout);
  const auto until_stop = [&]() -> cosock::task<> {
    co_await connection.draining();
    member.tell("* the server is shutting down");
  };
  const auto lines = [&]() -> cosock::task<> {
    co_await cosock::when_any(receive_lines(reader, member), until_stop());
    member.outbox.close();
  };
  // After the last line, the outbox gets 5 seconds to write its queue.
  co_await cosock::when_any(cosock::with_grace(5s, member.outbox.run()), lines());
}

/// Sends the lines of a reply of XREAD to the members.
void deliver(cluster_server& server, const redis_reply& reply, stream_id& woken) {
  for (const redis_reply& stream : reply.items) {
    const std::string& key = stream.items.at(0).text;
    const std::string name = key.starts_with("room:") ? key.substr(5) : std::string();
    const auto found = server.rooms.find(name);
    for (const redis_reply& entry : stream.items.at(1).items) {
      const stream_id id = parse_id(entry.items.at(0).text).value();
      if (key == server.wake_stream) woken = id;
      if (found == server.rooms.end() || id <= found->second.last) continue;
      found->second.last = id;
      const auto line = std::make_shared<const std::string>(said_line(name, entry));
      for (chat_member* member : found->second.members) {
        if (!member->live || id <= member->last) continue;
        member->last = id;
        if (!line->empty()) member->outbox.try_send(line);
      }
    }
  }
}

/// After an outage, a room may have lost lines that no member here has received.
cosock::task<> check_rooms(cluster_server& server) {
  std::vector<std::pair<std::string, stream_id>> places;
  for (const auto& [name, room] : server.rooms) places.emplace_back(name, room.last);
  for (const auto& [name, id] : places) {
    if (co_await has_line(server.redis, name, id)) continue;
    const auto found = server.rooms.find(name);
    if (found == server.rooms.end()) continue;
    for (chat_member* member : found->second.members)
      if (member->live) member->tell("gap " + name + ' ' + to_string(id));
  }
}

/// Reads all rooms of this server, on one connection. After an outage it continues with the last IDs.
cosock::task<> read_rooms(cluster_server& server) {
  cosock::reconnecting_client client({.base = 50ms, .cap = 1s, .on_retry = report_retry});
  stream_id woken;
  const auto connect = [&] {
    return cosock::with_timeout(2s, cosock::connect(server.redis_endpoint));
  };
  const auto session = [&](cosock::tcp_socket& socket) -> cosock::task<> {
    struct reading_ends {
      cluster_server& server;
      ~reading_ends() { server.reading = false; }
    } const at_end{server};
    co_await check_rooms(server);
    redis_reader replies(socket, server.redis_endpoint);
    for (;;) {
      const std::size_t count =
          std::clamp<std::size_t>(max_read / (server.rooms.size() + 1), 1, 100);
      std::vector<std::string> words = {"XREAD", "COUNT", std::to_string(count),
                                        "BLOCK", "2000",  "STREAMS"};
      words.push_back(server.wake_stream);
      for (const auto& [name, room] : server.rooms) words.push_back("room:" + name);
      words.push_back(to_string(woken));
      for (const auto& [name, room] : server.rooms) words.push_back(to_string(room.last));
      const std::vector<std::string_view> views(words.begin(), words.end());
      const std::string command = redis_command(views);
      co_await socket.send(command);
      server.reading = true;
      const redis_reply reply = co_await cosock::with_timeout(5s, replies.read());
      if (reply.is_error())
        raise_redis_error(boost::system::errc::protocol_error, server.redis_endpoint, reply.text);
      client.succeeded();
      deliver(server, reply, woken);
    }
  };
  co_await client.run(connect, session);
}

/// Tells the members when Redis goes away, and when it is back.
cosock::task<> report_redis(cluster_server& server) {
  for (bool known = true;;) {
    co_await cosock::sleep_for(100ms);
    const bool ready = server.redis.is_ready() && server.reading;
    if (ready == known) continue;
    known = ready;
    for (auto& [name, room] : server.rooms)
      for (chat_member* member : room.members)
        member->tell(ready ? "* redis is back" : "* redis is away: say it again later");
  }
}

cosock::task<> run_server(cosock::endpoint endpoint, cluster_server& server,
                          cosock::address proxy) {
  cosock::tcp_acceptor acceptor(endpoint);
  server.address = acceptor.local_endpoint().to_string();
  announce(acceptor.local_endpoint());
  cosock::trusted_proxies trusted;
  trusted.add(proxy.to_string());
  const auto handler = [&](cosock::tcp_socket& client, const cosock::connection& connection) {
    return handle_client(client, connection, server);
  };
  // The members can use Redis until the last of them has left.
  cosock::cancel_scope connections;
  const auto serve = [&]() -> cosock::task<> {
    const auto end = [&]() -> cosock::task<> {
      connections.cancel();
      co_return;
    };
    co_await cosock::finally(cosock::serve(acceptor, cosock::behind_proxy(trusted, handler)), end);
  };
  const auto keep_connections = [&]() -> cosock::task<> {
    co_await cosock::when_all(server.redis.run(), read_rooms(server), report_redis(server));
  };
  co_await cosock::when_all(serve(), cosock::shielded(connections.run(keep_connections())));
}

int main(int argc, char** argv) {
  cosock::address redis_host = cosock::address::loopback_v4();
  cosock::address proxy = cosock::address::loopback_v4();
  std::uint16_t redis_port = 6379;
  unsigned keep = 10'000;
  std::chrono::milliseconds idle_limit = 60s;
  const cosock::endpoint endpoint = endpoint_option(
      argc, argv,
      {address_option("--redis-host", redis_host), port_option("--redis-port", redis_port),
       address_option("--proxy", proxy), number_option("--keep", keep, 1000, 1'000'000),
       seconds_option("--idle", idle_limit)});
  cluster_server server({redis_host, redis_port});
  server.keep = std::to_string(keep);
  server.idle_limit = idle_limit;
  return cosock::run(run_server(endpoint, server, proxy));
}
