// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#include <cosock/connect.hpp>

#define BOOST_TEST_MODULE connect
#include "allocations.hpp"
#include "manual_event.hpp"
#include "netns.hpp"

#include <cosock/when.hpp>

#include <linux/if_tun.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/resource.h>

#include <algorithm>
#include <deque>
#include <map>
#include <memory>
#include <optional>

using boost::system::error_code;
using boost::system::system_error;
using boost::system::errc::connection_refused;
using cosock::address;
using cosock::as_result;
using cosock::connect;
using cosock::connect_options;
using cosock::endpoint;
using cosock::error;
using cosock::family;
using cosock::loop;
using cosock::running;
using cosock::task;
using cosock::tcp_socket;
using cosock::with_timeout;
using std::chrono::steady_clock;
using namespace std::chrono_literals;

using connecting = running<tcp_socket>;

namespace {

struct system_name {
  system_name() = default;
  explicit system_name(const endpoint& of) {
    if (of.address().is_v4()) {
      auto& v4 = reinterpret_cast<sockaddr_in&>(storage);
      v4.sin_family = AF_INET;
      v4.sin_port = htons(of.port());
      std::memcpy(&v4.sin_addr, of.address().bytes().data(), 4);
      size = sizeof v4;
    } else {
      auto& v6 = reinterpret_cast<sockaddr_in6&>(storage);
      v6.sin6_family = AF_INET6;
      v6.sin6_port = htons(of.port());
      std::memcpy(&v6.sin6_addr, of.address().bytes().data(), 16);
      size = sizeof v6;
    }
  }
  std::uint16_t port() const {  // stands at the same place in both
    return ntohs(reinterpret_cast<const sockaddr_in&>(storage).sin_port);
  }
  sockaddr* get() { return reinterpret_cast<sockaddr*>(&storage); }
  sockaddr_storage storage = {};
  socklen_t size = sizeof storage;
};

/// A blocking socket of the system.
class plain_socket {
 public:
  explicit plain_socket(int fd) : fd_(fd) { test::check(fd >= 0, "socket"); }
  plain_socket(plain_socket&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  ~plain_socket() {
    if (fd_ >= 0) ::close(fd_);
  }
  int fd() const { return fd_; }

  /// Waits for what the peer sends, and gives it; empty at the end of the stream.
  std::string receive() {
    char text[64];
    const ssize_t n = ::recv(fd_, text, sizeof text, 0);
    return n > 0 ? std::string(text, static_cast<std::size_t>(n)) : std::string();
  }

 private:
  int fd_;
};

/// A port of loopback on which connections are refused, for as long as the object lives.
class closed_port : public plain_socket {
 public:
  explicit closed_port(const address& on = address::loopback_v4(), int type = SOCK_STREAM)
      : plain_socket(::socket(on.is_v4() ? AF_INET : AF_INET6, type | SOCK_CLOEXEC, 0)) {
    system_name name(endpoint(on, 0));
    test::check(::bind(fd(), name.get(), name.size) == 0, "bind");
    ::getsockname(fd(), name.get(), &name.size);
    at_ = {on, name.port()};
  }
  const endpoint& at() const { return at_; }

