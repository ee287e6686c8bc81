// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#include <cosock/cosock.hpp>

#define BOOST_TEST_MODULE shapes
#include "support.hpp"

#include <array>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

// GCC 12 copies some temporaries of a co_await expression into the frame without a constructor, and
// destroys them twice. Every shape that the library's interface invites is counted here.

using namespace std::chrono_literals;

namespace {

int alive = 0;

/// Counts its objects.
struct traced {
  traced() { ++alive; }
  traced(const traced&) { ++alive; }
  traced(traced&&) noexcept { ++alive; }
  traced& operator=(const traced&) = default;
  ~traced() { --alive; }
  int value = 7;
};

struct instance_check {
  instance_check() { alive = 0; }
  ~instance_check() { BOOST_TEST(alive == 0); }
};

cosock::task<int> by_value(traced t) {
  co_await cosock::yield();
  co_return t.value;
}

cosock::task<int> by_reference(const traced& t) {
  co_await cosock::yield();
  co_return t.value;
}

cosock::task<std::size_t> length(std::string text, std::vector<int> numbers) {
  co_await cosock::yield();
  co_return text.size() + numbers.size();
}

template <class F>
cosock::task<int> call(F f) {
  co_await cosock::yield();
  co_return f();
}

cosock::task<> child(traced t, int* sum) {
  co_await cosock::yield();
  *sum += t.value;
}

static_assert(std::is_trivially_destructible_v<cosock::connect_options>);
static_assert(std::is_trivially_destructible_v<cosock::tcp_acceptor_options>);
static_assert(std::is_trivially_destructible_v<cosock::address_filter>);
static_assert(std::is_trivially_destructible_v<cosock::udp_socket_options>);
static_assert(std::is_trivially_destructible_v<cosock::local_acceptor_options>);
static_assert(std::is_trivially_destructible_v<cosock::hand_over_options>);
static_assert(std::is_trivially_destructible_v<cosock::local_connect_options>);
static_assert(std::is_trivially_destructible_v<cosock::local_datagram_socket_options>);
static_assert(std::is_trivially_destructible_v<cosock::outgoing_datagram<>>);
static_assert(std::is_trivially_destructible_v<cosock::local_datagram_socket::outgoing>);
static_assert(std::is_trivially_destructible_v<cosock::packet_info>);
static_assert(std::is_trivially_destructible_v<cosock::resolve_options>);
static_assert(std::is_trivially_destructible_v<cosock::keep_alive_options>);
static_assert(std::is_trivially_destructible_v<cosock::buffered_reader_options>);

}  // namespace

COROUTINE_TEST_CASE(a_class_with_a_constructor_is_safe_by_value_and_by_reference) {
  const instance_check all;
  BOOST_TEST(co_await by_value(traced()) == 7);
  BOOST_TEST(co_await by_reference(traced()) == 7);
  const int sum = co_await by_value(traced()) + co_await by_reference(traced());
  BOOST_TEST(sum == 14);
}

COROUTINE_TEST_CASE(strings_and_vectors_are_safe) {
  const std::size_t n = co_await length("a text that is too long to be kept in the string itself",
                                        std::vector<int>(100, 1));
  BOOST_TEST(n == 155u);
  BOOST_TEST(co_await length(std::string(1000, 'x'), std::vector<int>(3)) == 1003u);
}

COROUTINE_TEST_CASE(tasks_inside_combinators_are_safe) {
  const instance_check all;
  BOOST_TEST(co_await cosock::with_timeout(10s, by_value(traced())) == 7);
  BOOST_TEST(co_await cosock::with_grace(10s, cosock::shielded(by_value(traced()))) == 7);
  auto result = co_await cosock::as_result(cosock::with_timeout(10s, by_value(traced())));
  BOOST_TEST(*result == 7);
  auto both = co_await cosock::when_all(by_value(traced()),
                                        cosock::with_timeout(10s, by_reference(traced())));
  BOOST_TEST(std::get<0>(both) + std::get<1>(both) == 14);
  cosock::cancel_scope scope;
  BOOST_TEST(co_await scope.run(by_value(traced())) == 7);
}

