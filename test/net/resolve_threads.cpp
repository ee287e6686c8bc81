// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// The threads that look up: how few they are, what waits for them, and where they fail.

#include <cosock/resolve.hpp>

#define BOOST_TEST_MODULE resolve_threads
#include "allocations.hpp"
#include "look_ups.hpp"
#include "manual_event.hpp"
#include "name_server.hpp"
#include "netns.hpp"

#include <cosock/run.hpp>

#include <atomic>
#include <fstream>
#include <memory>
#include <thread>

using boost::system::system_error;
using cosock::address;
using cosock::as_result;
using cosock::endpoint;
using cosock::family;
using cosock::loop;
using cosock::resolve;
using cosock::reverse_resolve;
using cosock::task;
using cosock::task_handle;
using test::contains;
using test::finish;
using test::joined;
using test::name_server;
using test::resolver_threads;
using test::started;

using endpoints = std::vector<endpoint>;

namespace {

using pending = std::unique_ptr<task_handle<endpoints>>;

}  // namespace

// What the system knows by itself.

CHILD_COROUTINE_TEST_CASE(a_thread_of_the_pool_takes_no_signals) {
  (void)co_await as_result(resolve("127.0.0.1", "http"));  // which a bare system may not know
  BOOST_REQUIRE(resolver_threads() == 1u);
  DIR* all = ::opendir("/proc/self/task");
  while (const dirent* each = ::readdir(all)) {
    std::ifstream file(std::string("/proc/self/task/") + each->d_name + "/status");
    bool of_pool = false;
    for (std::string line; std::getline(file, line);) {
      if (line == "Name:\tcosock-resolve") of_pool = true;
      if (of_pool && line.starts_with("SigBlk:"))
        for (const int s : {SIGINT, SIGTERM, SIGALRM, SIGCHLD, SIGPIPE})
          BOOST_TEST((std::stoull(line.substr(8), nullptr, 16) >> (s - 1) & 1) == 1u, line);
    }
  }
  ::closedir(all);
}

// A name server that the test holds.

NETWORK_TEST_CASE(the_threads_are_few_and_what_waits_for_one_is_answered_later) {
  name_server names;
  loop l;
  std::vector<pending> look_ups;
  const auto start = [&](std::string host) { look_ups.push_back(started(l, std::move(host))); };
  for (int i = 0; i != 16; ++i) start("gate" + std::to_string(i) + ".test");
  for (int i = 0; i != 50; ++i) start("n" + std::to_string(i) + ".example");
  while (l.poll() != 0) continue;
  names.wait_until_at_gate(16);
  BOOST_TEST(resolver_threads() == 16u);
  BOOST_TEST(names.asked_in_all() == 16);
  BOOST_TEST(l.counters().look_ups_running == 16u);
  BOOST_TEST(l.counters().look_ups_queued == 50u);
  BOOST_TEST(loop().counters().look_ups_queued == 0u);  // those of another loop
  names.open_gate();
  for (auto& each : look_ups) finish(l, *each);
  BOOST_TEST(l.counters().look_ups_running == 0u);
  BOOST_TEST(l.counters().look_ups_queued == 0u);
  for (std::size_t i = 0; i != look_ups.size(); ++i)
    BOOST_TEST(joined(look_ups[i]->result()) ==
               (i < 16 ? "127.0.0.7:80" : "127.1.0." + std::to_string(i - 16) + ":80"));
  BOOST_TEST(resolver_threads() == 16u);
}

NETWORK_TEST_CASE(abandoned_look_ups_are_never_asked) {
  name_server names;
  loop l;
  std::vector<pending> look_ups;
  const auto start = [&](std::string host) { look_ups.push_back(started(l, std::move(host))); };
  for (int i = 0; i != 16; ++i) start("gate" + std::to_string(i) + ".test");
  while (l.poll() != 0) continue;
  names.wait_until_at_gate(16);
  for (int i = 0; i != 100; ++i) start("n" + std::to_string(i) + ".example");
  start("v4.test");
  while (l.poll() != 0) continue;
  for (std::size_t i = 0; i != 50; ++i) look_ups[16 + i]->cancel();
  while (l.poll() != 0) continue;
  look_ups.erase(look_ups.begin() + 16, look_ups.begin() + 116);  // cancelled, and pending
  BOOST_TEST(!look_ups.back()->done());
  names.open_gate();
  finish(l, *look_ups.back());
  BOOST_TEST(joined(look_ups.back()->result()) == "127.0.0.4:80");
  for (int i = 0; i != 100; ++i) BOOST_TEST(names.asked("n" + std::to_string(i) + ".example") == 0);
}

