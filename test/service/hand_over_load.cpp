// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// Hand-overs of the sample restarting_echo while 1,000 connections a second come and go: none of them
// may be refused, reset or ended early.
//
//   hand_over_load SERVER LOOPS HAND_OVERS
//
// Most connections send and receive twice, with a pause of up to 100 ms between; each hundredth stays for
// two seconds, so that the old process drains. Prints what it has counted; the status is 1 if anything was
// lost, or if the last server does not end in order.

#include <cosock/cancel.hpp>
#include <cosock/connect.hpp>
#include <cosock/descriptor_stream.hpp>
#include <cosock/error.hpp>
#include <cosock/nursery.hpp>
#include <cosock/reader.hpp>
#include <cosock/run.hpp>
#include <cosock/time.hpp>

#include <fcntl.h>
#include <spawn.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

using namespace std::chrono_literals;
using cosock::task;

struct counters {
  int connections = 0;
  int refused = 0;
  int reset = 0;
  int other = 0;
  bool ended = false;  // no further connections
  int lost() const { return refused + reset + other; }
};

/// The first server of a row of processes, each of which starts the next one.
class server {
 public:
  server(const std::string& program, const std::string& loops) {
    // The new processes become children of this one when the old ones end.
    ::prctl(PR_SET_CHILD_SUBREAPER, 1);
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) throw std::runtime_error("pipe2");
    output_ = cosock::descriptor_stream::adopt(ends[0]);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends[1], 1);
    std::vector<std::string> texts = {program, "--port", "0", "--loops", loops, "--drain", "20"};
    std::vector<char*> arguments;
    for (std::string& each : texts) arguments.push_back(each.data());
    arguments.push_back(nullptr);
    if (::posix_spawn(&process_, program.c_str(), &actions, nullptr, arguments.data(), environ) !=
        0)
      throw std::runtime_error("cannot start " + program);
    posix_spawn_file_actions_destroy(&actions);
    ::close(ends[1]);
  }
  ~server() {
    if (process_ > 0) ::kill(process_, SIGKILL);
  }
  server(const server&) = delete;

  /// The port, from the first line.
  task<std::uint16_t> port() {
    const std::string line = co_await next_line();
    co_return static_cast<std::uint16_t>(std::stoi(line.substr(line.rfind(':') + 1)));
  }
  task<> hand_over() {
    ::kill(process_, SIGHUP);
    static_cast<void>(co_await next_line());  // of the new process: where it listens
    const std::string line = co_await next_line();
    const std::string begin = "handed over to process ";
    if (line.substr(0, begin.size()) != begin) throw std::runtime_error("the server says: " + line);
    process_ = std::stoi(line.substr(begin.size()));
  }
  /// Ends the last one. Returns whether all have ended in order.
  bool end() {
    ::kill(std::exchange(process_, -1), SIGTERM);
    bool good = true;
    int status;
    while (::wait(&status) > 0) good = good && status == 0;
    return good;
  }

 private:
  task<std::string> next_line() {
    const auto line = co_await cosock::with_timeout(60s, lines_.read_line());
    if (!line) throw std::runtime_error("the server has ended");
    co_return std::string(*line);
  }

  cosock::descriptor_stream output_;
  cosock::buffered_reader lines_{output_};
  pid_t process_ = -1;
};

task<> talk(cosock::endpoint to, std::chrono::milliseconds pause) {
  auto client = co_await cosock::connect(to);
  for (int i = 0; i != 2; ++i) {
    if (i != 0) co_await cosock::sleep_for(pause);
    co_await client.send("sixteen bytes...");
    char buffer[16];
    co_await client.receive_exactly(buffer);
  }
  client.shutdown_send();
  char rest[1];
  if (co_await client.receive(rest) != 0) throw std::runtime_error("more than was sent");
}

task<> count_one(cosock::endpoint to, std::chrono::milliseconds pause, counters& all) {
  ++all.connections;
  const auto got = co_await cosock::as_result(cosock::with_timeout(60s, talk(to, pause)));
  if (got) co_return;
  const auto& e = got.error();
  int& which = e == boost::system::errc::connection_refused ? all.refused
               : e == boost::system::errc::connection_reset || e == boost::system::errc::broken_pipe
                   ? all.reset
                   : all.other;
  if (++which == 1) std::fprintf(stderr, "hand_over_load: %s\n", cosock::error_message(e).c_str());
}

task<> load(cosock::endpoint to, counters& all) {
  co_await cosock::with_nursery([&](cosock::nursery& clients) -> task<> {
    auto next = cosock::now();
    for (int i = 0; !all.ended; ++i) {
      const auto pause = i % 100 == 0 ? 2000ms : std::chrono::milliseconds(i * 37 % 100);
      clients.start(count_one, to, pause, std::ref(all));
      next += 1ms;
      co_await cosock::sleep_until(next);
    }
  });
}

task<int> run_all(std::string program, std::string loops, int hand_overs) {
  server servers(program, loops);
  const cosock::endpoint to(cosock::address::loopback_v4(), co_await servers.port());
  counters all;
  const auto begin = cosock::now();
  std::vector<double> times;
  co_await cosock::with_nursery([&](cosock::nursery& tasks) -> task<> {
    tasks.start(load, to, std::ref(all));
    for (int i = 0; i != hand_overs; ++i) {
      co_await cosock::sleep_for(200ms);
      const auto before = cosock::now();
      co_await servers.hand_over();
      times.push_back(std::chrono::duration<double, std::milli>(cosock::now() - before).count());
    }
    co_await cosock::sleep_for(200ms);
    all.ended = true;
  });
  const double took = std::chrono::duration<double>(cosock::now() - begin).count();
  const bool in_order = servers.end();
  std::sort(times.begin(), times.end());
  std::printf(
      "%d hand-overs, %s %s: %d connections in %.1f s, %d refused, %d reset, %d others "
      "lost; a hand-over takes %.1f ms (median)%s\n",
      hand_overs, loops.c_str(), loops == "1" ? "listener" : "listeners", all.connections, took,
      all.refused, all.reset, all.other, times.empty() ? 0 : times[times.size() / 2],
      in_order ? "" : "; a server did not end in order");
  co_return all.lost() == 0 && in_order ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) return cosock::usage_error("usage: hand_over_load SERVER LOOPS HAND_OVERS");
  return cosock::run(run_all(argv[1], argv[2], std::atoi(argv[3])));
}