COROUTINE_TEST_CASE(option_structs_are_safe_as_temporaries) {
  cosock::tcp_acceptor acceptor({cosock::address::loopback_v4(), 0}, {.backlog = 10});
  const std::uint16_t port = acceptor.local_endpoint().port();
  auto one = co_await cosock::connect(
      "127.0.0.1", port,
      {.timeout = 10s, .local = cosock::endpoint(cosock::address::loopback_v4(), 0)});
  auto two = co_await cosock::connect(acceptor.local_endpoint(), {.no_delay = false});
  BOOST_TEST(one.no_delay());
  BOOST_TEST(!two.no_delay());
  const cosock::address_range loopback = cosock::address_range::parse("127.0.0.0/8");
  auto allowed =
      co_await cosock::connect("127.0.0.1", port, {.filter = {.allow = std::span(&loopback, 1)}});
  BOOST_TEST(allowed.is_open());
  const auto refused = co_await cosock::as_result(
      cosock::connect(acceptor.local_endpoint(),
                      {.filter = {.deny = cosock::address_range::non_global_networks()}}));
  BOOST_TEST((refused.error() == cosock::error::address_denied));
  int calls = 0;
  const auto hook = [&](int) { ++calls; };
  auto configured =
      co_await cosock::connect("127.0.0.1", port, {.timeout = 10s, .configure = hook});
  auto configured_too = co_await cosock::connect(acceptor.local_endpoint(), {.configure = hook});
  cosock::local_acceptor local{cosock::local_endpoint()};
  auto local_client = co_await cosock::connect(local.local_endpoint(), {.configure = hook});
  BOOST_TEST((configured.is_open() && configured_too.is_open() && local_client.is_open()));
  BOOST_TEST(calls == 3);
  auto found = co_await cosock::resolve("localhost", port, {.family = cosock::family::v4});
  BOOST_TEST(found.at(0).port() == port);
}

COROUTINE_TEST_CASE(datagrams_are_safe_as_temporaries) {
  cosock::udp_socket socket({cosock::address::loopback_v4(), 0}, {.receive_traffic_class = true});
  cosock::udp_socket client = co_await cosock::connect_udp(
      cosock::endpoint(socket.local_endpoint()), {.send_offload = false, .filter = {}});
  BOOST_TEST(client.is_open());
  char into[16];
  cosock::packet_info info;
  const std::size_t n = co_await socket.send_to(
      {.data = std::string(10, 'x'), .to = socket.local_endpoint(), .traffic_class = 2});
  BOOST_TEST(n == 10u);
  const auto got = co_await socket.receive_from(into, info);
  BOOST_TEST(std::string(into, got.size) == std::string(10, 'x'));
  BOOST_TEST(info.ecn().value() == 2);
  cosock::local_datagram_socket local{cosock::local_endpoint()};
  BOOST_TEST(co_await local.send_to({.data = "local", .to = local.local_endpoint()}) == 5u);
  BOOST_TEST((co_await local.receive(into)).size == 5u);
}

COROUTINE_TEST_CASE(buffers_made_of_temporaries_are_safe) {
  cosock::tcp_acceptor acceptor({cosock::address::loopback_v4(), 0});
  auto client = co_await cosock::connect(acceptor.local_endpoint());
  auto server = co_await acceptor.accept();
  const std::string text(1000, 'x');
  BOOST_TEST(co_await client.send(std::string(1000, 'x')) == 1000u);
  BOOST_TEST(co_await client.send(std::vector<std::string>(2, text)) == 2000u);
  std::string received(3000, ' ');
  BOOST_TEST(co_await server.receive_exactly(received) == 3000u);
  BOOST_TEST(received == std::string(3000, 'x'));
}