 private:
  endpoint at_;
};

/// A port of loopback on which the system accepts connections.
class listener : public closed_port {
 public:
  explicit listener(const address& on = address::loopback_v4(), int backlog = 1024)
      : closed_port(on) {
    test::check(::listen(fd(), backlog) == 0, "listen");
  }
  plain_socket accept() { return plain_socket(::accept4(fd(), nullptr, nullptr, SOCK_CLOEXEC)); }
  bool has_connection() {
    pollfd p = {fd(), POLLIN, 0};
    return ::poll(&p, 1, 0) == 1;
  }
};

/// A port of loopback from which nothing comes back: its queue is full, so the system drops what
/// asks for one connection more.
class black_hole : public listener {
 public:
  explicit black_hole(const address& on = address::loopback_v4()) : listener(on, 0) {
    pollfd p;
    do {
      const plain_socket& filler = fillers_.emplace_back(
          ::socket(on.is_v4() ? AF_INET : AF_INET6, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
      system_name name(at());
      ::connect(filler.fd(), name.get(), name.size);
      p = {filler.fd(), POLLOUT, 0};
    } while (::poll(&p, 1, 100) == 1);
  }

 private:
  std::deque<plain_socket> fillers_;
};

bool contains(const std::string& text, std::string_view part) {
  return text.find(part) != text.npos;
}

/// What connecting fails with.
struct refusal {
  error_code code;
  std::string text;
};
template <class Connect>
task<refusal> failure_of(Connect to) {
  refusal why;
  try {
    (void)co_await std::move(to);
    BOOST_ERROR("connected");
  } catch (const system_error& e) {
    why.code = e.code();
    why.text = e.what();
  }
  co_return why;
}

template <class T>
void finish(loop& on, running<T>& work) {
  while (!work.done()) on.run_some();
}
void settle(loop& on) {
  while (on.poll() != 0) continue;
}
error_code code_of(connecting& work) {
  try {
    (void)work.result();
  } catch (const system_error& e) {
    return e.code();
  }
  return {};
}

/// One connect(endpoint) as a task that can be started.
task<tcp_socket> to_one(endpoint to, connect_options options = {}) {
  co_return co_await connect(to, options);
}

connect_options with_delay(std::chrono::nanoseconds delay) {
  connect_options options;
  options.attempt_delay = delay;
  return options;
}

boost::test_tools::assertion_result has_v6(boost::unit_test::test_unit_id) {
  try {
    const closed_port some(address::loopback_v6());
    return true;
  } catch (const std::exception&) {
    BOOST_TEST_MESSAGE("skipped: this system has no IPv6");
    return false;
  }
}

}  // namespace

// connect(endpoint)

COROUTINE_TEST_CASE(a_connection_carries_bytes_both_ways) {
  listener server;
  tcp_socket client = co_await connect(server.at());
  plain_socket peer = server.accept();
  BOOST_TEST(client.remote_endpoint() == server.at());
  BOOST_TEST(co_await client.send("question") == 8u);
  BOOST_TEST(peer.receive() == "question");
  BOOST_TEST(::send(peer.fd(), "answer", 6, 0) == 6);
  char text[16];
  const std::size_t n = co_await client.receive(text);
  BOOST_TEST(std::string(text, n) == "answer");
  client.close();
  BOOST_TEST(peer.receive() == "");
}

BOOST_TEST_DECORATOR(*boost::unit_test::precondition(has_v6))
BOOST_AUTO_TEST_CASE(a_connection_may_be_v6) {
  const auto body = []() -> task<> {
    listener server(address::loopback_v6());
    tcp_socket client = co_await connect(server.at());
    BOOST_TEST(client.remote_endpoint() == server.at());
    BOOST_TEST(client.local_endpoint().address() == address::loopback_v6());
  };
  test::run_case(body());
}

COROUTINE_TEST_CASE(the_descriptor_is_non_blocking_and_closed_on_exec) {
  listener server;
  const tcp_socket client = co_await connect(server.at());
  BOOST_TEST((::fcntl(client.native_handle(), F_GETFD) & FD_CLOEXEC) != 0);
  BOOST_TEST((::fcntl(client.native_handle(), F_GETFL) & O_NONBLOCK) != 0);
}

COROUTINE_TEST_CASE(a_port_nobody_listens_on_refuses_with_the_endpoint_in_the_text) {
  const closed_port closed;
  const std::size_t before = test::open_descriptors();
  const refusal why = co_await failure_of(connect(closed.at()));
  BOOST_TEST(why.code == connection_refused);
  BOOST_TEST(why.text == closed.at().to_string() + ": Connection refused");
  BOOST_TEST(test::open_descriptors() == before);
}

COROUTINE_TEST_CASE(an_endpoint_that_is_none_is_an_error_with_its_text) {
  const std::size_t before = test::open_descriptors();
  for (const char* bad :
       {"[fe80::1]:80", "255.255.255.255:80", "127.0.0.1:0", "[fe80::1%4000000]:1"}) {
    const refusal why = co_await failure_of(connect(endpoint::parse(bad)));
    BOOST_TEST(!!why.code);
    BOOST_TEST(contains(why.text, std::string(bad) + ": "), why.text);
  }
  BOOST_TEST(test::open_descriptors() == before);
}

NETWORK_COROUTINE_TEST_CASE(an_address_without_a_route_is_unreachable) {
  for (const char* far : {"192.0.2.1:80", "[2001:db8::1]:80"}) {
    const refusal why = co_await failure_of(connect(endpoint::parse(far)));
    BOOST_TEST(why.code == boost::system::errc::network_unreachable);
    BOOST_TEST(contains(why.text, far), why.text);
  }
}

COROUTINE_TEST_CASE(a_connection_to_oneself_is_refused) {
  connect_options options;
  {
    const closed_port some;
    options.local = some.at();
  }
  const std::size_t before = test::open_descriptors();
  const refusal why = co_await failure_of(connect(*options.local, options));
  BOOST_TEST(why.code == connection_refused);
  BOOST_TEST(contains(why.text, "Connection refused"), why.text);
  BOOST_TEST(test::open_descriptors() == before);

  // And nothing of it is left that would keep a server from the port.
  const plain_socket server(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  system_name name(*options.local);
  BOOST_TEST(::bind(server.fd(), name.get(), name.size) == 0);
}

COROUTINE_TEST_CASE(a_connection_is_made_from_the_local_endpoint) {
  listener server;
  connect_options options;
  options.local = endpoint::parse("127.0.0.2:0");
  const tcp_socket client = co_await connect(server.at(), options);
  BOOST_TEST(client.local_endpoint().address().to_string() == "127.0.0.2");
  BOOST_TEST(client.local_endpoint().port() != 0);

  // A fixed port, twice in a row: connections that linger do not stand in the way.
  for (int i = 0; i != 2; ++i) {
    {
      const closed_port some;
      options.local = some.at();
    }
    tcp_socket fixed = co_await connect(server.at(), options);
    BOOST_TEST(fixed.local_endpoint() == *options.local);
  }
}

COROUTINE_TEST_CASE(a_local_endpoint_that_is_not_there_is_named_in_the_text) {
  const closed_port closed;
  connect_options options;
  options.local = endpoint::parse("192.0.2.1:0");
  const refusal foreign = co_await failure_of(connect(closed.at(), options));
  BOOST_TEST(foreign.code == boost::system::errc::address_not_available);
  BOOST_TEST(contains(foreign.text, closed.at().to_string() + " from 192.0.2.1:0: "), foreign.text);

  options.local = endpoint::parse("[::1]:0");
  const refusal family = co_await failure_of(connect(closed.at(), options));
  BOOST_TEST(contains(family.text, " from [::1]:0: "), family.text);
}

COROUTINE_TEST_CASE(options_are_set_before_the_connection_is_made) {
  listener server;
  const tcp_socket plain = co_await connect(server.at());
  BOOST_TEST(plain.no_delay());
  connect_options options;
  options.no_delay = false;
  options.receive_buffer = 20'000;
  options.send_buffer = 30'000;
  const tcp_socket other = co_await connect(server.at(), options);
  BOOST_TEST(!other.no_delay());
  BOOST_TEST(other.receive_buffer() == 40'000);  // the system doubles them
  BOOST_TEST(other.send_buffer() == 60'000);
}

COROUTINE_TEST_CASE(fast_open_is_accepted_whether_or_not_the_system_has_it) {
  listener server;
  const int pending = 5;
  ::setsockopt(server.fd(), IPPROTO_TCP, TCP_FASTOPEN, &pending, sizeof pending);
  connect_options options;
  options.fast_open = true;
  for (int i = 0; i != 3; ++i) {  // with the cookie that the first one has got
    tcp_socket client = co_await connect(server.at(), options);
    BOOST_TEST(co_await client.send("early") == 5u);
    plain_socket peer = server.accept();
    BOOST_TEST(peer.receive() == "early");
  }
}

COROUTINE_TEST_CASE(a_thousand_connects_leak_no_descriptor) {
  listener server;
  const closed_port closed;
  const std::size_t before = test::open_descriptors();
  for (int i = 0; i != 1000; ++i) {
    const tcp_socket client = co_await connect(server.at());
    const plain_socket peer = server.accept();
    const auto refused = co_await as_result(connect(closed.at()));
    if (refused.error() != connection_refused) BOOST_ERROR(refused.error());
  }
  BOOST_TEST(test::open_descriptors() == before);
}

// UndefinedBehaviorSanitizer needs descriptors itself to look at memory.
#if !COSOCK_TEST_SANITIZED
BOOST_AUTO_TEST_CASE(no_descriptor_left_is_an_error_and_no_more) {
  test::in_child([] {
    const auto body = []() -> task<> {
      listener server;
      const rlimit least = {3, 3};
      rlimit before;
      ::getrlimit(RLIMIT_NOFILE, &before);
      const rlimit now = {least.rlim_cur, before.rlim_max};
      ::setrlimit(RLIMIT_NOFILE, &now);
      const refusal one = co_await failure_of(connect(server.at()));
      BOOST_TEST(one.code == boost::system::errc::too_many_files_open);
      const std::vector<endpoint> two(2, server.at());
      const refusal both = co_await failure_of(connect(two));
      BOOST_TEST(both.code == boost::system::errc::too_many_files_open);
      ::setrlimit(RLIMIT_NOFILE, &before);
      const tcp_socket good = co_await connect(server.at());
      BOOST_TEST(good.is_open());
    };
    test::run_case(body());
  });
}
#endif

COROUTINE_TEST_CASE(trying_again_without_end_lets_other_tasks_run) {
  const closed_port closed;
  const auto one = [](endpoint to) -> task<> {
    while ((co_await as_result(connect(to))).error() == connection_refused) continue;
    throw system_error(make_error_code(error::cancelled));
  };
  const auto ended = co_await as_result(with_timeout(10ms, one(closed.at())));
  BOOST_TEST(ended.error() == make_error_code(error::timed_out));
  const auto several = [](endpoint to) -> task<> {
    while ((co_await as_result(connect(std::vector<endpoint>(2, to)))).error() ==
           connection_refused)
      continue;
    throw system_error(make_error_code(error::cancelled));
  };
  const auto also = co_await as_result(with_timeout(10ms, several(closed.at())));
  BOOST_TEST(also.error() == make_error_code(error::timed_out));
}

BOOST_AUTO_TEST_CASE(cancelled_before_it_starts_it_connects_to_nobody) {
  listener server;
  const std::size_t without = test::open_descriptors();
  {
    loop l;
    const std::size_t before = test::open_descriptors();
    const std::vector<endpoint> list(2, server.at());
    connecting one = l.start(to_one(server.at()));
    connecting host = l.start(connect("127.0.0.1", server.at().port()));
    connecting several = l.start(connect(list));
    connecting none = l.start(connect(std::vector<endpoint>()));
    for (connecting* each : {&one, &host, &several, &none}) each->cancel();
    settle(l);
    for (connecting* each : {&one, &host, &several, &none}) {
      BOOST_REQUIRE(each->done());
      BOOST_TEST(code_of(*each) == make_error_code(error::cancelled));
    }
    BOOST_TEST(test::open_descriptors() == before);
  }
  BOOST_TEST(!server.has_connection());
  BOOST_TEST(test::open_descriptors() == without);
}

BOOST_AUTO_TEST_CASE(cancelled_while_pending_it_closes) {
  black_hole hole;
  loop l;
  settle(l);
  const std::size_t before = test::open_descriptors();
  connecting client = l.start(to_one(hole.at()));
  settle(l);
  BOOST_TEST(!client.done());
  BOOST_TEST(test::open_descriptors() == before + 1);
  client.cancel();
  finish(l, client);
  BOOST_TEST(code_of(client) == make_error_code(error::cancelled));
  BOOST_TEST(test::open_descriptors() == before);
}

BOOST_AUTO_TEST_CASE(destroyed_while_pending_it_closes) {
  black_hole hole;
  loop l;
  settle(l);
  const std::size_t before = test::open_descriptors();
  {
    connecting one = l.start(to_one(hole.at()));
    connecting several = l.start(connect(std::vector<endpoint>(3, hole.at()), with_delay(0ns)));
    settle(l);
    BOOST_TEST(test::open_descriptors() > before);
  }
  BOOST_TEST(test::open_descriptors() == before);
  settle(l);
}

BOOST_AUTO_TEST_CASE(a_loop_destroyed_while_it_is_pending_closes_it) {
  black_hole hole;
  const std::size_t before = test::open_descriptors();
  std::optional<loop> l(std::in_place);
  connecting one = l->start(to_one(hole.at()));
  connecting several = l->start(connect(std::vector<endpoint>(3, hole.at()), with_delay(0ns)));
  connecting host = l->start(connect("127.0.0.1", hole.at().port()));
  settle(*l);
  l.reset();
  BOOST_TEST(test::open_descriptors() == before);
  BOOST_CHECK_THROW((void)one.result(), std::logic_error);
  BOOST_CHECK_THROW((void)several.result(), std::logic_error);
  BOOST_CHECK_THROW((void)host.result(), std::logic_error);
}

COROUTINE_TEST_CASE(a_limit_ends_it) {
  black_hole hole;
  const std::size_t before = test::open_descriptors();
  const auto ended = co_await as_result(with_timeout(5ms, connect(hole.at())));
  BOOST_TEST(ended.error() == make_error_code(error::timed_out));
  const auto at_once = co_await as_result(with_timeout(0ms, connect(hole.at())));
  BOOST_TEST(at_once.error() == make_error_code(error::timed_out));
  BOOST_TEST(test::open_descriptors() == before);
}

// connect(host, port) and connect(endpoints), on loopback

COROUTINE_TEST_CASE(a_host_and_a_port_are_connected_to) {
  listener server;
  const tcp_socket by_number = co_await connect("127.0.0.1", server.at().port());
  BOOST_TEST(by_number.remote_endpoint() == server.at());
  const tcp_socket by_text = co_await connect("127.0.0.1", std::to_string(server.at().port()));
  BOOST_TEST(by_text.remote_endpoint() == server.at());
}

COROUTINE_TEST_CASE(refused_everywhere_it_names_every_address_and_why) {
  const closed_port a;
  const closed_port b;
  const std::vector<endpoint> to = {a.at(), b.at(), endpoint::parse("255.255.255.255:80")};
  const refusal why = co_await failure_of(connect(to));
  BOOST_TEST(why.code == connection_refused);
  BOOST_TEST(contains(why.text, "cannot connect: " + a.at().to_string() + ": Connection refused; " +
                                    b.at().to_string() + ": Connection refused; "),
             why.text);
  BOOST_TEST(contains(why.text, "; 255.255.255.255:80: "), why.text);
}

COROUTINE_TEST_CASE(the_only_address_of_a_host_is_not_named_twice) {
  const closed_port a;
  const refusal why = co_await failure_of(connect("127.0.0.1", a.at().port()));
  BOOST_TEST(why.text == "cannot connect to " + a.at().to_string() + ": Connection refused");
  connect_options options;
  options.local = endpoint::parse("127.0.0.2:0");
  const refusal from = co_await failure_of(connect("127.0.0.1", a.at().port(), options));
  BOOST_TEST(contains(from.text, a.at().to_string() + " from 127.0.0.2:0: Connection refused"),
             from.text);
}

COROUTINE_TEST_CASE(no_address_at_all_is_host_not_found) {
  const refusal none = co_await failure_of(connect(std::vector<endpoint>()));
  BOOST_TEST(none.code == make_error_code(error::host_not_found));
  BOOST_TEST(contains(none.text, "no address to try"), none.text);
}

COROUTINE_TEST_CASE(addresses_of_another_family_are_not_tried) {
  listener server;
  const closed_port closed;
  const std::vector<endpoint> both = {endpoint(address::loopback_v6(), server.at().port()),
                                      server.at()};
  connect_options options = with_delay(1h);
  options.local = endpoint::parse("127.0.0.3:0");
  const tcp_socket local = co_await connect(both, options);
  BOOST_TEST(local.local_endpoint().address().to_string() == "127.0.0.3");
  const tcp_socket loopback = co_await connect("", server.at().port(), options);
  BOOST_TEST(loopback.remote_endpoint() == server.at());

  connect_options v4 = with_delay(1h);
  v4.family = family::v4;
  const tcp_socket wanted = co_await connect(both, v4);
  BOOST_TEST(wanted.remote_endpoint() == server.at());
  v4.family = family::v6;
  const std::vector<endpoint> only_v4(1, server.at());
  const refusal none = co_await failure_of(connect(only_v4, v4));
  BOOST_TEST(none.code == make_error_code(error::host_not_found));
  BOOST_TEST(contains(none.text, "family"), none.text);
  options.family = family::v6;
  const refusal neither = co_await failure_of(connect(both, options));
  BOOST_TEST(neither.code == make_error_code(error::host_not_found));
}

COROUTINE_TEST_CASE(an_address_that_refuses_is_followed_by_the_next_at_once) {
  const closed_port a;
  const closed_port b;
  listener c;
  const std::vector<endpoint> to = {a.at(), b.at(), c.at()};
  const std::size_t before = test::open_descriptors();
  const auto begin = steady_clock::now();
  const tcp_socket client = co_await connect(to, with_delay(1h));
  BOOST_TEST(client.remote_endpoint() == c.at());
  BOOST_TEST((steady_clock::now() - begin < 30s));
  BOOST_TEST(test::open_descriptors() == before + 1);
}

COROUTINE_TEST_CASE(a_black_holed_address_is_joined_by_the_next_after_250_ms) {
  black_hole hole;
  listener second;
  listener third;
  const std::vector<endpoint> to = {hole.at(), second.at(), third.at()};
  const std::size_t before = test::open_descriptors();
  const auto begin = steady_clock::now();
  const tcp_socket client = co_await connect(to);
  const auto taken = steady_clock::now() - begin;
  BOOST_TEST(client.remote_endpoint() == second.at());
  BOOST_TEST((taken >= 250ms));
  BOOST_TEST((taken < 950ms), "the system sends again, and may get through, after 1 s");
  BOOST_TEST(test::open_descriptors() == before + 1);
  BOOST_TEST(!third.has_connection());
}

COROUTINE_TEST_CASE(the_limit_of_the_options_ends_the_attempts_and_names_them) {
  black_hole hole;
  const closed_port closed;
  connect_options options = with_delay(1ms);
  options.timeout = 20ms;
  const std::size_t before = test::open_descriptors();
  const std::vector<endpoint> to = {closed.at(), hole.at()};
  const refusal several = co_await failure_of(connect(to, options));
  BOOST_TEST(several.code == make_error_code(error::timed_out));
  BOOST_TEST(several.text ==
             "cannot connect: the time limit has passed: " + closed.at().to_string() +
                 ": Connection refused; " + hole.at().to_string() + ": no answer");
  const refusal host = co_await failure_of(connect("127.0.0.1", hole.at().port(), options));
  BOOST_TEST(host.code == make_error_code(error::timed_out));
  BOOST_TEST(host.text == "cannot connect to " + hole.at().to_string() +
                              ": the time limit has passed: no answer");
  options.timeout = 0ns;
  const refusal at_once = co_await failure_of(connect("127.0.0.1", hole.at().port(), options));
  BOOST_TEST(at_once.code == make_error_code(error::timed_out));
  BOOST_TEST(test::open_descriptors() == before);
}

COROUTINE_TEST_CASE(the_limit_may_be_for_ever) {
  listener server;
  connect_options options;
  options.timeout = std::chrono::nanoseconds::max();
  options.attempt_delay = std::chrono::nanoseconds::max();
  const tcp_socket client = co_await connect("127.0.0.1", server.at().port(), options);
  BOOST_TEST(client.is_open());
}

COROUTINE_TEST_CASE(a_limit_around_it_and_a_cancellation_are_told_from_its_own) {
  black_hole hole;
  const auto outer = co_await as_result(with_timeout(5ms, connect("127.0.0.1", hole.at().port())));
  BOOST_TEST(outer.error() == make_error_code(error::timed_out));
  cosock::cancel_scope scope;
  cosock::loop::current().post([&scope] { scope.cancel(); });
  const auto cancelled = co_await as_result(scope.run(connect("127.0.0.1", hole.at().port())));
  BOOST_TEST(cancelled.error() == make_error_code(error::cancelled));
}

COROUTINE_TEST_CASE(a_bad_port_is_refused_with_its_text) {
  for (const char* port : {"70000", "-1", "", "!"}) {
    const refusal why = co_await failure_of(connect("127.0.0.1", port));
    BOOST_TEST(why.code == make_error_code(error::service_not_found));
    BOOST_TEST(contains(why.text, '"' + std::string(port) + '"'), why.text);
  }
}

BOOST_AUTO_TEST_CASE(a_failed_allocation_anywhere_is_an_error_and_leaks_nothing) {
  listener server;
  const closed_port closed;
  loop l;
  settle(l);
  const std::size_t before = test::open_descriptors();
  const std::vector<endpoint> to = {closed.at(), server.at(), server.at()};
  const int failures = test::fail_each_allocation([&] {
    try {
      connecting one = l.start(to_one(server.at()));
      connecting several = l.start(connect(to, with_delay(0ns)));
      finish(l, one);
      finish(l, several);
      (void)one.result();
      (void)several.result();
      return true;
    } catch (const std::bad_alloc&) {
      return false;
    }
  });
  BOOST_TEST(failures > 10);
  settle(l);
  BOOST_TEST(test::open_descriptors() == before);
}

// connect(host, port) with names

namespace {

/// A network without a name server, in which the hosts file alone counts.
const test::etc hosts_only = [] {
  test::etc files;
  files.nsswitch_conf = "hosts: files\nservices: files\n";
  files.hosts =
      "127.0.0.1 localhost\n::1 localhost\n127.0.0.11 two.test\n127.0.0.12 two.test\n"
      "::1 both.test\n127.0.0.1 both.test\n";
  return files;
}();

}  // namespace

#define HOSTS_TEST_CASE(name)                                                             \
  static task<> name##_task();                                                            \
  BOOST_AUTO_TEST_CASE(name, *boost::unit_test::precondition(test::may_have_a_network)) { \
    test::in_network([] { test::run_case(name##_task()); }, hosts_only);                  \
  }                                                                                       \
  static task<> name##_task()

HOSTS_TEST_CASE(a_name_is_connected_to) {
  listener server(address::loopback_v6());
  const tcp_socket client = co_await connect("localhost", server.at().port());
  BOOST_TEST(client.remote_endpoint() == server.at());
}

HOSTS_TEST_CASE(a_service_name_is_connected_to) {
  const refusal why = co_await failure_of(connect("127.0.0.1", "http"));
  BOOST_TEST(why.code == connection_refused);
  BOOST_TEST(why.text == "cannot connect to 127.0.0.1:http: 127.0.0.1:80: Connection refused");
  const refusal unknown = co_await failure_of(connect("localhost", "nosuch"));
  BOOST_TEST(unknown.code == make_error_code(error::service_not_found));
  BOOST_TEST(contains(unknown.text, "\"nosuch\""), unknown.text);
}

HOSTS_TEST_CASE(a_name_refused_everywhere_lists_its_addresses) {
  const refusal two = co_await failure_of(connect("two.test", 80));
  BOOST_TEST(two.code == connection_refused);
  BOOST_TEST(contains(two.text, "cannot connect to two.test:80: 127.0.0.1"), two.text);
  BOOST_TEST(contains(two.text, "127.0.0.11:80: Connection refused"), two.text);
  BOOST_TEST(contains(two.text, "127.0.0.12:80: Connection refused"), two.text);
  const refusal both = co_await failure_of(connect("both.test", "80"));
  BOOST_TEST(contains(both.text, " [::1]:80: Connection refused"), both.text);
  BOOST_TEST(contains(both.text, " 127.0.0.1:80: Connection refused"), both.text);
  const refusal v6 = co_await failure_of(connect("::1", 80));
  BOOST_TEST(v6.text == "cannot connect to [::1]:80: Connection refused");
}

HOSTS_TEST_CASE(an_unknown_host_is_named) {
  const refusal why = co_await failure_of(connect("nosuch.test", 80));
  BOOST_TEST(why.code == make_error_code(error::host_not_found));
  BOOST_TEST(contains(why.text, "nosuch.test"), why.text);
  BOOST_TEST(contains(why.text, "no such host"), why.text);
}

HOSTS_TEST_CASE(a_system_without_one_family_uses_the_other) {
  test::write_file("/proc/sys/net/ipv6/conf/lo/disable_ipv6", "1");
  listener v4;
  const std::vector<endpoint> to = {endpoint(address::loopback_v6(), v4.at().port()), v4.at()};
  const tcp_socket client = co_await connect(to, with_delay(1h));
  BOOST_TEST(client.remote_endpoint() == v4.at());
  const tcp_socket by_name = co_await connect("both.test", v4.at().port(), with_delay(1h));
  BOOST_TEST(by_name.remote_endpoint() == v4.at());
}

NETWORK_COROUTINE_TEST_CASE(a_connection_that_the_system_aborts_stays_aborted) {
  cosock::tcp_acceptor acceptor(endpoint(address::loopback_v4(), 0));
  const auto at = acceptor.local_endpoint();
  auto [client, server] = co_await cosock::when_all(connect(at), acceptor.accept());
  const std::string kill = "ss -K dport = :" + std::to_string(at.port()) + " >/dev/null 2>&1";
  static_cast<void>(std::system(kill.c_str()));
  char byte[1];
  const auto first = co_await as_result(with_timeout(2s, client.receive(byte)));
  if (first.error() == cosock::error::timed_out) {
    BOOST_TEST_MESSAGE("skipped: the system cannot abort connections");
    co_return;
  }
  BOOST_TEST((first.error() == boost::system::errc::connection_aborted));
  const auto second = co_await as_result(client.receive(byte));
  BOOST_TEST((second.error() == boost::system::errc::connection_aborted));
  const auto third = co_await as_result(client.send("x"));
  BOOST_TEST((third.error() == boost::system::errc::connection_aborted));
}

NETWORK_COROUTINE_TEST_CASE(the_limit_covers_the_look_up) {
  const plain_socket silent(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  system_name name(endpoint::parse("127.0.0.53:53"));
  BOOST_REQUIRE(::bind(silent.fd(), name.get(), name.size) == 0);
  connect_options options;
  options.timeout = 10ms;
  const auto begin = steady_clock::now();
  const refusal why = co_await failure_of(connect("silent.test", 80, options));
  BOOST_TEST((steady_clock::now() - begin < 4s));  // the name server is waited for for 5 s
  BOOST_TEST(why.code == make_error_code(error::timed_out));
  BOOST_TEST(why.text ==
             "cannot connect to silent.test:80: the time limit has passed during the look-up");
  cosock::cancel_scope scope;
  cosock::loop::current().post([&scope] { scope.cancel(); });
  const auto cancelled = co_await as_result(scope.run(connect("silent.test", 80)));
  BOOST_TEST(cancelled.error() == make_error_code(error::cancelled));
}

// Happy Eyeballs, with hosts that do what the test says

namespace {

/// A network of hosts that do nothing by themselves: 10.231.7.0/24 and fd31:7::/64 lie behind a
/// network device, at the other end of which the test reads packets and writes answers.
class puppets {
 public:
  puppets() {
    ifreq request = {};
    std::strcpy(request.ifr_name, "puppets");
    request.ifr_flags = IFF_TUN | IFF_NO_PI;
    test::check(tun_.fd() >= 0 && ::ioctl(tun_.fd(), TUNSETIFF, &request) == 0, "/dev/net/tun");

    const plain_socket v4(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    system_name name(endpoint::parse("10.231.7.1:0"));
    std::memcpy(&request.ifr_addr, name.get(), sizeof request.ifr_addr);
    test::check(::ioctl(v4.fd(), SIOCSIFADDR, &request) == 0, "SIOCSIFADDR");
    name = system_name(endpoint::parse("255.255.255.0:0"));
    std::memcpy(&request.ifr_netmask, name.get(), sizeof request.ifr_netmask);
    test::check(::ioctl(v4.fd(), SIOCSIFNETMASK, &request) == 0, "SIOCSIFNETMASK");

    const plain_socket v6(::socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    struct {  // struct in6_ifreq
      in6_addr address;
      std::uint32_t prefix;
      int interface;
    } request_v6 = {};
    std::memcpy(&request_v6.address, address::parse("fd31:7::1").bytes().data(), 16);
    request_v6.prefix = 64;
    request_v6.interface = static_cast<int>(::if_nametoindex("puppets"));
    test::check(::ioctl(v6.fd(), SIOCSIFADDR, &request_v6) == 0, "SIOCSIFADDR for IPv6");
    test::bring_up("puppets");
    // The address is of no use before the system has taken its time over it.
    name = system_name(endpoint::parse("[fd31:7::1]:0"));
    while (::bind(v6.fd(), name.get(), name.size) != 0) ::sched_yield();
  }

  /// Runs the loop until it asks another host for a connection, and gives that host.
  endpoint next_attempt(loop& on) {
    while (attempts_.empty()) {
      on.poll();
      read();
    }
    const endpoint first = attempts_.front();
    attempts_.pop_front();
    return first;
  }
  /// Whether somebody was asked whom the test has not seen yet.
  bool another_attempt(loop& on) {
    settle(on);
    read();
    return !attempts_.empty();
  }

  void accept(const endpoint& host) { answer(host, syn | ack); }
  void refuse(const endpoint& host) { answer(host, rst | ack); }
  /// Has a router say that it cannot reach the host; IPv4 only.
  void lose(const endpoint& host) {
    const std::string& asked = hosts_.at(host).packet;
    std::string message = std::string("\3\1\0\0\0\0\0\0", 8) + asked.substr(0, 28);
    put_sum(message, 2, sum_of(message));
    write(
        v4_header(1, address::parse("10.231.7.254"), address::parse("10.231.7.1"), message.size()) +
        message);
  }
  /// Whether the client has ended its connection to the host.
  bool ended(const endpoint& host) {
    read();
    return hosts_.at(host).ended;
  }

 private:
  enum : unsigned { fin = 1, syn = 2, rst = 4, ack = 16 };
  struct state {
    std::string packet;  // the one that asked
    bool ended = false;
  };

  static unsigned get16(const std::string& from, std::size_t at) {
    return static_cast<unsigned char>(from[at]) * 256u + static_cast<unsigned char>(from[at + 1]);
  }
  static std::string put16(unsigned value) {
    return {static_cast<char>(value >> 8), static_cast<char>(value)};
  }
  static std::string put32(std::uint32_t value) {
    return put16(value >> 16) + put16(value & 0xffff);
  }
  static unsigned sum_of(const std::string& bytes) {
    unsigned sum = 0;
    for (std::size_t i = 0; i + 1 < bytes.size(); i += 2) sum += get16(bytes, i);
    while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
    return ~sum & 0xffff;
  }
  static void put_sum(std::string& into, std::size_t at, unsigned sum) {
    into.replace(at, 2, put16(sum));
  }
  static std::string bytes_of(const address& a) {
    return {reinterpret_cast<const char*>(a.bytes().data()), a.is_v4() ? 4u : 16u};
  }
  static std::string v4_header(char protocol, const address& from, const address& to,
                               std::size_t size) {
    std::string header = std::string("\x45\0", 2) + put16(static_cast<unsigned>(20 + size)) +
                         std::string("\0\0\x40\0\x40", 5) + protocol + std::string(2, '\0') +
                         bytes_of(from) + bytes_of(to);
    put_sum(header, 10, sum_of(header));
    return header;
  }

  static bool is_v4(const std::string& packet) { return (packet[0] >> 4 & 15) == 4; }
  static std::size_t tcp_at(const std::string& packet) { return is_v4(packet) ? 20 : 40; }
  static address address_at(const std::string& packet, std::size_t v4, std::size_t v6) {
    if (is_v4(packet)) {
      address::v4_bytes bytes;
      std::memcpy(bytes.data(), packet.data() + v4, 4);
      return address(bytes);
    }
    address::v6_bytes bytes;
    std::memcpy(bytes.data(), packet.data() + v6, 16);
    return address(bytes);
  }

  void read() {
    char data[2048];
    for (ssize_t n; (n = ::read(tun_.fd(), data, sizeof data)) > 0;) {
      const std::string packet(data, static_cast<std::size_t>(n));
      if (packet[is_v4(packet) ? 9 : 6] != IPPROTO_TCP) continue;
      const std::size_t tcp = tcp_at(packet);
      const endpoint host(address_at(packet, 16, 24),
                          static_cast<std::uint16_t>(get16(packet, tcp + 2)));
      const auto flags = static_cast<unsigned char>(packet[tcp + 13]);
      if (flags & (fin | rst)) {
        hosts_[host].ended = true;
      } else if (flags == syn && !hosts_.contains(host)) {  // and not one sent again
        hosts_[host].packet = packet;
        attempts_.push_back(host);
      }
    }
  }

  void answer(const endpoint& host, unsigned flags) {
    const std::string& asked = hosts_.at(host).packet;
    const std::size_t at = tcp_at(asked);
    const address client = address_at(asked, 12, 8);
    const std::uint32_t sequence = get16(asked, at + 4) << 16 | get16(asked, at + 6);
    std::string tcp = put16(host.port()) + asked.substr(at, 2) + put32(flags & syn ? 1000 : 0) +
                      put32(sequence + 1) + '\x50' + static_cast<char>(flags) + put16(60'000) +
                      std::string(4, '\0');
    const std::string pseudo_header = bytes_of(host.address()) + bytes_of(client) +
                                      put16(IPPROTO_TCP) + put16(static_cast<unsigned>(tcp.size()));
    put_sum(tcp, 16, sum_of(pseudo_header + tcp));
    if (client.is_v4())
      write(v4_header(IPPROTO_TCP, host.address(), client, tcp.size()) + tcp);
    else
      write(std::string("\x60\0\0\0", 4) + put16(static_cast<unsigned>(tcp.size())) +
            static_cast<char>(IPPROTO_TCP) + '\x40' + bytes_of(host.address()) + bytes_of(client) +
            tcp);
  }
  void write(const std::string& packet) {
    test::check(
        ::write(tun_.fd(), packet.data(), packet.size()) == static_cast<ssize_t>(packet.size()),
        "write to /dev/net/tun");
  }

  plain_socket tun_{::open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC)};
  std::map<endpoint, state> hosts_;
  std::deque<endpoint> attempts_;
};

/// Whether there can be puppets.
boost::test_tools::assertion_result may_have_puppets(boost::unit_test::test_unit_id id) {
  static const bool may = [&] {
    if (!test::may_have_a_network(id)) return false;
    const pid_t child = ::fork();
    if (child == 0) {
      try {
        test::enter_network();
        const puppets some;
        ::_exit(0);
      } catch (...) {
        ::_exit(1);
      }
    }
    int status = -1;
    ::waitpid(child, &status, 0);
    if (status != 0) BOOST_TEST_MESSAGE("skipped: needs /dev/net/tun");
    return status == 0;
  }();
  boost::test_tools::assertion_result result(may);
  if (!may) result.message() << "needs root and /dev/net/tun";
  return result;
}

/// What every such test has.
struct stage {
  puppets hosts;
  loop on;
  const endpoint a = endpoint::parse("10.231.7.2:80");
  const endpoint b = endpoint::parse("10.231.7.3:80");
  const endpoint c = endpoint::parse("10.231.7.4:80");
  const endpoint v6_a = endpoint::parse("[fd31:7::2]:80");
  const endpoint v6_b = endpoint::parse("[fd31:7::3]:80");
  const endpoint v6_c = endpoint::parse("[fd31:7::4]:80");
  const std::size_t before = (settle(on), test::open_descriptors());

  connecting start(std::vector<endpoint> to, std::chrono::nanoseconds delay) {
    return on.start(connect(std::move(to), with_delay(delay)));
  }
  /// Expects this one to be asked next.
  void expect_attempt(const endpoint& host) { BOOST_TEST(hosts.next_attempt(on) == host); }
  void expect_quiet() { BOOST_TEST(!hosts.another_attempt(on)); }
  /// Expects that the connection to this one wins, and that nothing else is left.
  void expect_winner(connecting& client, const endpoint& host) {
    finish(on, client);
    {
      const tcp_socket winner = client.result();
      BOOST_TEST(winner.remote_endpoint() == host);
      BOOST_TEST(test::open_descriptors() == before + 1);
      expect_quiet();
      BOOST_TEST(!hosts.ended(host));
    }
    BOOST_TEST(hosts.ended(host));
    BOOST_TEST(test::open_descriptors() == before);
  }
  refusal expect_failure(connecting& client) {
    finish(on, client);
    BOOST_TEST(test::open_descriptors() == before);
    try {
      (void)client.result();
    } catch (const system_error& e) {
      return {e.code(), e.what()};
    }
    BOOST_ERROR("connected");
    return {};
  }
};

}  // namespace

#define PUPPETS_TEST_CASE(name)                                                   \
  static void name##_body(stage&);                                                \
  BOOST_AUTO_TEST_CASE(name, *boost::unit_test::precondition(may_have_puppets)) { \
    test::in_network(                                                             \
        [] {                                                                      \
          stage s;                                                                \
          name##_body(s);                                                         \
        },                                                                        \
        names);                                                                   \
  }                                                                               \
  static void name##_body([[maybe_unused]] stage& s)

namespace {

const test::etc names = [] {
  test::etc files = hosts_only;
  files.hosts += "10.231.7.2 dual.test\n10.231.7.3 dual.test\nfd31:7::2 dual.test\n";
  return files;
}();

}  // namespace

PUPPETS_TEST_CASE(a_single_host_that_answers_quickly) {
  connecting client = s.start({s.a}, 1h);
  s.expect_attempt(s.a);
  s.hosts.accept(s.a);
  s.expect_winner(client, s.a);
}

PUPPETS_TEST_CASE(a_single_host_that_answers_slowly) {
  connecting client = s.start({s.v6_a}, 1ms);
  s.expect_attempt(s.v6_a);
  const auto begin = steady_clock::now();
  while (steady_clock::now() - begin < 10ms) s.expect_quiet();
  BOOST_TEST(!client.done());
  s.hosts.accept(s.v6_a);
  s.expect_winner(client, s.v6_a);
}

PUPPETS_TEST_CASE(a_single_host_that_refuses) {
  connecting client = s.start({s.v6_a}, 1h);
  s.expect_attempt(s.v6_a);
  s.expect_quiet();
  BOOST_TEST(!client.done());
  s.hosts.refuse(s.v6_a);
  const refusal why = s.expect_failure(client);
  BOOST_TEST(why.code == connection_refused);
  BOOST_TEST(why.text == "cannot connect: [fd31:7::2]:80: Connection refused");
}

PUPPETS_TEST_CASE(a_host_that_a_router_cannot_reach) {
  connecting client = s.start({s.a}, 1h);
  s.expect_attempt(s.a);
  s.hosts.lose(s.a);
  const refusal why = s.expect_failure(client);
  BOOST_TEST(why.code == boost::system::errc::host_unreachable);
  BOOST_TEST(contains(why.text, "No route to host"), why.text);
}

PUPPETS_TEST_CASE(silent_hosts_are_joined_by_the_next_one_after_the_delay) {
  const auto begin = steady_clock::now();
  connecting client = s.start({s.a, s.b, s.c}, 20ms);
  s.expect_attempt(s.a);
  s.expect_attempt(s.b);
  BOOST_TEST((steady_clock::now() - begin >= 20ms));
  s.expect_attempt(s.c);
  BOOST_TEST((steady_clock::now() - begin >= 40ms));
  s.expect_quiet();
  BOOST_TEST(test::open_descriptors() == s.before + 3);
  s.hosts.accept(s.c);
  s.expect_winner(client, s.c);
}

PUPPETS_TEST_CASE(the_delay_is_250_ms_unless_the_options_say_otherwise) {
  connecting client = s.on.start(connect(std::vector<endpoint>{s.a, s.b}));
  s.expect_attempt(s.a);
  const auto begin = steady_clock::now();
  s.expect_attempt(s.b);
  const auto taken = steady_clock::now() - begin;
  BOOST_TEST((taken >= 240ms));  // it began a little before the attempt was seen
  s.hosts.accept(s.b);
  s.expect_winner(client, s.b);
}

PUPPETS_TEST_CASE(without_a_delay_all_are_tried_at_once) {
  connecting client = s.start({s.a, s.b, s.c}, 0ns);
  s.expect_attempt(s.a);
  s.expect_attempt(s.b);
  s.expect_attempt(s.c);
  s.hosts.accept(s.b);
  s.expect_winner(client, s.b);
}

PUPPETS_TEST_CASE(an_earlier_host_may_still_win) {
  connecting client = s.start({s.a, s.b, s.c}, 5ms);
  s.expect_attempt(s.a);
  s.expect_attempt(s.b);
  s.hosts.accept(s.a);
  finish(s.on, client);
  const tcp_socket winner = client.result();
  BOOST_TEST(winner.remote_endpoint() == s.a);
  BOOST_TEST(test::open_descriptors() == s.before + 1);
}

PUPPETS_TEST_CASE(a_quick_success_leaves_the_others_alone) {
  connecting client = s.start({s.a, s.b, s.c}, 1h);
  s.expect_attempt(s.a);
  s.expect_quiet();
  s.hosts.accept(s.a);
  s.expect_winner(client, s.a);
}

PUPPETS_TEST_CASE(a_failure_starts_the_next_attempt_at_once) {
  connecting client = s.start({s.a, s.b, s.c}, 1h);
  s.expect_attempt(s.a);
  s.expect_quiet();
  s.hosts.refuse(s.a);
  s.expect_attempt(s.b);
  s.expect_quiet();
  s.hosts.lose(s.b);
  s.expect_attempt(s.c);
  s.hosts.accept(s.c);
  s.expect_winner(client, s.c);
}

PUPPETS_TEST_CASE(a_late_failure_starts_the_next_attempt_and_no_more_than_that) {
  connecting client = s.start({s.a, s.b, s.c, s.v6_a}, 100ms);
  const auto begin = steady_clock::now();
  s.expect_attempt(s.a);
  s.expect_attempt(s.v6_a);  // after the delay
  BOOST_TEST((steady_clock::now() - begin >= 95ms));
  s.hosts.refuse(s.a);
  s.expect_attempt(s.b);
  const auto restarted = steady_clock::now();
  s.expect_attempt(s.c);  // the delay counts from the last attempt
  BOOST_TEST((steady_clock::now() - restarted >= 95ms));
  s.hosts.refuse(s.b);
  s.hosts.refuse(s.c);
  s.expect_quiet();
  s.hosts.accept(s.v6_a);
  s.expect_winner(client, s.v6_a);
}

PUPPETS_TEST_CASE(all_hosts_fail_each_in_its_own_way) {
  connecting client = s.start({s.a, s.v6_a, s.b}, 0ns);
  for (const endpoint& each : {s.a, s.v6_a, s.b}) s.expect_attempt(each);
  s.hosts.lose(s.b);
  s.expect_quiet();
  s.hosts.refuse(s.v6_a);
  s.expect_quiet();
  BOOST_TEST(!client.done());
  s.hosts.refuse(s.a);
  const refusal why = s.expect_failure(client);
  BOOST_TEST(why.code == boost::system::errc::host_unreachable);  // the first to fail
  BOOST_TEST(
      why.text ==
      "cannot connect: 10.231.7.2:80: Connection refused; [fd31:7::2]:80: Connection refused;"
      " 10.231.7.3:80: No route to host");
}

PUPPETS_TEST_CASE(of_several_successes_at_once_one_wins_and_the_others_are_closed) {
  connecting client = s.start({s.a, s.b, s.v6_a, s.c}, 0ns);
  const std::vector<endpoint> all = {s.a, s.v6_a, s.b, s.c};
  for (const endpoint& each : all) s.expect_attempt(each);
  for (const endpoint& each : all) s.hosts.accept(each);
  finish(s.on, client);
  {
    const tcp_socket winner = client.result();
    BOOST_TEST(test::open_descriptors() == s.before + 1);
    for (const endpoint& each : all)
      BOOST_TEST(s.hosts.ended(each) == (each != winner.remote_endpoint()), each);
  }
  for (const endpoint& each : all) BOOST_TEST(s.hosts.ended(each), each);
}

PUPPETS_TEST_CASE(a_connection_made_in_the_turn_of_its_cancellation_is_closed) {
  cosock::cancel_scope scopes[2];
  int connected = 0;
  int cancelled = 0;
  const auto one = [&](int which, endpoint to) -> task<> {
    const auto result = co_await as_result(scopes[which].run(connect(to)));
    if (result.has_value()) {
      ++connected;
      scopes[1 - which].cancel();
    } else if (result.error() == error::cancelled) {
      ++cancelled;
    }
  };
  auto a = s.on.start(one(0, s.a));
  auto b = s.on.start(one(1, s.b));
  s.expect_attempt(s.a);
  s.expect_attempt(s.b);
  s.hosts.accept(s.a);
  s.hosts.accept(s.b);
  finish(s.on, a);
  finish(s.on, b);
  BOOST_TEST(connected == 1);
  BOOST_TEST(cancelled == 1);
  BOOST_TEST(test::open_descriptors() == s.before);
  BOOST_TEST(s.hosts.ended(s.a));
  BOOST_TEST(s.hosts.ended(s.b));
}

PUPPETS_TEST_CASE(address_families_take_turns) {
  connecting v6_first = s.start({s.v6_a, s.v6_b, s.v6_c, s.a, s.b}, 0ns);
  for (const endpoint& each : {s.v6_a, s.a, s.v6_b, s.b, s.v6_c}) s.expect_attempt(each);
  v6_first.cancel();
  (void)s.expect_failure(v6_first);

  const auto on = [](const endpoint& e) { return endpoint(e.address(), 81); };
  connecting v4_first = s.start({on(s.a), on(s.b), on(s.c), on(s.v6_a)}, 0ns);
  for (const endpoint& each : {s.a, s.v6_a, s.b, s.c}) s.expect_attempt(on(each));
  v4_first.cancel();
  (void)s.expect_failure(v4_first);
}

PUPPETS_TEST_CASE(a_family_that_is_missing_costs_nothing) {
  connecting v4 = s.start({s.a, s.b, s.c}, 0ns);
  for (const endpoint& each : {s.a, s.b, s.c}) s.expect_attempt(each);
  s.hosts.accept(s.b);
  s.expect_winner(v4, s.b);
  connecting v6 = s.start({s.v6_a, s.v6_b, s.v6_c}, 0ns);
  for (const endpoint& each : {s.v6_a, s.v6_b, s.v6_c}) s.expect_attempt(each);
  s.hosts.accept(s.v6_c);
  s.expect_winner(v6, s.v6_c);
}

PUPPETS_TEST_CASE(the_addresses_of_a_name_are_raced) {
  connecting client = s.on.start(connect("dual.test", 80, with_delay(0ns)));
  std::vector<endpoint> asked;
  for (int i = 0; i != 3; ++i) asked.push_back(s.hosts.next_attempt(s.on));
  std::sort(asked.begin(), asked.end());
  BOOST_TEST((asked == std::vector<endpoint>{s.a, s.b, s.v6_a}));
  s.hosts.accept(s.b);
  finish(s.on, client);
  const tcp_socket winner = client.result();
  BOOST_TEST(winner.remote_endpoint() == s.b);
}

PUPPETS_TEST_CASE(cancelled_during_the_attempts_it_closes_them_all) {
  connecting client = s.start({s.a, s.v6_a, s.b, s.c}, 1ms);
  for (const endpoint& each : {s.a, s.v6_a, s.b}) s.expect_attempt(each);
  BOOST_TEST(test::open_descriptors() >= s.before + 3);
  client.cancel();
  BOOST_TEST(s.expect_failure(client).code == make_error_code(error::cancelled));
  s.hosts.accept(s.a);  // too late: the system refuses it
  settle(s.on);
  BOOST_TEST(s.hosts.ended(s.a));
}

PUPPETS_TEST_CASE(cancelled_after_the_last_failure_it_does_not_go_on) {
  // The failure of the first and the cancellation come in the same turn of the loop.
  connecting client = s.start({s.a, s.b}, 1h);
  s.expect_attempt(s.a);
  s.hosts.refuse(s.a);
  client.cancel();
  BOOST_TEST(s.expect_failure(client).code == make_error_code(error::cancelled));
  s.expect_quiet();
}

PUPPETS_TEST_CASE(the_limit_ends_all_attempts_and_names_them) {
  connect_options options = with_delay(1ms);
  options.timeout = 50ms;
  connecting client = s.on.start(connect(std::vector<endpoint>{s.a, s.v6_a}, options));
  s.expect_attempt(s.a);
  s.hosts.refuse(s.a);
  s.expect_attempt(s.v6_a);
  const refusal why = s.expect_failure(client);
  BOOST_TEST(why.code == make_error_code(error::timed_out));
  BOOST_TEST(why.text ==
             "cannot connect: the time limit has passed: 10.231.7.2:80: Connection refused; "
             "[fd31:7::2]:80: no answer");
}
