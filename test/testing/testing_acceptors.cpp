// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#include <cosock/testing/check_acceptor.hpp>

#define BOOST_TEST_MODULE testing_acceptors
#include "support.hpp"

#include <cosock/acceptors.hpp>
#include <cosock/channel.hpp>
#include <cosock/connect.hpp>
#include <cosock/local.hpp>
#include <cosock/tcp.hpp>
#include <cosock/testing/memory_listener.hpp>

#include <memory>
#include <set>
#include <stdexcept>
#include <string>

// Every kind of acceptor keeps every promise, and those that do not are caught.

namespace {

using cosock::task;
using cosock::testing::accepting;
using cosock::testing::acceptor_check_names;
using cosock::testing::acceptor_maker;
using cosock::testing::acceptor_traits;
using cosock::testing::acceptor_under_test;
using cosock::testing::check_acceptor;
using cosock::testing::memory_listener;
using cosock::testing::memory_stream;
using namespace std::chrono_literals;

/// Registers a suite of this name with a test case for every check that applies.
bool register_checks(const char* name, acceptor_maker make, acceptor_traits traits = {}) {
  auto* suite = BOOST_TEST_SUITE(name);
  for (const std::string_view check : acceptor_check_names(traits)) {
    const auto run = [check, make, traits] {
      const test::alarm_clock guard;
      const auto report = [](std::string_view, std::string_view failure) {
        BOOST_TEST(failure.empty(), failure);
      };
      check_acceptor(make, report, traits, check);
    };
    suite->add(boost::unit_test::make_test_case(run, std::string(check), __FILE__, __LINE__));
  }
  boost::unit_test::framework::current_auto_test_suite().add(suite);
  return true;
}

task<std::unique_ptr<acceptor_under_test>> tcp(cosock::address at) {
  const auto connect = [](cosock::tcp_acceptor& to) -> task<cosock::tcp_socket> {
    co_return co_await cosock::connect(to.local_endpoint());
  };
  co_return accepting(std::make_unique<cosock::tcp_acceptor>(cosock::endpoint(at, 0)), connect);
}
task<std::unique_ptr<acceptor_under_test>> tcp_v4() { return tcp(cosock::address::loopback_v4()); }
task<std::unique_ptr<acceptor_under_test>> tcp_v6() { return tcp(cosock::address::loopback_v6()); }

template <class Socket>
task<std::unique_ptr<acceptor_under_test>> local() {
  using acceptor = cosock::local_acceptor<Socket>;
  const auto connect = [](acceptor& to) -> task<Socket> {
    co_return co_await cosock::connect<Socket>(to.local_endpoint());
  };
  co_return accepting(std::make_unique<acceptor>(cosock::local_endpoint()), connect);
}

/// One of several acceptors, of which the other loop has not taken its own.
template <class Socket>
struct first_of_two {
  cosock::local_acceptors<Socket> all{cosock::local_endpoint(), 2};
  cosock::shared_local_acceptor<Socket> first = all.acceptor(0);

  task<Socket> accept() { return first.accept(); }
  void close() noexcept { first.close(); }
};
template <class Socket>
task<std::unique_ptr<acceptor_under_test>> shared() {
  const auto connect = [](first_of_two<Socket>& to) -> task<Socket> {
    co_return co_await cosock::connect<Socket>(to.all.local_endpoint());
  };
  co_return accepting(std::make_unique<first_of_two<Socket>>(), connect);
}

task<memory_stream> connect_memory(memory_listener& to) { co_return co_await to.connect(); }
task<std::unique_ptr<acceptor_under_test>> memory() {
  co_return accepting(std::make_unique<memory_listener>(), connect_memory);
}

const bool registered[] = {
    register_checks("tcp_v4", tcp_v4),
    register_checks("tcp_v6", tcp_v6),
    register_checks("local", local<cosock::local_stream_socket>),
    register_checks("seqpacket", local<cosock::local_seqpacket_socket>),
    register_checks("shared", shared<cosock::local_stream_socket>),
    register_checks("shared_seqpacket", shared<cosock::local_seqpacket_socket>),
    register_checks("memory", memory, {.one_at_a_time = false}),
};

enum class bug { none, loses_on_cancel, close_wakes_nobody, last_comes_first, accepts_when_closed };

/// An acceptor in memory, with a bug.
template <bug Of>
class buggy_acceptor {
 public:
  task<memory_stream> accept() {
    if (Of == bug::last_comes_first && !waiting_.empty()) {
      memory_stream last = std::move(waiting_.back());
      waiting_.pop_back();
      co_return last;
    }
    auto accepted = co_await listener_.accept();
    if (Of == bug::loses_on_cancel) co_await cosock::yield();  // where it may be cancelled
    co_return accepted;
  }
  task<memory_stream> connect() {
    if (Of != bug::last_comes_first) co_return co_await listener_.connect();
    auto [client, server] = cosock::testing::memory_pair();
    waiting_.push_back(std::move(server));
    co_return std::move(client);
  }
  void close() noexcept {
    if (Of == bug::close_wakes_nobody || Of == bug::accepts_when_closed) return;
    listener_.close();
  }

 private:
  memory_listener listener_;
  std::vector<memory_stream> waiting_;
};

template <bug Of>
std::set<std::string> failures_of() {
  const auto make = []() -> task<std::unique_ptr<acceptor_under_test>> {
    const auto connect = [](buggy_acceptor<Of>& to) -> task<memory_stream> {
      co_return co_await to.connect();
    };
    co_return accepting(std::make_unique<buggy_acceptor<Of>>(), connect);
  };
  std::set<std::string> failed;
  check_acceptor(make,
                 [&](std::string_view name, std::string_view failure) {
                   if (!failure.empty()) failed.emplace(name);
                 },
                 {.one_at_a_time = false, .limit = 200ms});
  return failed;
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_bug_is_caught_by_the_check_of_its_name) {
  const test::alarm_clock guard;
  BOOST_TEST(failures_of<bug::none>().empty());
  BOOST_TEST(
      failures_of<bug::loses_on_cancel>().contains("a_cancelled_accept_loses_no_connection"));
  BOOST_TEST(failures_of<bug::close_wakes_nobody>().contains("close_wakes_an_accept"));
  BOOST_TEST(failures_of<bug::last_comes_first>().contains("connections_are_accepted_in_order"));
  BOOST_TEST(failures_of<bug::accepts_when_closed>().contains("a_closed_acceptor_says_so"));
}

BOOST_AUTO_TEST_CASE(a_check_that_does_not_apply_is_refused) {
  BOOST_CHECK_THROW(
      check_acceptor(
          memory, [](auto, auto) {}, {.one_at_a_time = false}, "a_second_accept_is_refused"),
      std::invalid_argument);
}