COROUTINE_TEST_CASE(lambdas_that_capture_by_reference_are_safe) {
  const instance_check all;
  int sum = 0;
  traced kept;
  co_await cosock::with_nursery([&](cosock::nursery& n) -> cosock::task<> {
    n.start(child, traced(), &sum);
    n.start(child, kept, &sum);
    sum += co_await by_reference(kept);
  });
  BOOST_TEST(sum == 21);
  BOOST_TEST(co_await call([&] { return kept.value; }) == 7);
}

COROUTINE_TEST_CASE(children_from_lambdas_that_capture_by_value_are_safe_outside_of_co_await) {
  const instance_check all;
  int sum = 0;
  traced kept;
  co_await cosock::with_nursery([&](cosock::nursery& n) -> cosock::task<> {
    n.start([kept, &sum]() -> cosock::task<> {
      co_await cosock::yield();
      sum += kept.value;
    });
    co_return;
  });
  BOOST_TEST(sum == 7);
}

COROUTINE_TEST_CASE(a_named_lambda_that_captures_by_value_is_safe_when_moved) {
  const instance_check all;
  int sum = 0;
  {
    traced kept;
    auto body = [kept, &sum](cosock::nursery& n) -> cosock::task<> {
      n.start(child, kept, &sum);
      sum += co_await by_reference(kept);
    };
    co_await cosock::with_nursery(std::move(body));
    auto work = [kept] { return kept.value; };
    sum += co_await call(std::move(work));
  }
  BOOST_TEST(sum == 21);
}

namespace {

struct with_constructor {
  explicit with_constructor(traced t, int n = 0) : t(std::move(t)), n(n) {}
  traced t;
  int n;
};

template <class T>
cosock::task<int> take(T) {
  co_await cosock::yield();
  co_return 1;
}
template <class T>
cosock::task<int> look_at(const T&) {
  co_await cosock::yield();
  co_return 1;
}
cosock::task<int> take_optional(std::optional<traced> t) {
  co_await cosock::yield();
  co_return t ? 1 : 0;
}
cosock::task<int> take_pair(std::pair<traced, int> p) {
  co_await cosock::yield();
  co_return p.second;
}
cosock::task<int> call_function(std::function<int()> f) {
  co_await cosock::yield();
  co_return f();
}
cosock::task<traced> give() {
  co_await cosock::yield();
  co_return traced();
}
int add(const traced& t, int n) { return t.value + n; }

}  // namespace

COROUTINE_TEST_CASE(classes_with_constructors_are_safe_in_braces_and_conversions) {
  const instance_check all;
  BOOST_TEST(co_await take(with_constructor(traced())) == 1);
  BOOST_TEST(co_await take(with_constructor{traced(), 2}) == 1);
  BOOST_TEST(co_await look_at(with_constructor{traced(), 2}) == 1);
  BOOST_TEST(co_await take_optional(traced()) == 1);
  BOOST_TEST(co_await take_optional({}) == 0);
  BOOST_TEST(co_await take_pair({traced(), 3}) == 3);
  BOOST_TEST(co_await take_pair(std::make_pair(traced(), 4)) == 4);
  BOOST_TEST(co_await take(std::make_unique<traced>()) == 1);
  BOOST_TEST(co_await take(std::make_shared<traced>()) == 1);
  const std::string base = "a text that is too long to be kept in the string itself";
  BOOST_TEST(co_await take(base + "x") + co_await look_at(base + "y") == 2);
  BOOST_TEST(co_await length({}, {}) == 0u);
}

COROUTINE_TEST_CASE(functions_that_hold_references_are_safe) {
  const instance_check all;
  traced kept;
  BOOST_TEST(co_await call_function([&] { return kept.value; }) == 7);
  BOOST_TEST(co_await call([n = 3] { return n; }) == 3);
}

