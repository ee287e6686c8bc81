// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#include <cosock/dump.hpp>

#define BOOST_TEST_MODULE dump
#include "support.hpp"

#include <cosock/channel.hpp>
#include <cosock/connect.hpp>
#include <cosock/local.hpp>
#include <cosock/serve.hpp>
#include <cosock/sync.hpp>
#include <cosock/tcp.hpp>
#include <cosock/testing/virtual_loop.hpp>
#include <cosock/udp.hpp>
#include <cosock/when.hpp>

#include <algorithm>
#include <functional>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace {

using namespace std::chrono_literals;
using cosock::dump_tasks;
using cosock::nursery;
using cosock::sleep_for;
using cosock::task;
using cosock::with_nursery;
using cosock::testing::virtual_loop;
using test::contains;

/// The place of a co_await as a dump has it.
std::string at(unsigned line) { return "dump.cpp:" + std::to_string(line); }

/// The dump of a task that waits, after this span.
std::string dump_of(task<> work, std::chrono::nanoseconds span = 0ns) {
  virtual_loop loop({.closed = true});
  auto waiting = loop.start(std::move(work));
  loop.advance(span);
  return dump_tasks(loop);
}

/// The dump of a loop of the system, whose task waits for a descriptor.
template <class F>
std::string dump_of_real(F work) {
  cosock::loop loop;
  auto waiting = loop.start(work());
  for (int i = 0; i != 10; ++i) loop.poll();
  return dump_tasks(loop);
}

const unsigned line_of_inner = __LINE__ + 1;
task<> inner(cosock::event& e) { co_await e.wait(); }

}  // namespace

BOOST_AUTO_TEST_CASE(a_loop_without_tasks_has_an_empty_dump) {
  const cosock::loop loop;
  BOOST_TEST(dump_tasks(loop) == "");
  BOOST_TEST(cosock::dump_tasks_json(loop) == R"({"tasks":[]})");
}

BOOST_AUTO_TEST_CASE(without_a_loop_there_is_none) {
  BOOST_CHECK_THROW(static_cast<void>(dump_tasks()), std::logic_error);
  BOOST_CHECK_THROW(static_cast<void>(cosock::dump_tasks_json()), std::logic_error);
}

BOOST_AUTO_TEST_CASE(each_await_on_the_way_has_its_place) {
  unsigned middle = 0;
  unsigned outer = 0;
  cosock::event never;
  const auto between = [&]() -> task<> {
    middle = __LINE__ + 1;
    co_await inner(never);
  };
  const auto work = [&]() -> task<> {
    outer = __LINE__ + 1;
    co_await between();
  };
  const std::string text = dump_of(work(), 4s);
  BOOST_TEST(text == at(line_of_inner) + " < " + at(middle) + " < " + at(outer) +
                         ": event::wait(), for 4.0 s");
}

BOOST_AUTO_TEST_CASE(the_place_is_that_of_the_present_wait) {
  unsigned second = 0;
  const auto work = [&]() -> task<> {
    cosock::event never;
    co_await cosock::yield();
    co_await sleep_for(1s);
    second = __LINE__ + 1;
    co_await never.wait();
  };
  const std::string text = dump_of(work(), 3s);
  BOOST_TEST(text == at(second) + ": event::wait(), for 2.0 s");
}

BOOST_AUTO_TEST_CASE(tasks_side_by_side_are_below_the_one_that_waits_for_them) {
  cosock::event never;
  unsigned open = 0;
  unsigned body = 0;
  const auto work = [&]() -> task<> {
    const auto run = [&](nursery& n) -> task<> {
      n.start(inner, std::ref(never));
      n.start(inner, std::ref(never));
      body = __LINE__ + 1;
      co_await sleep_for(1h);
    };
    open = __LINE__ + 1;
    co_await with_nursery(run);
  };
  const std::string text = dump_of(work());
  BOOST_TEST(text == at(open) + ": waits for 3 tasks\n  " + at(body) +
                         ": a sleep, for 0.0 s, limit in 3600.0 s\n  " + at(line_of_inner) +
                         ": event::wait(), for 0.0 s\n  " + at(line_of_inner) +
                         ": event::wait(), for 0.0 s");
}

BOOST_AUTO_TEST_CASE(the_nearest_limit_is_told) {
  cosock::event never;
  const auto work = [&]() -> task<> {
    co_await cosock::with_timeout(1h, cosock::with_timeout(90s, inner(never)));
  };
  BOOST_TEST(contains(dump_of(work(), 30s), "event::wait(), for 30.0 s, limit in 60.0 s"));
}

