// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// A store of keys and values that netcat can use; a line is a command of at most 1000 bytes:
//
//   set KEY VALUE    get KEY    delete KEY    quit
//
//   line_server [--host ADDR] [--port PORT] [--idle SECONDS]
//
// Default 127.0.0.1 and 7000, port 0 picks one. A client that sends no whole line for 300 seconds,
// or for so long does not receive, is told so and ended.

#include <cosock/cancel.hpp>
#include <cosock/error.hpp>
#include <cosock/reader.hpp>
#include <cosock/run.hpp>
#include <cosock/serve.hpp>
#include <cosock/tcp.hpp>

#include <cstdio>
#include <map>
#include <string>
#include <string_view>

#include "options.hpp"

using store = std::map<std::string, std::string, std::less<>>;

/// Cuts the first word off.
std::string_view word(std::string_view& line) {
  const std::string_view first = line.substr(0, line.find(' '));
  line.remove_prefix(std::min(first.size() + 1, line.size()));
  return first;
}

/// The answer to a command; empty for the last one.
std::string answer(store& all, std::string_view line) {
  const std::string_view command = word(line);
  const std::string_view key = word(line);
  if (command == "quit") return {};
  if (key.empty()) return "error: set KEY VALUE, get KEY, delete KEY, or quit\n";
  if (command == "set") {
    all.insert_or_assign(std::string(key), std::string(line));
    return "ok\n";
  }
  const auto found = all.find(key);
  if (command == "get") return found == all.end() ? "none\n" : "value " + found->second + '\n';
  if (command != "delete") return "error: no such command\n";
  if (found == all.end()) return "none\n";
  all.erase(found);
  return "ok\n";
}

cosock::task<> talk(cosock::byte_stream& client, store& all, std::chrono::milliseconds idle) {
  cosock::reader_options limits;
  limits.max_line = 1000;
  cosock::buffered_reader lines(client, limits);
  boost::system::error_code refused;
  try {
    while (const auto line = co_await cosock::with_timeout(idle, lines.read_line())) {
      const std::string said = answer(all, *line);
      if (said.empty()) co_return;
      co_await cosock::with_timeout(idle, client.send(said));
    }
  } catch (const boost::system::system_error& e) {
    refused = e.code();
    if (refused != cosock::error::line_too_long && refused != cosock::error::timed_out) throw;
  }
  if (!refused) co_return;
  const std::string why = "error: " + refused.message() + '\n';
  co_await cosock::with_timeout(idle, client.send(why));
}

cosock::task<> serve_store(cosock::endpoint at, std::chrono::milliseconds idle) {
  cosock::tcp_acceptor acceptor(at);
  std::printf("listening on %s\n", acceptor.local_endpoint().to_string().c_str());
  std::fflush(stdout);
  store all;  // one loop, one thread: nothing to lock
  const auto handler = [&](cosock::tcp_socket& client) { return talk(client, all, idle); };
  co_await cosock::serve(acceptor, handler);
}

int main(int argc, char** argv) {
  std::chrono::milliseconds idle = std::chrono::seconds(300);
  const cosock::endpoint at = endpoint_option(argc, argv, {seconds_option("--idle", idle)});
  return cosock::run(serve_store(at, idle));
}
