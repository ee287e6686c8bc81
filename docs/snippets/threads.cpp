// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

#include <cosock/cosock.hpp>

#include <array>
#include <atomic>
#include <string>
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
/// Runs a function that blocks, on a thread of its own.
template <class F>
task<std::invoke_result_t<F>> run_on_thread(F work) {
  cosock::mailbox<std::invoke_result_t<F>> result(1);
  const std::jthread thread([&work, sender = result.make_sender()] {
    if (!sender.try_send(work())) std::terminate();  // the mailbox has room for one value
  });
  auto value = co_await cosock::shielded(result.receive());  // the thread uses this frame
  co_return *std::move(value);
}

task<> compute_on_thread() {
  const auto sum = [] {
    long total = 0;
    for (long i = 0; i != 1000; ++i) total += i;
    return total;
  };
  check(co_await run_on_thread(sum) == 499500);
}
//! [blocking]

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

task<> server_on_every_core() {
  const auto result = co_await cosock::as_result(cosock::with_timeout(
      50ms, serve_on_every_core({cosock::address::loopback_v4(), 0})));
  check(result.error() == cosock::error::timed_out);
}

task<> run_examples() {
  co_await cancelled_by_thread();
  co_await values_from_thread();
  co_await compute_on_thread();
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
