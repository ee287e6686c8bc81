// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// Programs that hang, each in a way of its own. Prints the dump of each, for docs/snippets/check_dumps.

#include <cosock/cosock.hpp>
#include <cosock/testing/network.hpp>
#include <cosock/testing/virtual_loop.hpp>

#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <functional>
#include <string>

using namespace std::chrono_literals;

namespace {

using cosock::nursery;
using cosock::task;

/// Runs the program for a while, and prints what its tasks wait for then.
void print_dump(const char* name, task<> program, cosock::time_span after = 4s) {
  cosock::testing::virtual_loop loop({.closed = true});
  auto running = loop.start(std::move(program));
  loop.advance(after);
  std::printf("== %s\n%s\n", name, cosock::dump_tasks(loop).c_str());
}

//! [mutexes]
task<> transfer(cosock::mutex& from, cosock::mutex& to) {
  const auto first = co_await from.lock();
  co_await cosock::sleep_for(1s);
  const auto second = co_await to.lock();
}

task<> two_transfers() {
  cosock::mutex savings;
  cosock::mutex checking;
  const auto both = [&](nursery& n) -> task<> {
    n.start(transfer, std::ref(savings), std::ref(checking));
    n.start(transfer, std::ref(checking), std::ref(savings));
    co_return;
  };
  co_await cosock::with_nursery(both);
}
//! [mutexes]

//! [event]
task<> wait_for_configuration(cosock::event& loaded) { co_await loaded.wait(); }

task<> load_configuration(cosock::event& loaded, bool file_exists) {
  co_await cosock::yield();
  if (file_exists) loaded.set();
}

task<> start_up() {
  cosock::event loaded;
  co_await cosock::when_all(wait_for_configuration(loaded), load_configuration(loaded, false));
}
//! [event]

//! [channels]
/// Both send before they receive, and the channels have no room for what both send.
task<> exchange(cosock::channel<int>& to, cosock::channel<int>& from) {
  for (int i = 0; i != 10; ++i) co_await to.send(i);
  while (const auto number = co_await from.receive()) continue;
}

task<> two_exchanges() {
  cosock::channel<int> there(4);
  cosock::channel<int> back(4);
  co_await cosock::when_all(exchange(there, back), exchange(back, there));
}
//! [channels]

//! [permit]
task<> query(cosock::semaphore& connections, bool fails) {
  auto connection = co_await connections.acquire();
  co_await cosock::sleep_for(1ms);
  if (fails) connection.forget();  // meant to be released later, and is not
}

task<> three_queries() {
  cosock::semaphore connections(1);
  co_await query(connections, true);
  co_await cosock::when_all(query(connections, false), query(connections, false));
}
//! [permit]

//! [peer]
task<> ask(cosock::byte_stream& peer) {
  co_await peer.send("PING\r\n");
  char answer[64];
  co_await peer.receive(answer);  // without a limit
}

task<> ask_silent_peer() {
  auto [client, server] = cosock::local_pair();
  co_await cosock::named("the cache", ask(client));
}
//! [peer]

//! [name]
task<> open_database() {
  const auto addresses = co_await cosock::resolve("db.example", 5432);  // without a limit
  auto connection = co_await cosock::connect(addresses.front());
}

task<> start_service() { co_await cosock::named("the database", open_database()); }
//! [name]

void print_name() {
  cosock::testing::network net;
  net.set_name("db.example", {}, {.answers = false});
  cosock::testing::host& host = net.host("10.0.0.1");
  std::string dump;
  host.start([&]() -> task<> {
    const auto look = [&]() -> task<> {
      co_await cosock::sleep_for(4s);
      dump = cosock::dump_tasks();
    };
    co_await cosock::when_all(start_service(), look());
  });
  net.run_for(5s);
  // The second line: without the tasks that made the dump.
  dump.erase(0, dump.find('\n') + 3);
  std::printf("== name\n%s\n", dump.substr(0, dump.find('\n')).c_str());
}

//! [drain]
/// The command "quit" waits until all connections have ended, this one included.
task<> serve_until_quit(cosock::tcp_acceptor& acceptor) {
  cosock::server_handle server;
  cosock::event ended;
  const auto talk = [&](cosock::tcp_socket& client) -> task<> {
    cosock::buffered_reader lines(client);
    while (const auto line = co_await lines.read_line()) {
      if (*line != "quit") continue;
      server.stop();
      co_await ended.wait();
    }
  };
  co_await cosock::serve(acceptor, talk, server, {.drain = cosock::unlimited});
  ended.set();
}
//! [drain]

task<> quit(cosock::endpoint at) {
  auto client = co_await cosock::connect(at);
  co_await client.send("quit\n");
  co_await cosock::sleep_for(cosock::unlimited);
}

void print_drain() {
  cosock::loop loop;
  cosock::tcp_acceptor acceptor(loop, {cosock::address::loopback_v4(), 0});
  auto server = loop.start(serve_until_quit(acceptor));
  auto client = loop.start(quit(acceptor.local_endpoint()));
  std::string dump;
  do {
    loop.run_some();
    dump = cosock::dump_tasks(loop);
  } while (dump.find("event::wait()") == dump.npos);
  // Without the client, which is the last task.
  std::printf("== drain\n%s\n", dump.substr(0, dump.rfind('\n')).c_str());
}

//! [computation]
task<> find_divisor(std::uint64_t number, std::uint64_t& divisor) {
  co_await cosock::yield();
  while (number % divisor != 0) ++divisor;
}
//! [computation]

void print_computation() {
  cosock::loop loop;
  std::string where;
  // Ends the process, which would not end otherwise.
  auto print = [](const cosock::slow_turn_event& e) {
    std::printf("== computation\na task blocks its loop since %s\n", std::string(e.where).c_str());
    std::fflush(stdout);
    ::_exit(0);
  };
  cosock::watch_turns(loop, {.slow_turn = 10ms, .on_slow_turn = print});
  loop.run([]() -> task<> {
    std::uint64_t divisor = 2;
    co_await find_divisor(18'446'744'073'709'551'557u, divisor);  // a prime
  }());
}

}  // namespace

int main() {
  ::alarm(120);
  print_dump("mutexes", two_transfers());
  print_dump("event", start_up());
  print_dump("channels", two_exchanges());
  print_dump("permit", three_queries());
  print_dump("peer", ask_silent_peer(), 0s);
  print_name();
  print_drain();
  std::fflush(stdout);
  print_computation();
}
