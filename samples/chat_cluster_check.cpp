// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// Clients of chat_cluster that check it. Each member says its lines, one after the other, and says a line
// again if it does not know whether it was said. When its connection is lost, it connects again, and
// resumes after the last line that it has received. At the end, the program checks that each member has
// received each acknowledged line, and no other, in the order of the IDs, without repeats.
//
//   chat_cluster_check [--port PORT] [--members N] [--lines N] [--outages N] [--show N]
//                      [--limit SECONDS]
//
// The members go on until the program has seen that many interrupted connections, and a member whose
// connection was lost has said ten more lines. It prints `half` when half of the lines are said, and the
// first lines that a member receives over each connection.

#include <cosock/cosock.hpp>

#include <algorithm>
#include <deque>
#include <map>
#include <stdexcept>

#include "chat_ids.hpp"
#include "options.hpp"

using namespace std::chrono_literals;

struct chat_check {
  const std::string room = "check-" + random_word();
  std::uint16_t port = 7000;
  unsigned members = 4;
  unsigned lines = 100;   // of each member, at least
  unsigned outages = 0;   // connections that have to be lost
  unsigned show = 2;      // received lines to print, of each connection
  unsigned lost = 0;      // connections
  unsigned entered = 0;   // members that have entered the room
  unsigned finished = 0;  // members that say no more
  unsigned repeated = 0;  // lines that were said again
  std::map<stream_id, std::string> acknowledged = {};
};

struct check_member {
  check_member(chat_check& all, std::string own_name)
      : check(all), name(std::move(own_name)), until(all.lines) {}
  chat_check& check;
  const std::string name;
  const std::string key = random_word();
  std::optional<stream_id> last;  // received, or the place where it has entered
  std::vector<std::pair<stream_id, std::string>> received;
  unsigned number = 1;  // of the line that is to be said
  unsigned sent = 0;    // of the last line that was sent
  unsigned until;       // the number of its last line
  unsigned to_show = 0;
  bool finished = false;

  std::string text() const { return "line " + std::to_string(number) + " of " + name; }
  void print(const std::string& text) const {
    std::printf("  %-6s %s\n", name.c_str(), text.c_str());
    std::fflush(stdout);
  }
};

[[noreturn]] void fail(const check_member& member, const std::string& reason) {
  throw std::runtime_error(member.name + ' ' + reason);
}

/// Says the next line, or the last one again.
cosock::task<> say(cosock::byte_stream& server, check_member& member) {
  if (member.number > member.until && member.check.lost >= member.check.outages) {
    if (!member.finished) ++member.check.finished;
    member.finished = true;
    co_return;
  }
  if (member.sent == member.number) ++member.check.repeated;
  member.sent = member.number;
  const std::string line = "say " + std::to_string(member.number) + ' ' + member.text() + '\n';
  co_await server.send(line);
}

/// `ok NUMBER ID`
void note_acknowledged(check_member& member, const std::string& answer) {
  const std::vector<std::string> words = split(answer, 2);
  const auto id = parse_id(words.back());
  if (!id || words[0] != std::to_string(member.number)) fail(member, "received: ok " + answer);
  chat_check& check = member.check;
  if (!check.acknowledged.emplace(*id, member.text()).second)
    fail(member, "was given the ID of another line: " + words[1]);
  ++member.number;
  if (check.acknowledged.size() == std::size_t{check.lines} * check.members / 2) {
    std::puts("half");
    std::fflush(stdout);
  }
}

/// `said ROOM ID NAME TEXT`
void note_said(check_member& member, const std::string& line) {
  const std::vector<std::string> words = split(line, 4);
  const auto id = words.size() == 4 ? parse_id(words[1]) : std::nullopt;
  if (!id) fail(member, "received: said " + line);
  if (*id <= member.last.value())
    fail(member, "received " + words[1] + " after " + to_string(*member.last));
  member.last = id;
  member.received.emplace_back(*id, words[3]);
  if (member.to_show == 0) return;
  --member.to_show;
  member.print("hears " + words[2] + ": " + words[3]);
}

/// `joined ROOM ID`; the members wait for each other, so that all receive the same.
cosock::task<> begin(cosock::byte_stream& server, check_member& member, std::string place) {
  chat_check& check = member.check;
  if (!member.last) {
    member.last = parse_id(split(place, 2).back());
    if (!member.last) fail(member, "received: joined " + place);
    ++check.entered;
  }
  while (check.entered != check.members) co_await cosock::sleep_for(2ms);
  co_await say(server, member);
}

