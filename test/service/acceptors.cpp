// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#include <cosock/acceptors.hpp>

#define BOOST_TEST_MODULE acceptors
#include "local_tools.hpp"
#include "manual_event.hpp"
#include "support.hpp"

#include <cosock/connect.hpp>
#include <cosock/loops.hpp>
#include <cosock/serve.hpp>
#include <cosock/sync.hpp>
#include <cosock/when.hpp>

#include <algorithm>
#include <atomic>
#include <numeric>
#include <random>
#include <stdexcept>
#include <thread>

namespace {

using namespace test;
using boost::system::system_error;
using cosock::address;
using cosock::as_result;
using cosock::cancel_scope;
using cosock::endpoint;
using cosock::local_acceptors;
using cosock::local_stream_socket;
using cosock::nursery;
using cosock::shared_local_acceptor;
using cosock::task;
using cosock::tcp_acceptor;
using cosock::tcp_acceptors;
using cosock::tcp_socket;
namespace errc = boost::system::errc;

const endpoint any_port(address::loopback_v4(), 0);
const endpoint any_port_v6(address::loopback_v6(), 0);

BOOST_AUTO_TEST_SUITE(tcp)

BOOST_AUTO_TEST_CASE(the_hook_is_called_for_each_socket) {
  int calls = 0;
  const auto hook = [&](int) { ++calls; };
  const tcp_acceptors acceptors(any_port, 3, {.configure = hook});
  BOOST_TEST(calls == 3);
  const auto refuse = [&](int) {
    if (--calls == 1) throw std::runtime_error("refused by the hook");
  };
  const std::size_t before = open_descriptors();
  BOOST_CHECK_THROW((tcp_acceptors(any_port, 3, {.configure = refuse})), std::runtime_error);
  BOOST_TEST(calls == 1);
  BOOST_TEST(open_descriptors() == before);
  const local_acceptors local(cosock::local_endpoint(), 3, {.configure = hook});
  BOOST_TEST(calls == 2);  // one socket, which the loops share
}

BOOST_AUTO_TEST_CASE(share_the_port_that_the_system_picks) {
  for (const endpoint& at : {any_port, any_port_v6}) {
    tcp_acceptors acceptors(at, 3);
    BOOST_TEST(acceptors.size() == 3u);
    BOOST_TEST(acceptors.local_endpoint().port() != 0);
    cosock::loop loop;
    loop.run([](tcp_acceptors& of) -> task<> {
      for (unsigned i = 0; i != 3; ++i) {
        const tcp_acceptor one = of.acceptor(i);
        BOOST_TEST(one.local_endpoint() == of.local_endpoint());
      }
      co_return;
    }(acceptors));
  }
}

BOOST_AUTO_TEST_CASE(none_means_one_for_each_usable_core) {
  BOOST_TEST(tcp_acceptors(any_port).size() == cosock::usable_cores());
}

BOOST_AUTO_TEST_CASE(the_place_must_be_free) {
  cosock::loop loop;
  const tcp_acceptor other(loop, any_port);
  BOOST_CHECK_EXCEPTION(tcp_acceptors(other.local_endpoint(), 2), system_error,
                        is(errc::address_in_use));
}

BOOST_AUTO_TEST_CASE(nobody_else_gets_into_the_port_unless_it_is_said) {
  for (const endpoint& at : {any_port, any_port_v6}) {
    const tcp_acceptors first(at, 2);
    BOOST_CHECK_EXCEPTION(tcp_acceptors(first.local_endpoint(), 2), system_error,
                          is(errc::address_in_use));
    cosock::tcp_acceptor_options sharing;
    sharing.reuse_port = true;
    const tcp_acceptors second(at, 2, sharing);
    BOOST_TEST(tcp_acceptors(second.local_endpoint(), 2, sharing).local_endpoint() ==
               second.local_endpoint());
  }
}

BOOST_AUTO_TEST_CASE(taking_needs_a_loop) {
  tcp_acceptors acceptors(any_port, 1);
  BOOST_CHECK_THROW(static_cast<void>(acceptors.acceptor(0)), std::logic_error);
}

COROUTINE_TEST_CASE(each_is_taken_once) {
  tcp_acceptors acceptors(any_port, 2);
  const tcp_acceptor first = acceptors.acceptor(0);
  BOOST_CHECK_THROW(static_cast<void>(acceptors.acceptor(0)), std::logic_error);
  BOOST_CHECK_THROW(static_cast<void>(acceptors.acceptor(2)), std::logic_error);
  co_return;
}

COROUTINE_TEST_CASE(a_connection_made_before_its_acceptor_is_taken_is_kept) {
  tcp_acceptors acceptors(any_port, 1);
  tcp_socket client = co_await cosock::connect(acceptors.local_endpoint());
  tcp_acceptor acceptor = acceptors.acceptor(0);
  tcp_socket accepted = co_await acceptor.accept();
  BOOST_TEST(accepted.remote_endpoint() == client.local_endpoint());
}

COROUTINE_TEST_CASE(the_descriptors_are_closed_on_exec_and_in_the_end) {
  const std::size_t before = open_descriptors();
  {
    tcp_acceptors acceptors(any_port, 3);
    const tcp_acceptor one = acceptors.acceptor(1);
    BOOST_TEST((::fcntl(one.native_handle(), F_GETFD) & FD_CLOEXEC));
    BOOST_TEST(open_descriptors() == before + 3);
  }
  BOOST_TEST(open_descriptors() == before);
  co_return;
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(local)

/// Accepts until it is closed, and notes who it was.
task<> accept_all(shared_local_acceptor<>& from, std::vector<int>& who, int me,
                  cosock::event& each) {
  for (;;) {
    const local_stream_socket accepted = co_await from.accept();
    who.push_back(me);
    each.set();
  }
}

COROUTINE_TEST_CASE(connections_are_dealt_round_robin) {
  local_acceptors acceptors(cosock::local_endpoint(), 3);
  std::vector<shared_local_acceptor<>> shared;
  for (unsigned i = 0; i != 3; ++i) shared.push_back(acceptors.acceptor(i));
  std::vector<int> who;
  co_await cosock::with_nursery([&](nursery& tasks) -> task<> {
    cosock::event each;
    for (int i = 0; i != 3; ++i)
      tasks.start(accept_all, std::ref(shared[static_cast<std::size_t>(i)]), std::ref(who), i,
                  std::ref(each));
    for (int i = 0; i != 7; ++i) {
      const auto client = co_await cosock::connect(acceptors.local_endpoint());
      co_await each.wait();
      each.reset();
    }
    tasks.cancel();
  });
  BOOST_TEST(who == (std::vector{0, 1, 2, 0, 1, 2, 0}), boost::test_tools::per_element());
}

COROUTINE_TEST_CASE(one_that_does_not_accept_is_passed_over) {
  local_acceptors acceptors(cosock::local_endpoint(), 3);
  shared_local_acceptor first = acceptors.acceptor(0);
  shared_local_acceptor last = acceptors.acceptor(2);
  for (int i = 0; i != 3; ++i) {
    const auto client = co_await cosock::connect(acceptors.local_endpoint());
    static_cast<void>(co_await last.accept());
  }
  const auto client = co_await cosock::connect(acceptors.local_endpoint());
  BOOST_TEST((co_await first.accept()).is_open());
}

/// Runs accept() in a scope until it waits.
struct pending_accept {
  pending_accept(nursery& in, shared_local_acceptor<>& from) {
    in.start([this, &from]() -> task<> {
      const auto made = co_await as_result(scope.run(from.accept()));
      if (!made) error = made.error();
      ended.set();
    });
  }
  cancel_scope scope;
  manual_event ended;
  boost::system::error_code error;
};

COROUTINE_TEST_CASE(a_cancelled_accept_passes_its_turn_on_and_loses_no_connection) {
  local_acceptors acceptors(cosock::local_endpoint(), 2);
  shared_local_acceptor first = acceptors.acceptor(0);
  shared_local_acceptor second = acceptors.acceptor(1);
  co_await cosock::with_nursery([&](nursery& tasks) -> task<> {
    pending_accept has_turn(tasks, first);
    pending_accept waits(tasks, second);
    co_await cosock::yield();
    has_turn.scope.cancel();
    co_await has_turn.ended.wait();
    BOOST_TEST(has_turn.error == cosock::error::cancelled);
    const auto client = co_await cosock::connect(acceptors.local_endpoint());
    co_await waits.ended.wait();
    BOOST_TEST(!waits.error);
  });
}

COROUTINE_TEST_CASE(one_cancelled_while_it_waits_for_its_turn_gets_none) {
  local_acceptors acceptors(cosock::local_endpoint(), 3);
  shared_local_acceptor first = acceptors.acceptor(0);
  shared_local_acceptor second = acceptors.acceptor(1);
  shared_local_acceptor third = acceptors.acceptor(2);
  co_await cosock::with_nursery([&](nursery& tasks) -> task<> {
    pending_accept a(tasks, first);
    pending_accept b(tasks, second);
    pending_accept c(tasks, third);
    co_await cosock::yield();
    b.scope.cancel();
    co_await b.ended.wait();
    BOOST_TEST(b.error == cosock::error::cancelled);
    const auto client = co_await cosock::connect(acceptors.local_endpoint());
    co_await a.ended.wait();
    const auto next = co_await cosock::connect(acceptors.local_endpoint());
    co_await c.ended.wait();
    BOOST_TEST(!a.error);
    BOOST_TEST(!c.error);
  });
}

COROUTINE_TEST_CASE(cancelled_before_it_starts_it_takes_no_turn) {
  local_acceptors acceptors(cosock::local_endpoint(), 2);
  shared_local_acceptor first = acceptors.acceptor(0);
  shared_local_acceptor second = acceptors.acceptor(1);
  const auto client = co_await cosock::connect(acceptors.local_endpoint());
  cancel_scope scope;
  scope.cancel();
  const auto none = co_await as_result(scope.run(first.accept()));
  BOOST_TEST(none.error() == cosock::error::cancelled);
  static_cast<void>(co_await second.accept());
}

COROUTINE_TEST_CASE(closing_ends_a_pending_accept_and_passes_its_turn_on) {
  local_acceptors acceptors(cosock::local_endpoint(), 3);
  shared_local_acceptor first = acceptors.acceptor(0);
  shared_local_acceptor second = acceptors.acceptor(1);
  shared_local_acceptor third = acceptors.acceptor(2);
  co_await cosock::with_nursery([&](nursery& tasks) -> task<> {
    pending_accept a(tasks, first);
    pending_accept b(tasks, second);
    pending_accept c(tasks, third);
    co_await cosock::yield();
    first.close();   // has the turn
    second.close();  // waits for it
    co_await a.ended.wait();
    co_await b.ended.wait();
    BOOST_TEST(a.error == cosock::error::closed);
    BOOST_TEST(b.error == cosock::error::closed);
    const auto client = co_await cosock::connect(acceptors.local_endpoint());
    co_await c.ended.wait();
    BOOST_TEST(!c.error);
  });
  BOOST_CHECK_EXCEPTION(static_cast<void>(co_await first.accept()), system_error,
                        is(cosock::error::closed));
  BOOST_CHECK_EXCEPTION(static_cast<void>(first.local_endpoint()), system_error,
                        is(cosock::error::closed));
  BOOST_TEST(!first.is_open());
}

COROUTINE_TEST_CASE(a_second_accept_at_the_same_time_is_refused) {
  local_acceptors acceptors(cosock::local_endpoint(), 1);
  shared_local_acceptor only = acceptors.acceptor(0);
  co_await cosock::with_nursery([&](nursery& tasks) -> task<> {
    pending_accept a(tasks, only);
    co_await cosock::yield();
    BOOST_CHECK_EXCEPTION(static_cast<void>(co_await only.accept()), system_error,
                          is(cosock::error::busy));
    const auto client = co_await cosock::connect(acceptors.local_endpoint());
    co_await a.ended.wait();
    BOOST_TEST(!a.error);
  });
}

COROUTINE_TEST_CASE(it_listens_until_the_last_one_closes_and_then_removes_its_file) {
  const temporary_folder folder;
  const auto at = folder.at("socket");
  std::optional<local_acceptors<>> acceptors(std::in_place, at, 3);
  BOOST_TEST(acceptors->local_endpoint() == at);
  shared_local_acceptor first = acceptors->acceptor(0);
  shared_local_acceptor second = acceptors->acceptor(1);
  BOOST_CHECK_THROW(static_cast<void>(acceptors->acceptor(1)), std::logic_error);
  BOOST_CHECK_THROW(static_cast<void>(acceptors->acceptor(3)), std::logic_error);
  first.close();
  acceptors.reset();
  BOOST_TEST(second.local_endpoint() == at);
  {
    const auto client = co_await cosock::connect(at);
    static_cast<void>(co_await second.accept());
  }
  BOOST_TEST(exists(folder / "socket"));
  second = shared_local_acceptor();
  BOOST_TEST(!exists(folder / "socket"));
  BOOST_CHECK_EXCEPTION(static_cast<void>(co_await cosock::connect(at)), system_error,
                        is(errc::no_such_file_or_directory));
}

BOOST_AUTO_TEST_CASE(listeners_that_nobody_takes_leave_nothing_behind) {
  const temporary_folder folder;
  const std::size_t before = open_descriptors();
  {
    const local_acceptors acceptors(folder.at("socket"), 2);
    BOOST_TEST(exists(folder / "socket"));
    BOOST_CHECK_EXCEPTION(local_acceptors(folder.at("socket"), 2), system_error,
                          is(errc::address_in_use));
  }
  BOOST_TEST(!exists(folder / "socket"));
  BOOST_TEST(open_descriptors() == before);
}

BOOST_AUTO_TEST_CASE(a_loop_that_ends_while_it_has_the_turn_passes_it_on) {
  const alarm_clock guard;
  const temporary_folder folder;
  local_acceptors acceptors(folder.at("socket"), 2);
  const auto accept = [&](unsigned index) -> task<> {
    shared_local_acceptor mine = acceptors.acceptor(index);
    static_cast<void>(co_await mine.accept());
  };
  cosock::loop stays;
  std::optional<cosock::loop> goes(std::in_place);
  const auto first = goes->start(accept(0));
  auto second = stays.start(accept(1));
  goes->poll();
  stays.poll();
  goes.reset();
  stays.run([](const cosock::local_endpoint at) -> task<> {
    static_cast<void>(co_await cosock::connect(at));
  }(acceptors.local_endpoint()));
  while (!second.done()) stays.run_some();
  second.result();
  BOOST_TEST(!exists(folder / "socket"));
}

/// Whoever takes the place of the file then keeps it, also if its inode is the same one again.
BOOST_AUTO_TEST_CASE(an_acceptor_that_outlives_its_loop_has_closed_with_it) {
  const temporary_folder folder;
  const std::size_t before = open_descriptors();
  std::optional<cosock::loop> loop(std::in_place);
  shared_local_acceptor acceptor =
      loop->run([](cosock::local_endpoint at) -> task<shared_local_acceptor<>> {
        local_acceptors acceptors(at, 1);
        co_return acceptors.acceptor(0);
      }(folder.at("socket")));
  BOOST_TEST(acceptor.is_open());
  loop.reset();
  BOOST_TEST(!acceptor.is_open());
  BOOST_TEST(!exists(folder / "socket"));
  BOOST_TEST(open_descriptors() == before);
  make_file(folder / "socket");
  acceptor.close();
  BOOST_TEST(exists(folder / "socket"));
}

COROUTINE_TEST_CASE(sequenced_packets_are_dealt_too) {
  cosock::local_acceptors<cosock::local_seqpacket_socket> acceptors(cosock::local_endpoint(), 2);
  cosock::shared_local_acceptor<cosock::local_seqpacket_socket> acceptor = acceptors.acceptor(1);
  auto client =
      co_await cosock::connect<cosock::local_seqpacket_socket>(acceptors.local_endpoint());
  auto accepted = co_await acceptor.accept();
  co_await client.send("one");
  co_await client.send("two");
  char text[10];
  BOOST_TEST(co_await accepted.receive(text) == 3u);
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(threads)

task<> answer(cosock::byte_stream& client) {
  char one[1];
  while (co_await client.receive(one)) co_await client.send(one);
}

template <class Endpoint>
task<> ask(Endpoint at) {
  auto socket = co_await cosock::connect(at);
  char one[1];
  co_await socket.send("?");
  co_await socket.receive_exactly(one);
}

/// Clients against several loops that serve, until each has served one.
template <class Listeners>
task<> serve_on_all(Listeners& acceptors) {
  std::vector<std::atomic<int>> served(acceptors.size());
  cancel_scope serve_state;
  const auto servers = [&]() -> task<> {
    const auto one = [&](unsigned index) -> task<> {
      auto acceptor = acceptors.acceptor(index);
      co_await cosock::serve(acceptor, [&, index](cosock::byte_stream& client) -> task<> {
        ++served[index];
        co_await answer(client);
      });
    };
    const auto ended =
        co_await as_result(serve_state.run(cosock::run_loops(acceptors.size(), one)));
    BOOST_TEST((!ended && ended.error() == cosock::error::cancelled));
  };
  int asked = 0;
  const auto asking = [&]() -> task<> {
    while (std::any_of(served.begin(), served.end(), [](const auto& n) { return n == 0; })) {
      co_await ask(acceptors.local_endpoint());
      ++asked;
    }
    serve_state.cancel();
  };
  co_await cosock::when_all(servers(), asking());
  BOOST_TEST(std::accumulate(served.begin(), served.end(), 0) == asked);
}

COROUTINE_TEST_CASE(every_loop_gets_tcp_connections) {
  tcp_acceptors acceptors(any_port, 3);
  co_await serve_on_all(acceptors);
}

COROUTINE_TEST_CASE(every_loop_gets_local_connections) {
  local_acceptors acceptors(cosock::local_endpoint(), 4);
  co_await serve_on_all(acceptors);
}

/// Accepts with a limit that often passes first, and greets.
task<> accept_impatiently(shared_local_acceptor<>& from, unsigned seed) {
  std::minstd_rand random(seed);
  for (;;) {
    const std::chrono::microseconds limit(random() % 300);
    auto client = co_await as_result(cosock::with_timeout(limit, from.accept()));
    if (client)
      co_await cosock::shielded(client->send("!"));
    else if (client.error() != cosock::error::timed_out)
      co_return;
  }
}

/// Loops that accept, and are closed, cancelled or destroyed at any moment, beside one that stays:
/// every client is greeted.
BOOST_AUTO_TEST_CASE(no_connection_is_lost_whatever_ends_around_it) {
  const alarm_clock guard;
  for (unsigned seed = 0; seed != 20; ++seed) {
    local_acceptors acceptors(cosock::local_endpoint(), 4);
    std::thread others([&] {
      cosock::loop loop;
      loop.run([](local_acceptors<>& from, unsigned seed) -> task<> {
        const auto accept = [&](unsigned index) -> task<> {
          shared_local_acceptor mine = from.acceptor(index + 1);
          co_await cosock::with_nursery([&](nursery& tasks) -> task<> {
            tasks.start(accept_impatiently, std::ref(mine), 4 * seed + index);
            co_await cosock::sleep_for(std::chrono::microseconds(seed * 977 % 5000));
            index == 0 ? mine.close() : index == 1 ? tasks.cancel() : void();
          });
        };
        const std::chrono::microseconds end(seed * 1777 % 10000);
        if (seed % 2 == 0) {
          const auto destroyed = cosock::loop::current().start(cosock::run_loops(3, accept));
          co_await cosock::sleep_for(end);
        } else {
          co_await as_result(cosock::with_timeout(end, cosock::run_loops(3, accept)));
        }
      }(acceptors, seed));
    });
    int greeted = 0;
    cosock::loop loop;
    loop.run([](local_acceptors<>& from, unsigned seed, int& greeted) -> task<> {
      shared_local_acceptor mine = from.acceptor(0);
      co_await cosock::with_nursery([&](nursery& tasks) -> task<> {
        tasks.start(accept_impatiently, std::ref(mine), 4 * seed + 3);
        for (int i = 0; i != 50; ++i) {
          auto client = co_await cosock::connect(from.local_endpoint());
          char one[1];
          greeted += static_cast<int>(co_await client.receive(one));
        }
        tasks.cancel();
      });
    }(acceptors, seed, greeted));
    others.join();
    BOOST_TEST(greeted == 50);
  }
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
