// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

#include <cosock/cosock.hpp>

#include <sys/mman.h>

#include <array>
#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <iterator>
#include <memory>
#include <sstream>
#include <string>
#include <string_view>
#include <thread>

#include "check.hpp"

using namespace std::chrono_literals;

namespace {

using cosock::task;

//! [post]
task<> cancelled_by_thread() {
  cosock::cancel_scope scope;
  cosock::loop& loop = cosock::loop::current();
  std::jthread watchdog([&] {
    loop.post([&] { scope.cancel(); });  // runs on the thread of the loop
  });
  const auto result = co_await cosock::as_result(scope.run(cosock::sleep_for(1h)));
  check(result.error() == cosock::error::cancelled);
}
//! [post]

//! [mailbox]
task<> values_from_thread() {
  cosock::mailbox<std::string> inbox(16);
  std::jthread producer([sender = inbox.make_sender()] {
    for (const char* word : {"one", "two", "three"})
      while (!sender.try_send(word) && !sender.is_closed())  // while the mailbox is full
        std::this_thread::sleep_for(1ms);
    sender.close();
  });
  std::string words;
  while (const auto word = co_await inbox.receive()) words += *word + ' ';
  check(words == "one two three ");
}
//! [mailbox]

//! [blocking]
std::size_t count_words(const std::string& text) {
  std::istringstream words(text);
  return static_cast<std::size_t>(std::distance(std::istream_iterator<std::string>(words), {}));
}

task<> count_on_a_thread(std::string text) {
  const std::size_t words = co_await cosock::on_threads([&] { return count_words(text); });
  check(words == 3);
}
//! [blocking]

//! [abandoned]
task<> ask_for_a_moment(std::string question) {
  // Owns the question: nobody waits for the thread if the time is over.
  const auto ask = [question = std::move(question)] {
    std::this_thread::sleep_for(200ms);  // a library that blocks
    return question.size();
  };
  const auto answer = co_await cosock::as_result(
      cosock::with_timeout(1ms, cosock::on_threads(ask, cosock::abandon)));
  check(answer.error() == cosock::error::timed_out);
}
//! [abandoned]

//! [pool]
class store {
 public:
  task<std::string> find(std::string key) {
    const auto query = [&] { return "value of " + key; };
    co_return co_await connections_.run(query);
  }

 private:
  cosock::thread_pool connections_{4, {.max_queued = 64}};  // 4 queries at a time
};
//! [pool]

//! [files]
// The next start of the program finds the old settings or the new ones, never a part.
task<> save_settings(std::string path, std::string settings) {
  co_await cosock::write_file(path, settings);
  check(co_await cosock::read_file(path) == settings);
}

// Sends a file of any size to a client.
task<> send_file(cosock::byte_stream& client, std::string path) {
  cosock::file_stream file = co_await cosock::open_file(path);
  co_await cosock::copy(file, client);
}
//! [files]

task<> blocking_work() {
  co_await count_on_a_thread("one two three");
  co_await ask_for_a_moment("why");
  store values;
  check(co_await values.find("x") == "value of x");

  const std::string path = "/proc/self/fd/" + std::to_string(::memfd_create("settings", 0));
  cosock::file_stream settings = co_await cosock::open_file(path, cosock::file_mode::write);
  co_await settings.send("colour = blue\n");
  co_await settings.finish();
  auto [here, there] = cosock::local_pair();
  co_await send_file(here, path);
  char received[14];
  co_await there.receive_exactly(received);
  check(std::string_view(received, 14) == "colour = blue\n");
}

//! [loops]
task<> echo(cosock::tcp_socket& client) {
  char buffer[4096];
  while (std::size_t n = co_await client.receive(buffer))
    co_await client.send(cosock::buffer(buffer, n));
}

task<> serve_on_every_core(cosock::endpoint endpoint) {
  cosock::tcp_acceptors acceptors(endpoint);  // one socket for each core
  const auto start = [&](unsigned index) -> task<> {
    cosock::tcp_acceptor acceptor = acceptors.acceptor(index);
    co_await cosock::serve(acceptor, echo);
  };
  co_await cosock::run_loops(acceptors.size(), start);
}
//! [loops]

//! [shared]
task<> count_on_loops(unsigned loops) {
  std::atomic<unsigned> total = 0;  // atomic: all loops write it
  const auto start = [&](unsigned index) -> task<> {
    unsigned count = index + 1;  // a variable of one loop needs no lock
    co_await cosock::yield();
    total += count;
  };
  co_await cosock::run_loops(loops, start);
  check(total == loops * (loops + 1) / 2);
}
//! [shared]

//! [between]
// Each loop has a mailbox. The other loops have senders to it.
task<> loops_exchange_values() {
  std::array<std::atomic<bool>, 2> ready = {};
  std::array<std::unique_ptr<cosock::mailbox<int>::sender>, 2> senders;
  const auto start = [&](unsigned index) -> task<> {
    cosock::mailbox<int> inbox(8);
    senders[index] = std::make_unique<cosock::mailbox<int>::sender>(inbox.make_sender());
    ready[index] = true;
    while (!ready[1 - index]) co_await cosock::sleep_for(1ms);
    check(senders[1 - index]->try_send(static_cast<int>(index)));
    const auto result = co_await inbox.receive();
    check(result == static_cast<int>(1 - index));
  };
  co_await cosock::run_loops(2, start);
}
//! [between]

task<> saved_settings() {
  std::string folder = (std::filesystem::temp_directory_path() / "guide-XXXXXX").string();
  check(::mkdtemp(folder.data()) != nullptr);
  co_await save_settings(folder + "/settings", "colour = blue\n");
  check(std::filesystem::remove_all(folder) == 2);
}

task<> server_on_every_core() {
  const auto result = co_await cosock::as_result(cosock::with_timeout(
      50ms, serve_on_every_core({cosock::address::loopback_v4(), 0})));
  check(result.error() == cosock::error::timed_out);
}

task<> run_examples() {
  co_await cancelled_by_thread();
  co_await values_from_thread();
  co_await blocking_work();
  co_await saved_settings();
  co_await count_on_loops(3);
  co_await loops_exchange_values();
  co_await server_on_every_core();
}

}  // namespace

//! [own]
// A loop in a program without other tasks.
int add_on_a_loop() {
  cosock::loop loop;
  return loop.run([]() -> task<int> {
    co_await cosock::yield();
    co_return 40 + 2;
  }());
}
//! [own]

int main() {
  check(add_on_a_loop() == 42);
  return run_snippets(run_examples());
}
