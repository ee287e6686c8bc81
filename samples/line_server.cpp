// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// A key-value store with a line protocol; netcat can be its client. Each line is a command:
//
//   set KEY VALUE    get KEY    delete KEY    quit
//
//   line_server [--host ADDR] [--port PORT] [--idle SECONDS]
//
// By default it listens on 127.0.0.1, port 7000; port 0 picks a free port. After a line of more than
// 1000 bytes, or 300 seconds without a whole line, it sends an error and disconnects the client.

#include <cosock/cancel.hpp>
#include <cosock/error.hpp>
#include <cosock/reader.hpp>
#include <cosock/run.hpp>
#include <cosock/serve.hpp>
#include <cosock/tcp.hpp>

#include <algorithm>
#include <map>
#include <string>
#include <string_view>

#include "options.hpp"

using store = std::map<std::string, std::string, std::less<>>;

/// Removes the first word of the line, and returns it.
std::string_view remove_word(std::string_view& line) {
  const std::string_view word = line.substr(0, line.find(' '));
  line.remove_prefix(std::min(word.size() + 1, line.size()));
  return word;
}

/// Runs a command and returns the answer, which is empty for `quit`.
std::string run_command(store& values, std::string_view line) {
  const std::string_view command = remove_word(line);
  const std::string_view key = remove_word(line);
  if (command == "quit") return {};
  if (key.empty()) return "error: the commands are set KEY VALUE, get KEY, delete KEY, quit\n";
  if (command == "set") {
    values.insert_or_assign(std::string(key), std::string(line));
    return "ok\n";
  }
  const auto found = values.find(key);
  if (command != "get" && command != "delete") return "error: unknown command\n";
  if (found == values.end()) return "not found\n";
  if (command == "get") return "value " + found->second + '\n';
  values.erase(found);
  return "ok\n";
}

cosock::task<> handle_client(cosock::byte_stream& client, store& values,
                             std::chrono::milliseconds idle_limit) {
  cosock::buffered_reader reader(client, {.max_line = 1000});
  boost::system::error_code error;
  try {
    while (const auto line = co_await cosock::with_timeout(idle_limit, reader.read_line())) {
      const std::string answer = run_command(values, *line);
      if (answer.empty()) co_return;
      co_await cosock::with_timeout(idle_limit, client.send(answer));
    }
  } catch (const boost::system::system_error& e) {
    error = e.code();
    if (error != cosock::error::line_too_long && error != cosock::error::timed_out) throw;
  }
  if (!error) co_return;
  const std::string answer = "error: " + error.message() + '\n';  // co_await cannot be in a catch
  co_await cosock::with_timeout(idle_limit, client.send(answer));
}

cosock::task<> serve_store(cosock::endpoint endpoint, std::chrono::milliseconds idle_limit) {
  cosock::tcp_acceptor acceptor(endpoint);
  announce(acceptor.local_endpoint());
  store values;  // no lock: all handlers run on one loop, in one thread
  const auto handler = [&](cosock::tcp_socket& client) {
    return handle_client(client, values, idle_limit);
  };
  co_await cosock::serve(acceptor, handler);
}

int main(int argc, char** argv) {
  std::chrono::milliseconds idle_limit = std::chrono::seconds(300);
  const cosock::endpoint endpoint =
      endpoint_option(argc, argv, {seconds_option("--idle", idle_limit)});
  return cosock::run(serve_store(endpoint, idle_limit));
}