BOOST_AUTO_TEST_CASE(a_task_that_was_cancelled_and_still_waits_is_told) {
  cosock::event never;
  virtual_loop loop;
  const auto work = [&]() -> task<> { co_await cosock::shielded(inner(never)); };
  auto waiting = loop.start(work());
  loop.settle();
  BOOST_TEST(!contains(dump_tasks(loop), "cancelled"));
  waiting.cancel();
  loop.settle();
  BOOST_TEST(contains(dump_tasks(loop), "event::wait(), for 0.0 s, cancelled"));
}

BOOST_AUTO_TEST_CASE(names_come_first_and_nest) {
  cosock::event never;
  const auto work = [&]() -> task<> {
    co_await cosock::named("upstream", cosock::named("a \"quoted\"\n name", inner(never)));
  };
  const std::string text = dump_of(work());
  BOOST_TEST(text.starts_with("\"upstream / a "), text);
  BOOST_TEST(contains(text, "\", " + at(line_of_inner)), text);
  BOOST_TEST(!contains(text, "\n"), text);
}

BOOST_AUTO_TEST_CASE(a_name_changes_nothing) {
  virtual_loop loop;
  loop.run([]() -> task<> {
    const auto seven = []() -> task<int> { co_return 7; };
    BOOST_TEST(co_await cosock::named("seven", seven()) == 7);
    const auto fails = []() -> task<> {
      throw std::out_of_range("far");
      co_return;
    };
    BOOST_CHECK_THROW(co_await cosock::named("fails", fails()), std::out_of_range);
    cosock::event never;
    const auto late =
        co_await cosock::as_result(cosock::with_timeout(1s, cosock::named("waits", never.wait())));
    BOOST_TEST((late.error() == cosock::error::timed_out));
    cosock::cancel_scope scope;
    scope.cancel();
    const auto cancelled =
        co_await cosock::as_result(scope.run(cosock::named("waits", never.wait())));
    BOOST_TEST((cancelled.error() == cosock::error::cancelled));
  }());
}

// What operations tell

BOOST_AUTO_TEST_CASE(a_lock_tells_where_it_was_acquired_and_who_is_ahead) {
  cosock::mutex mutex;
  unsigned held = 0;
  const auto holds = [&]() -> task<> {
    held = __LINE__ + 1;
    const auto guard = co_await mutex.lock();
    co_await sleep_for(1h);
  };
  const auto waits = [&]() -> task<> { const auto guard = co_await mutex.lock(); };
  const auto work = [&]() -> task<> {
    const auto run = [&](nursery& n) -> task<> {
      n.start(holds);
      n.start(waits);
      n.start(waits);
      co_return;
    };
    co_await with_nursery(run);
  };
  const std::string text = dump_of(work());
  const std::string told = "a semaphore or mutex, acquired last at " + at(held);
  BOOST_TEST(contains(text, told + ", for"), text);
  BOOST_TEST(contains(text, told + ", 1 ahead, for"), text);
}

BOOST_AUTO_TEST_CASE(channels_tell_whether_they_are_empty_or_full) {
  cosock::channel<int> numbers(1);
  const auto receives = [&]() -> task<> { co_await numbers.receive(); };
  BOOST_TEST(contains(dump_of(receives()), "channel::receive() the channel is empty"));
  const auto sends = [&]() -> task<> {
    co_await numbers.send(1);
    co_await numbers.send(2);
  };
  BOOST_TEST(contains(dump_of(sends()), "channel::send() the channel is full"));
}

BOOST_AUTO_TEST_CASE(a_socket_is_told_with_both_of_its_ends) {
  for (const auto& at : {cosock::address::loopback_v4(), cosock::address::loopback_v6()}) {
    std::string both;
    const auto text = dump_of_real([&]() -> task<> {
      cosock::tcp_acceptor acceptor({at, 0});
      auto client = co_await cosock::connect(acceptor.local_endpoint());
      auto server = co_await acceptor.accept();
      both = "tcp " + server.local_endpoint().to_string() + " from " +
             server.remote_endpoint().to_string();
      char byte;
      co_await server.receive(cosock::buffer(&byte, 1));
    });
    BOOST_TEST(contains(text, "receive() on " + both + ", for"), text);
  }
}

