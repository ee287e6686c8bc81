// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// connect() to names, of whose addresses a name server tells at different times. The exact times are
// tested on the simulated network (testing/network_connect.cpp).

#include <cosock/connect.hpp>

#define BOOST_TEST_MODULE happy_eyeballs
#include "name_server.hpp"

#include <cosock/tcp.hpp>
#include <cosock/udp.hpp>

#include <memory>

using boost::system::error_code;
using cosock::address;
using cosock::as_result;
using cosock::connect;
using cosock::connect_options;
using cosock::endpoint;
using cosock::error;
using cosock::loop;
using cosock::task;
using cosock::task_handle;
using cosock::tcp_acceptor;
using cosock::tcp_socket;
using namespace std::chrono_literals;

namespace {

using connecting = task_handle<tcp_socket>;

struct world {
  test::name_server names;
  loop on;

  template <class T>
  void finish(task_handle<T>& work) {
    while (!work.done()) on.run_some();
  }
  void run_until_idle() {
    while (on.poll() != 0) continue;
  }

  /// Listens on loopback; without a port, on one that the other family has free too.
  tcp_acceptor listen(const address& at, std::uint16_t port = 0) {
    task_handle<tcp_acceptor> made = on.start([](endpoint at) -> task<tcp_acceptor> {
      co_return tcp_acceptor(at, {.v6_only = true});
    }(endpoint(at, port)));
    finish(made);
    return made.result();
  }

  connecting start(std::string host, const tcp_acceptor& to, connect_options options = {}) {
    return on.start(connect(std::move(host), to.local_endpoint().port(), options));
  }
  /// Whether it connects to this acceptor: tried several times, as the machine may be so busy that
  /// the other family is first.
  bool connects(const std::string& host, const tcp_acceptor& to, const connect_options& options) {
    for (int i = 0; i != 10; ++i) {
      connecting client = start(host, to, options);
      finish(client);
      if (client.result().remote_endpoint() == to.local_endpoint()) return true;
    }
    return false;
  }
  error_code code_of(connecting& work, std::string& text) {
    finish(work);
    try {
      (void)work.result();
    } catch (const boost::system::system_error& e) {
      text = e.what();
      return e.code();
    }
    return {};
  }
};

/// Whether the function takes less time than this: tried several times, as the machine may be busy.
template <class F>
bool takes_less_than(std::chrono::milliseconds limit, F function) {
  for (int i = 0; i != 10; ++i) {
    const auto begin = cosock::clock::now();
    function();
    if (cosock::clock::now() - begin < limit) return true;
  }
  return false;
}

}  // namespace

NETWORK_TEST_CASE(v6_addresses_alone_are_used) {
  world w;
  const tcp_acceptor v6 = w.listen(address::loopback_v6());
  for (const char* host : {"none-v4.test", "broken-v4.test"}) {
    connecting client = w.start(host, v6);
    w.finish(client);
    BOOST_TEST(client.result().remote_endpoint() == v6.local_endpoint());
  }
}

NETWORK_TEST_CASE(v6_addresses_that_come_in_time_are_first) {
  world w;
  const tcp_acceptor v6 = w.listen(address::loopback_v6());
  const tcp_acceptor v4 = w.listen(address::loopback_v4(), v6.local_endpoint().port());
  connect_options options;
  options.attempt_delay = 1h;
  w.names.open_gate();
  for (const char* host : {"gate-v6.test", "gate-v4.test"})
    BOOST_TEST(w.connects(host, v6, options), host);
}

NETWORK_TEST_CASE(gai_conf_says_which_family_is_first) {
  test::write_file("/etc/gai.conf", "# IPv4\nprecedence ::ffff:0:0/96 100\n");
  world w;
  const tcp_acceptor v6 = w.listen(address::loopback_v6());
  const tcp_acceptor v4 = w.listen(address::loopback_v4(), v6.local_endpoint().port());
  connect_options options;
  options.attempt_delay = 1h;
  w.names.open_gate();
  BOOST_TEST(w.connects("gate-v4.test", v4, options));
  connecting late = w.start("silent-v4.test", v6, options);
  w.finish(late);
  BOOST_TEST(late.result().remote_endpoint() == v6.local_endpoint());
}

