// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// The endings of each look-up, and of each operation that begins with a look-up.

#include <cosock/resolve.hpp>

#define BOOST_TEST_MODULE endings_resolve
#include "name_server.hpp"
#include "operation_endings.hpp"
#include "raw_socket.hpp"
#include "scheduler_of.hpp"
#include "scripted_stream.hpp"

#include <cosock/connect.hpp>
#include <cosock/udp.hpp>

#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

namespace {

using cosock::address;
using cosock::family;
using cosock::task;
using test::completion;
using test::operation_kind;
using test::waitable;
using test::way;

/// A name server that keeps its answer until provide().
struct held_names {
  explicit held_names(cosock::loop& on) : loop(test::scheduler_of(on)) {}

  /// Sends the answer, and blocks the thread until the loop has it, if a task waits for it.
  void open() {
    names.open_gate();
    while (tasks != 0 && !loop.has_ready()) std::this_thread::yield();
  }

  struct waiting {
    explicit waiting(int& count) : count(++count) {}
    ~waiting() { --count; }
    waiting(const waiting&) = delete;
    int& count;
  };

  test::name_server names;
  cosock::detail::scheduler& loop;
  int tasks = 0;
};

waitable held(cosock::loop& on, std::function<task<>()> look_up) {
  const auto of = std::make_shared<held_names>(on);
  static const auto wait = [](held_names& of, const std::function<task<>()>& look_up) -> task<> {
    const held_names::waiting counts(of.tasks);
    co_await look_up();
  };
  const auto shared = std::make_shared<std::function<task<>()>>(std::move(look_up));
  return {.wait = [of, shared] { return wait(*of, *shared); }, .provide = [of] { of->open(); }};
}

waitable resolve(cosock::loop& on) {
  return held(on, []() -> task<> {
    const auto found = co_await cosock::resolve("gate.test", 80, {.family = family::v4});
    BOOST_TEST(found.size() == 1u);
    BOOST_TEST(found.at(0).to_string() == "127.0.0.7:80");
  });
}
waitable resolve_of_both_families(cosock::loop& on) {
  return held(on, []() -> task<> {
    const auto found = co_await cosock::resolve("gate.test", "http");
    BOOST_TEST(found.size() == 1u);
  });
}
waitable connect_udp(cosock::loop& on) {
  return held(on, []() -> task<> {
    const cosock::udp_socket made = co_await cosock::connect_udp("gate.test", "80");
    BOOST_TEST(made.remote_endpoint().to_string() == "127.0.0.7:80");
  });
}
task<> connect_to(std::uint16_t port) {
  const cosock::tcp_socket made = co_await cosock::connect("gate.test", port);
  BOOST_TEST(made.is_open());
}
waitable connect(cosock::loop& on) {
  const auto listening = std::make_shared<test::listener>(address::parse("127.0.0.7"));
  return held(on, [listening] { return connect_to(listening->at().port()); });
}

waitable reverse_resolve(cosock::loop&) {
  const auto silent = std::make_shared<test::silent_name_server>();
  static const auto look_up = []() -> task<> {
    static_cast<void>(co_await cosock::reverse_resolve(address::parse("192.0.2.1")));
  };
  return {.wait = [silent] { return look_up(); }};
}

const std::vector<operation_kind::exception> no_object = {
    {way::fail, "answers that are errors are in resolve_names.cpp"},
    {way::close, "there is no object"},
    {way::destroy, "there is no object"}};

std::vector<operation_kind> all_rows() {
  std::vector<operation_kind> rows = {
      {.name = "resolve", .make = resolve, .completes = completion::in_loop},
      {.name = "resolve_of_both_families",
       .make = resolve_of_both_families,
       .completes = completion::in_loop},
      {.name = "tcp_connect_to_name", .make = connect},
      {.name = "connect_udp", .make = connect_udp},
      {.name = "reverse_resolve", .make = reverse_resolve},
  };
  for (operation_kind& row : rows) {
    row.counts_descriptors = false;
    row.except = no_object;
  }
  rows.back().except.push_back({way::provide, "the name server says nothing"});
  return rows;
}

const test::register_endings registered(
    all_rows(), [](const std::function<void()>& body) { test::in_network(body); },
    test::may_have_a_network);

}  // namespace