BOOST_AUTO_TEST_CASE(an_acceptor_and_a_datagram_socket_are_told_with_their_address) {
  std::string own;
  const auto accepting = dump_of_real([&]() -> task<> {
    cosock::tcp_acceptor acceptor({cosock::address::loopback_v4(), 0});
    own = acceptor.local_endpoint().to_string();
    co_await acceptor.accept();
  });
  BOOST_TEST(contains(accepting, "accept() on tcp " + own + ", for"), accepting);
  const auto receiving = dump_of_real([&]() -> task<> {
    cosock::udp_socket socket({cosock::address::loopback_v4(), 0});
    own = socket.local_endpoint().to_string();
    char byte;
    co_await socket.receive_from(cosock::buffer(&byte, 1));
  });
  BOOST_TEST(contains(receiving, "the receive of a datagram on udp " + own + ", for"), receiving);
}

BOOST_AUTO_TEST_CASE(a_local_socket_is_told_as_one) {
  const auto text = dump_of_real([]() -> task<> {
    auto [one, other] = cosock::local_pair();
    char byte;
    co_await one.receive(cosock::buffer(&byte, 1));
  });
  BOOST_TEST(contains(text, "receive() on local socket, for"), text);
}

BOOST_AUTO_TEST_CASE(handlers_of_a_server_have_the_names_of_their_peers) {
  std::string peer;
  const auto text = dump_of_real([&]() -> task<> {
    cosock::tcp_acceptor acceptor({cosock::address::loopback_v4(), 0});
    const auto silent = [](cosock::tcp_socket& client) -> task<> {
      char byte;
      co_await client.receive(cosock::buffer(&byte, 1));
    };
    auto client = co_await cosock::connect(acceptor.local_endpoint());
    peer = client.local_endpoint().to_string();
    co_await cosock::serve(acceptor, silent);
  });
  BOOST_TEST(contains(text, '"' + peer + "\", " + at(__LINE__ - 6) + ": receive() on tcp"), text);
}

// JSON

BOOST_AUTO_TEST_CASE(json_has_the_same_facts) {
  cosock::event never;
  virtual_loop loop;
  unsigned line = 0;
  const auto work = [&]() -> task<> {
    line = __LINE__ + 1;
    co_await cosock::with_timeout(10s, cosock::named("a \"b\" \x01", never.wait()));
  };
  auto waiting = loop.start(work());
  loop.advance(2s);
  const std::string json = cosock::dump_tasks_json(loop);
  const std::string begin = R"({"tasks":[{"name":"a \"b\" \\x01","where":[{"file":")";
  const std::string place =
      "service/dump.cpp\",\"line\":" + std::to_string(line) + ",\"function\":\"";
  const std::string end =
      R"json("}],"waits_for":"event::wait()","seconds":2.000,"limit_seconds":8.000}]})json";
  BOOST_TEST(json.starts_with(begin), json);
  BOOST_TEST(contains(json, place), json);
  BOOST_TEST(json.ends_with(end), json);
}

// From elsewhere

BOOST_AUTO_TEST_CASE(another_thread_asks_the_loop) {
  const test::alarm_clock guard;
  cosock::loop loop;
  std::string text;
  std::thread other;
  loop.run([](cosock::loop& loop, std::string& text, std::thread& other) -> task<> {
    cosock::event done;
    other = std::thread([&] {
      loop.post([&] {
        text = dump_tasks();
        done.set();
      });
    });
    co_await done.wait();
  }(loop, text, other));
  other.join();
  BOOST_TEST(contains(text, "event::wait()"), text);
}

BOOST_AUTO_TEST_CASE(the_task_that_dumps_is_told_as_running) {
  virtual_loop loop;
  std::string text;
  loop.run([](std::string& text) -> task<> {
    text = dump_tasks();
    co_return;
  }(text));
  BOOST_TEST(text == "runs, or awaits something that is not of cosock");
}

BOOST_AUTO_TEST_CASE(a_hundred_thousand_tasks_have_a_line_each) {
  cosock::event never;
  const auto work = [&]() -> task<> {
    const auto run = [&](nursery& n) -> task<> {
      for (int i = 0; i != 100'000; ++i) n.start(inner, std::ref(never));
      co_return;
    };
    co_await with_nursery(run);
  };
  virtual_loop loop;
  auto waiting = loop.start(work());
  loop.settle();
  const std::string text = dump_tasks(loop);
  BOOST_TEST(std::count(text.begin(), text.end(), '\n') == 100'000);
}
