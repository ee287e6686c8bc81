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
task<> stopped_by_a_thread() {
  cosock::cancel_scope scope;
  cosock::loop& here = cosock::loop::current();
  std::jthread watchdog([&] {
    here.post([&] { scope.cancel(); });  // runs on the loop's thread, where it may touch the scope
  });
  const auto slept = co_await cosock::as_result(scope.run(cosock::sleep_for(1h)));
  check(slept.error() == cosock::error::cancelled);
}
//! [post]

//! [mailbox]
task<> values_from_a_thread() {
  cosock::mailbox<std::string> inbox(16);
  std::jthread producer([to = inbox.make_sender()] {
    for (const char* word : {"one", "two", "three"})
      while (!to.try_send(word) && !to.is_closed()) std::this_thread::sleep_for(1ms);  // it is full
    to.close();
  });
  std::string all;
  while (const auto word = co_await inbox.receive()) all += *word + ' ';
  check(all == "one two three ");
}
//! [mailbox]

//! [blocking]
/// Runs on a thread of its own what would hold up the loop.
template <class F>
task<std::invoke_result_t<F>> on_a_thread(F work) {
  cosock::mailbox<std::invoke_result_t<F>> result(1);
  const std::jthread thread([&work, to = result.make_sender()] {
    if (!to.try_send(work())) std::terminate();  // there is room for one
  });
  auto value = co_await cosock::shielded(result.receive());  // the thread refers to this frame
  co_return *std::move(value);
}

task<> a_computation() {
  const auto sum = [] {
    long all = 0;
    for (long i = 0; i != 1000; ++i) all += i;
    return all;
  };
  check(co_await on_a_thread(sum) == 499500);
}
//! [blocking]

//! [loops]
task<> echo(cosock::tcp_socket& client) {
  char buffer[4096];
  while (std::size_t n = co_await client.receive(buffer))
    co_await client.send(cosock::buffer(buffer, n));
}

task<> serve_on_every_core(cosock::endpoint at) {
  cosock::tcp_listeners listeners(at);  // one socket for each core
  const auto one_loop = [&](unsigned index) -> task<> {
    cosock::tcp_acceptor acceptor = listeners.acceptor(index);
    co_await cosock::serve(acceptor, echo);
  };
  co_await cosock::run_loops(listeners.size(), one_loop);
}
//! [loops]

//! [shared]
task<> counted(unsigned loops) {
  std::atomic<unsigned> ended = 0;  // all loops count here, so it is atomic
  const auto one_loop = [&](unsigned index) -> task<> {
    unsigned mine = index;  // a loop's own needs no lock
    co_await cosock::yield();
    ended += mine + 1;
  };
  co_await cosock::run_loops(loops, one_loop);
  check(ended == loops * (loops + 1) / 2);
}
//! [shared]

//! [between]
// Each loop has a mailbox; the others hold senders to it.
task<> loops_that_talk() {
  std::array<std::atomic<bool>, 2> ready = {};
  std::array<std::unique_ptr<cosock::mailbox<int>::sender>, 2> to;
  const auto one_loop = [&](unsigned index) -> task<> {
    cosock::mailbox<int> inbox(8);
    to[index] = std::make_unique<cosock::mailbox<int>::sender>(inbox.make_sender());
    ready[index] = true;
    while (!ready[1 - index]) co_await cosock::sleep_for(1ms);
    check(to[1 - index]->try_send(static_cast<int>(index)));
    const auto got = co_await inbox.receive();
    check(got == static_cast<int>(1 - index));
  };
  co_await cosock::run_loops(2, one_loop);
}
//! [between]

task<> a_server_on_every_core() {
  const auto stopped = co_await cosock::as_result(cosock::with_timeout(
      50ms, serve_on_every_core({cosock::address::loopback_v4(), 0})));
  check(stopped.error() == cosock::error::timed_out);
}

task<> all() {
  co_await stopped_by_a_thread();
  co_await values_from_a_thread();
  co_await a_computation();
  co_await counted(3);
  co_await loops_that_talk();
  co_await a_server_on_every_core();
}

}  // namespace

//! [own]
// A loop inside a program that is not made of tasks.
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
  return run_snippets(all());
}