COROUTINE_TEST_CASE(temporaries_beside_an_await_are_safe) {
  const instance_check all;
  const int before = add(traced(), co_await by_value(traced()));
  BOOST_TEST(before == 14);
  const int after = add(co_await give(), 1);
  BOOST_TEST(after == 8);
  BOOST_TEST((co_await give()).value == 7);
  const bool both = co_await by_value(traced()) == 7 && co_await by_reference(traced()) == 7;
  BOOST_TEST(both);
  const bool yes = alive == 0;
  const int chosen = yes ? co_await by_value(traced()) : co_await by_reference(traced());
  BOOST_TEST(chosen == 7);
  const traced one;
  const traced other;
  BOOST_TEST(co_await by_reference(yes ? one : other) == 7);
  for (int i = co_await by_value(traced()); i != 7; ++i) continue;
  switch (co_await by_reference(traced())) {
    case 7: break;
    default: BOOST_ERROR("not 7");
  }
}

COROUTINE_TEST_CASE(results_of_combinators_are_safe_as_temporaries) {
  const instance_check all;
  BOOST_TEST((co_await cosock::when_any(give(), give())).get<0>()->value == 7);
  BOOST_TEST(std::get<1>(co_await cosock::when_all(give(), give())).value == 7);
  BOOST_TEST((co_await cosock::as_result(give()))->value == 7);
  BOOST_TEST((*co_await cosock::with_timeout(1h, cosock::as_result(give()))).value == 7);
  const auto many = [] {
    std::vector<cosock::task<traced>> tasks;
    for (int i = 0; i != 3; ++i) tasks.push_back(give());
    return tasks;
  };
  BOOST_TEST((co_await cosock::when_all(many())).at(2).value == 7);
  BOOST_TEST((co_await cosock::when_any(many())).results.at(0)->value == 7);
}

COROUTINE_TEST_CASE(several_buffers_are_safe_as_an_array) {
  cosock::tcp_acceptor acceptor({cosock::address::loopback_v4(), 0});
  auto client = co_await cosock::connect(acceptor.local_endpoint());
  auto server = co_await acceptor.accept();
  const std::string a(10, 'a');
  const std::string b(20, 'b');
  BOOST_TEST(co_await client.send(std::array{cosock::buffer(a), cosock::buffer(b)}) == 30u);
  std::string first(10, ' ');
  std::string second(20, ' ');
  BOOST_TEST(co_await server.receive_exactly(
                 std::array{cosock::buffer(first), cosock::buffer(second)}) == 30u);
  BOOST_TEST((first == a && second == b));
}

COROUTINE_TEST_CASE(handlers_and_limits_are_safe_where_they_are_used) {
  static_assert(std::is_trivially_destructible_v<cosock::finish_options>);
  static_assert(std::is_trivially_destructible_v<cosock::serve_options>);
  const instance_check all;
  cosock::tcp_acceptor acceptor({cosock::address::loopback_v4(), 0});
  cosock::server_handle handle;
  const auto handler = [kept = traced(), &handle](cosock::tcp_socket s,
                                                  const cosock::connection& c) -> cosock::task<> {
    BOOST_TEST(kept.value == 7);
    BOOST_TEST(c.peer() == s.remote_endpoint());
    handle.stop();
    co_await s.finish();
  };
  const auto client = [&]() -> cosock::task<> {
    auto s = co_await cosock::connect(acceptor.local_endpoint());
    BOOST_TEST(co_await s.finish({.timeout = 1min, .max_discard = 7}));
  };
  co_await cosock::when_all(cosock::serve(acceptor, handler, handle, {.finish_timeout = 1s}),
                            client());
}