NETWORK_TEST_CASE(an_answer_that_comes_later_joins_the_attempts) {
  world w;
  const tcp_acceptor v6 = w.listen(address::loopback_v6());
  connecting client = w.start("gate-v6.test", v6);  // nobody listens on the IPv4 address
  w.run_until_idle();
  w.names.wait_until_at_gate(1);
  while (w.names.asked("gate-v6.test") != 2) w.on.run_some();
  BOOST_TEST(!client.done());
  w.names.open_gate();
  w.finish(client);
  BOOST_TEST(client.result().remote_endpoint() == v6.local_endpoint());
}

NETWORK_TEST_CASE(refused_by_all_it_names_the_late_addresses_too) {
  world w;
  std::uint16_t port = 0;
  {
    const tcp_acceptor once = w.listen(address::loopback_v4());
    port = once.local_endpoint().port();
  }
  connecting client = w.on.start(connect("gate-v6.test", port));
  w.run_until_idle();
  w.names.wait_until_at_gate(1);
  w.names.open_gate();
  std::string text;
  BOOST_TEST(w.code_of(client, text) == boost::system::errc::connection_refused);
  BOOST_TEST(text.find("127.0.0.1:") != text.npos, text);
  BOOST_TEST(text.find("[::1]:") != text.npos, text);
}

NETWORK_TEST_CASE(the_error_of_two_look_ups_is_the_one_that_may_pass) {
  world w;
  const tcp_acceptor v4 = w.listen(address::loopback_v4());
  std::string text;
  connecting unknown = w.start("nosuch.test", v4);
  BOOST_TEST(w.code_of(unknown, text) == make_error_code(error::host_not_found));
  BOOST_TEST(text.find("nosuch.test") != text.npos, text);
  connecting broken = w.start("broken.test", v4);
  BOOST_TEST(w.code_of(broken, text) == make_error_code(error::resolver_failed));
  BOOST_TEST(text.find("broken.test") != text.npos, text);
}

NETWORK_TEST_CASE(cancelled_while_one_answer_is_missing_it_ends_at_once) {
  world w;
  const tcp_acceptor v4 = w.listen(address::loopback_v4());
  for (const char* host : {"silent.test", "silent-v4.test", "silent-v6.test"}) {
    for (int turns = 0; turns != 8; ++turns) {
      connecting client = w.start(host, v4);
      for (int i = 0; i != turns && !client.done(); ++i) w.on.poll();
      client.cancel();
      std::string text;
      const error_code code = w.code_of(client, text);
      if (code) BOOST_TEST(code == make_error_code(error::cancelled), text);
    }
    const std::unique_ptr<connecting> destroyed(new connecting(w.start(host, v4)));
    w.run_until_idle();
  }
}

NETWORK_TEST_CASE(a_udp_socket_does_not_wait_for_an_answer_that_never_comes) {
  world w;
  const bool quick = takes_less_than(500ms, [&] {
    for (const char* host : {"silent-v6.test", "silent-v4.test", "none-v6.test"}) {
      task_handle<cosock::udp_socket> client = w.on.start(cosock::connect_udp(host, "7"));
      w.finish(client);
      const address at = client.result().remote_endpoint().address();
      BOOST_TEST(at.is_v6() == (std::string(host) == "silent-v4.test"));
    }
  });
  BOOST_TEST(quick);
  task_handle<cosock::udp_socket> unknown = w.on.start(cosock::connect_udp("nosuch.test", "7"));
  w.finish(unknown);
  BOOST_CHECK_EXCEPTION((void)unknown.result(), boost::system::system_error,
                        [](const boost::system::system_error& e) {
                          return e.code() == error::host_not_found &&
                                 std::string(e.what()).starts_with("nosuch.test: ");
                        });
}

NETWORK_TEST_CASE(questions_about_v6_that_are_never_answered_hold_up_no_connection) {
  world w;
  const tcp_acceptor v4 = w.listen(address::loopback_v4());
  connect_options options;
  options.timeout = 10s;
  const auto many = [&](int number) {
    std::vector<std::unique_ptr<connecting>> clients;
    for (int i = 0; i != number; ++i)
      clients.emplace_back(new connecting(w.start("silent-v6.test", v4, options)));
    for (const auto& each : clients) {
      w.finish(*each);
      BOOST_TEST(each->result().is_open());
    }
  };
  const auto begin = cosock::clock::now();
  for (int i = 0; i != 3; ++i) many(100);           // more than there may be threads
  BOOST_TEST((cosock::clock::now() - begin < 4s));  // the name server is waited for for 5 s
}