/// One connection of a member, until it is lost.
cosock::task<> talk(cosock::tcp_socket& server, check_member& member,
                    cosock::reconnecting_client& client) {
  const std::string enter = member.last
                                ? "resume " + member.check.room + ' ' + to_string(*member.last)
                                : "join " + member.check.room;
  const std::string hello = "hello " + member.name + ' ' + member.key + '\n' + enter + '\n';
  co_await server.send(hello);
  cosock::buffered_reader reader(server);
  while (const auto line = co_await reader.read_line()) {
    const std::vector<std::string> words = split(*line, 2);
    const std::string rest = words.size() == 2 ? words[1] : std::string();
    if (words[0] == "ping") {
      co_await server.send("pong\n");
    } else if (words[0] == "welcome") {
      member.print((member.last ? "is back, on server " : "is on server ") + rest);
      member.to_show = member.check.show;
    } else if (words[0] == "joined") {
      client.succeeded();
      co_await begin(server, member, rest);
    } else if (words[0] == "said") {
      note_said(member, rest);
    } else if (words[0] == "ok") {
      note_acknowledged(member, rest);
      co_await cosock::sleep_for(2ms);
      co_await say(server, member);
    } else if (words[0] == "retry") {
      co_await cosock::sleep_for(50ms);
      co_await say(server, member);
    } else if (words[0] == "*" || words[0] == "!") {
      member.print("is told: " + std::string(*line));
    } else {
      fail(member, "received: " + std::string(*line));  // `gap` and `refused` too
    }
  }
}

cosock::task<> stay(check_member& member) {
  cosock::reconnecting_client client({.base = 50ms, .cap = 500ms});
  const auto session = [&](cosock::tcp_socket& server) -> cosock::task<> {
    const auto ended = co_await cosock::as_result(talk(server, member, client));
    if (!ended && ended.error() == cosock::error::cancelled) ended.value();
    if (member.last) {
      ++member.check.lost;
      member.until = std::max(member.check.lines, member.number + 10);
      member.print("has lost its connection, after " + to_string(*member.last));
    }
    ended.value();  // throws the error, if there is one
  };
  co_await client.run("127.0.0.1", member.check.port, session);
}

void compare(const chat_check& check, const check_member& member) {
  auto expected = check.acknowledged.begin();
  for (const auto& [id, text] : member.received) {
    if (expected == check.acknowledged.end() || id < expected->first)
      fail(member, "received a line that was not acknowledged: " + to_string(id) + ' ' + text);
    if (id != expected->first)
      fail(member, "has not received " + to_string(expected->first) + ' ' + expected->second);
    if (text != expected->second)
      fail(member, "received " + text + " instead of " + expected->second);
    ++expected;
  }
  if (expected != check.acknowledged.end())
    fail(member, "has not received " + to_string(expected->first) + ' ' + expected->second);
}

cosock::task<> run_check(chat_check& check, std::chrono::milliseconds limit) {
  std::deque<check_member> members;
  const std::vector<std::string> names = {"alice", "bob", "carol", "dave"};
  for (unsigned i = 0; i != check.members; ++i)
    members.emplace_back(check, i < names.size() ? names[i] : "guest" + std::to_string(i));
  const auto all_received = [&] {
    return check.finished == check.members &&
           std::all_of(members.begin(), members.end(), [&](const check_member& member) {
             return member.last >= check.acknowledged.rbegin()->first;
           });
  };
  const auto work = [&](cosock::nursery& tasks) -> cosock::task<> {
    for (check_member& member : members) tasks.start([&] { return stay(member); });
    while (!all_received()) co_await cosock::sleep_for(10ms);
    tasks.cancel();
  };
  const auto in_time =
      co_await cosock::as_result(cosock::with_timeout(limit, cosock::with_nursery(work)));
  for (const check_member& member : members) compare(check, member);
  in_time.value();
  std::map<std::string, stream_id> said;
  for (const auto& [id, text] : check.acknowledged)
    if (!said.emplace(text, id).second) throw std::runtime_error("said twice: " + text);
  std::printf(
      "%zu acknowledged lines, each received by %u members, in order, without repeats; "
      "%u lost connections, %u lines said again\n",
      check.acknowledged.size(), check.members, check.lost, check.repeated);
}

int main(int argc, char** argv) {
  chat_check check;
  std::chrono::milliseconds limit = 60s;
  read_options(
      argc, argv,
      {port_option("--port", check.port), number_option("--members", check.members, 1, 100),
       number_option("--lines", check.lines, 1, 100'000),
       number_option("--outages", check.outages, 0, 100),
       number_option("--show", check.show, 0, 100), seconds_option("--limit", limit)});
  return cosock::run(run_check(check, limit));
}