COROUTINE_TEST_CASE(arguments_of_a_new_process_are_safe_as_a_temporary) {
  cosock::tcp_acceptor acceptor({cosock::address::loopback_v4(), 0});
  cosock::passed_sockets sockets;
  sockets.add("a", acceptor);
  const auto started = co_await cosock::as_result(
      cosock::hand_over(std::vector<std::string>(1, "/nowhere/" + std::string(100, 'x')), sockets,
                        {.ready_timeout = 1s}));
  BOOST_TEST((started.error() == boost::system::errc::no_such_file_or_directory));
}

COROUTINE_TEST_CASE(values_of_promises_and_limits_of_readers_are_safe) {
  static_assert(std::is_trivially_destructible_v<cosock::buffered_reader_options>);
  static_assert(std::is_trivially_destructible_v<cosock::reconnecting_client_options>);
  const instance_check all;
  auto [set, value] = cosock::make_promise<traced>();
  set.set_value(traced());
  BOOST_TEST((co_await value.get()).value == 7);
  auto [late, later] = cosock::make_promise<traced>();
  const auto give_later = [&, &late = late]() -> cosock::task<> {
    co_await cosock::yield();
    late.set_value(traced());
  };
  BOOST_TEST(std::get<0>(co_await cosock::when_all(later.get(), give_later())).value == 7);

  auto [one, other] = cosock::local_pair();
  BOOST_TEST(co_await one.send(std::string(100, 'x')) == 100u);
  one.shutdown_send();
  BOOST_TEST((co_await cosock::receive_to_end(other, 100)).size() == 100u);
  auto [near, far] = cosock::local_pair();
  near.close();
  const auto ended = co_await cosock::when_any(far.wait_peer_closed(), cosock::sleep_for(1h));
  BOOST_TEST(ended.index == 0u);
}

// What GCC 12 gets wrong. Other compilers do not, and show here that the code is right.
//
//   in a co_await expression                           GCC 12.2, -O0 and -O2
//   an aggregate with a member that has a destructor   destroyed twice
//     f(options{}), f({.number = 3}), by value and by reference, an std::array of them,
//     and as an operand beside the await: add(aggregate{}.member, co_await f())
//   a lambda that captures such a thing by value       destroyed twice
//     f([kept] { ... }), as std::function, with_nursery([kept](nursery&) -> task<> { ... })
//   cond ? lvalue : temporary of class type            destroyed twice
//   a braced list for a std::initializer_list          not compiled: "array used as initializer"
//     f(std::vector<int>{1, 2, 3}), connect({one, other})
#if defined(__clang__)
namespace {

struct aggregate {
  traced member = {};
  int number = 0;
};
cosock::task<int> of_aggregate(aggregate a) {
  co_await cosock::yield();
  co_return a.member.value;
}

}  // namespace

COROUTINE_TEST_CASE(what_gcc_12_destroys_twice_is_right_elsewhere) {
  const instance_check all;
  const traced kept;
  const bool yes = alive > 0;
  BOOST_TEST(co_await of_aggregate({.number = 3}) == 7);
  BOOST_TEST(co_await of_aggregate(aggregate{}) == 7);
  BOOST_TEST(co_await look_at(aggregate{}) == 1);
  BOOST_TEST(co_await take(std::array<traced, 2>{traced(), traced()}) == 1);
  const int beside = add(aggregate{}.member, co_await by_value(traced()));
  BOOST_TEST(beside == 14);
  BOOST_TEST(co_await call([kept] { return kept.value; }) == 7);
  BOOST_TEST(co_await call_function([kept] { return kept.value; }) == 7);
  int sum = 0;
  co_await cosock::with_nursery([kept, &sum](cosock::nursery&) -> cosock::task<> {
    co_await cosock::yield();
    sum += kept.value;
  });
  BOOST_TEST(sum == 7);
  BOOST_TEST(co_await by_reference(yes ? kept : traced()) == 7);
  BOOST_TEST(co_await take(std::vector<int>{1, 2, 3}) == 1);
  BOOST_TEST(co_await take(std::vector<traced>{traced(), traced()}) == 1);
}
#endif
