// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// The chat server of the tutorial on a simulated network, with a fault each second: clients that crash
// and come back, lost packets, partitions, and a server that dies. At the end of it all every client has
// to be back, and to hear what is said.
//
//   chat_outages [clients [minutes [seeds]]]
//
// A run that fails prints its seed; COSOCK_SEED=<seed> repeats it.

#include <cosock/cosock.hpp>
#include <cosock/testing/network.hpp>
#include <cosock/testing/seed.hpp>

#include <charconv>
#include <chrono>
#include <cstdio>
#include <random>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

using namespace std::chrono_literals;

/// The server as it is, docs/snippets/chat_6.cpp.
cosock::task<> run_server(std::string endpoint);

namespace {

struct client_state {
  std::string name;
  int sessions = 0;
  int deliveries = 0;  // lines that others, or itself, have said
  bool heard_the_end = false;
};

cosock::task<> speak(cosock::tcp_socket& server, const client_state& self) {
  for (int i = 0;; ++i) {
    co_await cosock::sleep_for(20s);
    const std::string line = self.name + " says " + std::to_string(i) + '\n';
    co_await server.send(cosock::buffer(line));
  }
}

cosock::task<> listen(cosock::tcp_socket& server, client_state& self) {
  cosock::buffered_reader reader(server);
  while (const auto line = co_await reader.read_line()) {
    if (line->find(" says ") != line->npos) ++self.deliveries;
    if (line->ends_with("the end")) self.heard_the_end = true;
  }
  // An end of the stream, too, is a reason to connect again.
  throw boost::system::system_error(make_error_code(boost::system::errc::connection_aborted));
}

cosock::task<> run_client(client_state& self) {
  const auto session = [&self](cosock::tcp_socket& server) -> cosock::task<> {
    server.set_user_timeout(10s);
    server.set_keep_alive({.idle = 10s, .interval = 5s, .count = 2});
    // The server may not know yet that the last session has ended, so each has a name of its own.
    const std::string name = self.name + '.' + std::to_string(++self.sessions) + '\n';
    co_await server.send(cosock::buffer(name));
    co_await cosock::when_any(speak(server, self), listen(server, self));
  };
  cosock::reconnecting_client client({.cap = 5s});
  co_await client.run("chat.test", 7000, session);
}

cosock::task<> say_the_end() {
  cosock::tcp_socket server = co_await cosock::connect("chat.test", 7000);
  co_await server.send(cosock::buffer("herald\nthe end\n", 15));
  co_await cosock::sleep_for(10s);
}

/// The figures of one run.
struct result {
  std::uint64_t hash;
  int deliveries = 0;
  int sessions = 0;
  int deaf = 0;  // clients that have not heard the end
};

result run(std::uint64_t seed, int count, int minutes) {
  std::vector<client_state> states(static_cast<std::size_t>(count));
  using cosock::testing::task_order;
  cosock::testing::network net(
      {.seed = seed,
       .link = {.latency = 5ms, .jitter = 10ms},
       .order = seed % 2 == 0 ? task_order::shuffled : task_order::first_come});
  cosock::testing::host& server = net.host("10.0.0.1", "chat.test");
  std::vector<cosock::testing::host*> clients;
  for (std::size_t i = 0; i != states.size(); ++i) {
    states[i].name = "c" + std::to_string(i);
    clients.push_back(&net.host("10.0.1." + std::to_string(i + 1)));
    clients.back()->start([&state = states[i]] { return run_client(state); });
  }
  server.start([] { return run_server("0.0.0.0:7000"); });

  std::mt19937_64 random(seed);  // the same numbers everywhere, as its distributions are not
  const auto below = [&random](std::uint64_t end) { return random() % end; };
  const int seconds = 60 * minutes;
  for (int second = 1; second != seconds; ++second) {
    net.at(second * 1s, [&, second] {
      cosock::testing::host& victim = *clients[below(clients.size())];
      const auto later = second * 1s + 1ms * (500 + below(5000));
      switch (below(4)) {
        case 0:
          victim.crash();
          net.at(later, [&victim] { victim.restart(); });
          break;
        case 1:
          victim.stop();
          net.at(later, [&victim] { victim.restart(); });
          break;
        case 2:
          net.partition(server, victim);
          net.at(later, [&] { net.heal(server, victim); });
          break;
        case 3: net.link(server, victim, {.latency = 1ms * below(200), .loss = 0.01 * below(10)});
      }
      if (second % 120 == 60) server.crash();
      if (second % 120 == 63) server.restart();
    });
  }
  net.run_for(seconds * 1s);
  net.heal();
  for (cosock::testing::host* client : clients) net.link(server, *client, {.latency = 5ms});
  net.run_for(60s);
  net.host("10.0.2.1").start(&say_the_end);
  net.run_for(20s);

  result r{.hash = net.trace_hash()};
  for (const client_state& state : states) {
    r.deliveries += state.deliveries;
    r.sessions += state.sessions;
    r.deaf += !state.heard_the_end;
  }
  return r;
}

/// The number in an argument, or `otherwise` without it; 0 if it is not a number from 1 to 1000000.
int number_of(int argc, char** argv, int index, int otherwise) {
  if (index >= argc) return otherwise;
  const std::string_view text = argv[index];
  int number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  const bool good = error == std::errc() && end == text.data() + text.size();
  return good && number >= 1 && number <= 1'000'000 ? number : 0;
}

}  // namespace

int main(int argc, char** argv) {
  const int clients = number_of(argc, argv, 1, 20);
  const int minutes = number_of(argc, argv, 2, 1);
  const int seeds = number_of(argc, argv, 3, 1);
  if (argc > 4 || clients == 0 || clients > 250 || minutes == 0 || seeds == 0) {
    std::fprintf(stderr,
                 "chat_outages: usage: [clients, 1 to 250 [minutes [seeds, numbers from 1]]]\n");
    return 2;
  }
  const std::uint64_t first = cosock::testing::seed_from_environment(1);
  int failed = 0;
  for (std::uint64_t seed = first; seed != first + static_cast<std::uint64_t>(seeds); ++seed) {
    const result r = run(seed, clients, minutes);
    if (r.deaf == 0 && seeds != 1) continue;
    std::printf("seed %llu: hash %016llx, deliveries: %d, sessions: %d, deaf clients: %d\n",
                static_cast<unsigned long long>(seed), static_cast<unsigned long long>(r.hash),
                r.deliveries, r.sessions, r.deaf);
    if (r.deaf != 0) ++failed;
  }
  return failed == 0 ? 0 : 1;
}