NETWORK_TEST_CASE(more_look_ups_than_the_queue_takes_are_refused) {
  name_server names;
  loop l;
  std::vector<pending> look_ups;
  const auto start = [&](std::string host) -> task_handle<endpoints>& {
    return *look_ups.emplace_back(started(l, std::move(host)));
  };
  for (int i = 0; i != 16; ++i) start("gate" + std::to_string(i) + ".test");
  while (l.poll() != 0) continue;
  names.wait_until_at_gate(16);
  for (int i = 0; i != 4096; ++i) start("v4.test");
  while (l.poll() != 0) continue;
  BOOST_TEST(!look_ups.back()->done());

  auto& refused = start("one.too.many.test");
  while (l.poll() != 0) continue;
  BOOST_REQUIRE(refused.done());
  BOOST_CHECK_EXCEPTION((void)refused.result(), system_error, [](const system_error& e) {
    return e.code() == boost::system::errc::no_buffer_space &&
           contains(e.what(), "one.too.many.test");
  });

  // What was abandoned makes room.
  look_ups[16]->cancel();
  auto& last = start("n9.example");
  while (l.poll() != 0) continue;
  BOOST_TEST(!last.done());
  names.open_gate();
  finish(l, last);
  BOOST_TEST(joined(last.result()) == "127.1.0.9:80");
}

NETWORK_TEST_CASE(several_loops_look_up_at_once) {
  name_server names;
  std::atomic<int> good = 0;
  const auto work = [&good](int which) {
    loop l;
    l.run([](std::atomic<int>& good, int which) -> task<> {
      const auto one = [&good](int i) -> task<> {
        const std::string number = std::to_string(i);
        const endpoints found =
            co_await resolve("n" + number + ".example", 1, {.family = family::v4});
        if (joined(found) == "127.1.0." + number + ":1") ++good;
      };
      co_await cosock::with_nursery([&one, which](cosock::nursery& in) -> task<> {
        for (int i = 0; i != 100; ++i) in.start(one, i + which * 100);
        co_return;
      });
    }(good, which));
  };
  std::thread other([&] { work(1); });
  work(0);
  other.join();
  BOOST_TEST(good == 200);
}

#ifndef __SANITIZE_THREAD__  // which forbids to start threads after such a fork
NETWORK_TEST_CASE(a_forked_child_looks_up_with_threads_of_its_own) {
  name_server names;
  loop l;
  auto first = l.start(resolve("v4.test", 80));
  finish(l, first);
  test::in_child([&] {
    loop own;
    auto look_up = own.start(resolve("v4.test", 80));
    finish(own, look_up);
    BOOST_TEST(joined(look_up.result()) == "127.0.0.4:80");
    BOOST_TEST(resolver_threads() == 1u);
    test::in_child([&] {
      loop own_too;
      auto again = own_too.start(resolve("v4.test", 80));
      finish(own_too, again);
      BOOST_TEST(joined(again.result()) == "127.0.0.4:80");
    });
  });
  auto second = l.start(resolve("v4.test", 80));
  finish(l, second);
  BOOST_TEST(joined(second.result()) == "127.0.0.4:80");
}
#endif

NETWORK_TEST_CASE(a_failed_allocation_anywhere_is_an_error_and_nothing_worse) {
  name_server names;
  const int failures = test::fail_each_allocation([] {
    try {
      loop l;
      auto look_up = l.start([]() -> task<> {
        (void)co_await resolve("dual.test", 80);
        (void)co_await resolve("", 80);
        (void)co_await reverse_resolve(address::parse("127.0.0.2"));
      }());
      finish(l, look_up);
      look_up.result();
      return true;
    } catch (const std::bad_alloc&) {
      return false;
    } catch (const system_error& e) {
      test::allocations_until_failure = -1;
      BOOST_TEST(e.code() == boost::system::errc::not_enough_memory, e.what());
      return false;
    }
  });
  BOOST_TEST(failures > 10);
}
