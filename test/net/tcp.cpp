// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#include <cosock/tcp.hpp>

#define BOOST_TEST_MODULE tcp
#include "loop_endings.hpp"
#include "stream_fixture.hpp"

#include <cosock/connect.hpp>
#include <cosock/when.hpp>

#include <fcntl.h>
#include <malloc.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <spawn.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <array>
#include <atomic>
#include <csignal>
#include <memory>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>

namespace {

using namespace test;
using cosock::acceptor_options;
using cosock::address;
using cosock::cancel_scope;
using cosock::connect_options;
using cosock::endpoint;
using cosock::loop;
using cosock::running;
using cosock::tcp_acceptor;
using cosock::tcp_socket;

constexpr endpoint any_port_v4(address::loopback_v4(), 0);
constexpr endpoint any_port_v6(address::loopback_v6(), 0);

struct connection {
  connection(tcp_socket c, tcp_socket s) : client(std::move(c)), server(std::move(s)) {}
  tcp_socket client;
  tcp_socket server;
};

task<connection> connect_pair(endpoint at = any_port_v4, acceptor_options accepting = {},
                              connect_options connecting = {}) {
  tcp_acceptor acceptor(at, accepting);
  const endpoint to = acceptor.local_endpoint();
  auto [client, server] = co_await cosock::when_all(cosock::connect(to, connecting), acceptor.accept());
  co_return connection(std::move(client), std::move(server));
}

/// A socket of the system, in blocking mode: a peer that does exactly what it is told.
class raw_socket {
 public:
  explicit raw_socket(int type = SOCK_STREAM) : fd_(::socket(AF_INET, type | SOCK_CLOEXEC, 0)) {}
  /// Connected: that takes no accept(2), only room in the backlog.
  explicit raw_socket(const endpoint& to) : raw_socket() { BOOST_REQUIRE(connect(to) == 0); }
  raw_socket(raw_socket&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  ~raw_socket() { close(); }

  int connect(const endpoint& to) {
    const sockaddr_in name = v4(to);
    return ::connect(fd_, reinterpret_cast<const sockaddr*>(&name), sizeof name);
  }
  int bind(const endpoint& at) {
    const sockaddr_in name = v4(at);
    return ::bind(fd_, reinterpret_cast<const sockaddr*>(&name), sizeof name);
  }
  endpoint local_endpoint() const {
    sockaddr_in name;
    socklen_t size = sizeof name;
    ::getsockname(fd_, reinterpret_cast<sockaddr*>(&name), &size);
    address::v4_bytes bytes;
    std::memcpy(bytes.data(), &name.sin_addr, 4);
    return {address(bytes), ntohs(name.sin_port)};
  }
  bool send(std::string_view text, int flags = 0) {
    return ::send(fd_, text.data(), text.size(), MSG_NOSIGNAL | flags) ==
           static_cast<ssize_t>(text.size());
  }
  void shutdown_send() { ::shutdown(fd_, SHUT_WR); }
  void close() {
    if (fd_ >= 0) ::close(std::exchange(fd_, -1));
  }
  void reset() {
    const ::linger at_once = {1, 0};
    ::setsockopt(fd_, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    close();
  }
  int fd() const { return fd_; }
  int release() { return std::exchange(fd_, -1); }

 private:
  static sockaddr_in v4(const endpoint& e) {
    sockaddr_in name = {};
    name.sin_family = AF_INET;
    name.sin_port = htons(e.port());
    std::memcpy(&name.sin_addr, e.address().bytes().data(), 4);
    return name;
  }
  int fd_;
};

/// Blocks the thread, and with it the loop, until poll(2) sees one of the events.
void wait_behind_the_loops_back(int fd, short events) {
  pollfd asked = {fd, events, 0};
  BOOST_REQUIRE(::poll(&asked, 1, 10'000) == 1);
}

/// Blocks the thread until so many bytes wait to be received.
void wait_for_bytes(int fd, int count) {
  for (int there = 0; there < count;) {
    wait_behind_the_loops_back(fd, POLLIN);
    BOOST_REQUIRE(::ioctl(fd, FIONREAD, &there) == 0);
  }
}

/// An address at which connecting neither succeeds nor fails: its queue is full.
class silent_listener {
 public:
  silent_listener() {
    BOOST_REQUIRE(listener_.bind(any_port_v4) == 0);
    BOOST_REQUIRE(::listen(listener_.fd(), 0) == 0);
    BOOST_REQUIRE(fills_it_.connect(at()) == 0);
  }
  endpoint at() const { return listener_.local_endpoint(); }

 private:
  raw_socket listener_;
  raw_socket fills_it_;
};

task<outcome> outcome_of_accept(tcp_acceptor& from) {
  const auto result = co_await cosock::as_result(from.accept());
  outcome o;
  if (result.has_error()) o.error = result.error();
  co_return o;
}

task<outcome> outcome_of_connect(endpoint to, connect_options options = {}) {
  const auto result = co_await cosock::as_result(cosock::connect(to, options));
  outcome o;
  if (result.has_error()) o.error = result.error();
  co_return o;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(ends)

COROUTINE_TEST_CASE(both_ends_know_both_endpoints) {
  for (const endpoint& at : {any_port_v4, any_port_v6}) {
    tcp_acceptor acceptor(at);
    const endpoint to = acceptor.local_endpoint();
    BOOST_TEST(to.address() == at.address());
    BOOST_TEST(to.port() != 0);
    endpoint peer;
    auto [client, server] = co_await cosock::when_all(cosock::connect(to), acceptor.accept(peer));
    BOOST_TEST(client.remote_endpoint() == to);
    BOOST_TEST(server.local_endpoint() == to);
    BOOST_TEST(client.local_endpoint() == server.remote_endpoint());
    BOOST_TEST(client.local_endpoint() == peer);
    co_await round_trip(client, server);
  }
}

COROUTINE_TEST_CASE(a_socket_made_by_default_is_closed) {
  tcp_socket none;
  ledger l;
  char into[8];
  BOOST_TEST(!none.is_open());
  BOOST_TEST(none.native_handle() == -1);
  BOOST_TEST(none.release() == -1);
  none.close();
  none.abort();
  for (const operation which : all_operations) {
    const outcome o = co_await perform(which, none, into, l, 8);
    BOOST_TEST(o.is(cosock::error::closed));
  }
  BOOST_TEST(thrown_by([&] { (void)none.local_endpoint(); }) == code(cosock::error::closed));
  BOOST_TEST(thrown_by([&] { (void)none.remote_endpoint(); }) == code(cosock::error::closed));
  BOOST_TEST(thrown_by([&] { none.shutdown_send(); }) == code(cosock::error::closed));
  BOOST_TEST(thrown_by([&] { none.set_no_delay(true); }) == code(cosock::error::closed));
  BOOST_TEST(thrown_by([&] { (void)none.linger(); }) == code(cosock::error::closed));
  tcp_acceptor no_acceptor;
  BOOST_TEST(!no_acceptor.is_open());
  BOOST_TEST((co_await outcome_of_accept(no_acceptor)).is(cosock::error::closed));
  BOOST_TEST(thrown_by([&] { (void)no_acceptor.local_endpoint(); }) == code(cosock::error::closed));
}

COROUTINE_TEST_CASE(a_moved_socket_leaves_a_closed_one) {
  connection c = co_await connect_pair();
  tcp_socket moved = std::move(c.client);
  BOOST_TEST(!c.client.is_open());
  BOOST_TEST(moved.is_open());
  co_await round_trip(moved, c.server);
  c.client = std::move(moved);
  co_await round_trip(c.client, c.server);
  tcp_socket& itself = c.client;
  c.client = std::move(itself);
  co_await round_trip(c.client, c.server);

  // What is assigned over is closed.
  connection other = co_await connect_pair();
  c.client = std::move(other.client);
  char into[8];
  BOOST_TEST(co_await c.server.receive(into) == 0u);
  co_await round_trip(c.client, other.server);
}

/// The socket moves, the operations stay.
COROUTINE_TEST_CASE(a_socket_moves_while_operations_are_pending) {
  for (const operation which : all_operations) {
    BOOST_TEST_INFO_SCOPE(which);
    connection c = co_await connect_pair();
    ledger to_client;
    ledger to_server;
    char into[8];
    beside op;
    tcp_socket moved;
    co_await clog(c.client, to_server);
    co_await cosock::with_nursery([&](nursery& n) -> task<> {
      start(n, op, [&] { return perform(which, c.client, into, to_server, 1000); });
      co_await settle();
      BOOST_TEST(!op.done);
      moved = std::move(c.client);
      co_await settle();
      BOOST_TEST(!op.done);
      co_await send(c.server, to_client, 8);
      co_await drain(c.server, to_server);
    });
    BOOST_TEST(!op.result.error);
    if (which < operation::send)
      BOOST_TEST(to_client.received(into, op.result.bytes));
    else
      to_server.sent(op.result);
    co_await drain(moved, to_client);
    co_await drain(c.server, to_server);
    co_await round_trip(moved, c.server);
  }
}

COROUTINE_TEST_CASE(an_adopted_descriptor_is_non_blocking_and_close_on_exec) {
  tcp_acceptor acceptor(any_port_v4);
  raw_socket raw(acceptor.local_endpoint());
  ::fcntl(raw.fd(), F_SETFD, 0);
  tcp_socket peer = co_await acceptor.accept();
  const int fd = raw.fd();
  tcp_socket adopted = tcp_socket::adopt(raw.release());
  BOOST_TEST(adopted.native_handle() == fd);
  BOOST_TEST((::fcntl(fd, F_GETFL) & O_NONBLOCK) != 0);
  BOOST_TEST((::fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
  co_await round_trip(adopted, peer);
  adopted.close();
  BOOST_TEST(::fcntl(fd, F_GETFD) == -1);
}

/// What was sent, or happened, before the loop knows the descriptor is not missed.
COROUTINE_TEST_CASE(an_adopted_descriptor_has_what_came_before) {
  for (const char how : {'d', 'f', 'r'}) {
    BOOST_TEST_INFO_SCOPE(how);
    tcp_acceptor acceptor(any_port_v4);
    raw_socket raw(acceptor.local_endpoint());
    tcp_socket peer = co_await acceptor.accept();
    co_await peer.send("early");
    if (how == 'f') peer.close();
    if (how == 'r') peer.abort();
    wait_behind_the_loops_back(raw.fd(), how == 'r' ? POLLHUP : POLLIN);
    tcp_socket adopted = tcp_socket::adopt(raw.release());
    char into[5];
    outcome o = co_await outcome_of(adopted.receive_exactly(into));
    if (how != 'r') BOOST_TEST(std::string_view(into, o.bytes) == "early");
    if (how != 'd') {
      o = co_await outcome_of(adopted.receive(into));
      BOOST_TEST(o.error == (how == 'f' ? error_code() : reset_by_peer()));
    }
  }
}

COROUTINE_TEST_CASE(a_descriptor_that_cannot_be_adopted_is_refused_and_closed) {
  BOOST_TEST(thrown_by([] { (void)tcp_socket::adopt(-1); }) == system_code(EBADF));
  int ends[2];
  BOOST_REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
  BOOST_TEST(thrown_by([&] { (void)tcp_socket::adopt(ends[0]); }) == system_code(ENOTSOCK));
  BOOST_TEST(::fcntl(ends[0], F_GETFD) == -1);
  ::close(ends[1]);
  const int file = ::open("/proc/self/cmdline", O_RDONLY | O_CLOEXEC);
  BOOST_TEST(thrown_by([&] { (void)tcp_socket::adopt(file); }) == system_code(ENOTSOCK));
  BOOST_TEST(::fcntl(file, F_GETFD) == -1);
  co_return;
}

BOOST_AUTO_TEST_CASE(sockets_are_made_on_a_loop_that_runs) {
  const std::size_t before = open_descriptors();
  BOOST_CHECK_THROW(tcp_acceptor{any_port_v4}, std::logic_error);
  BOOST_CHECK_THROW((void)tcp_socket::adopt(::dup(0)), std::logic_error);
  BOOST_TEST(open_descriptors() == before);
  loop on;
  tcp_acceptor acceptor(on, any_port_v4);
  BOOST_TEST(acceptor.local_endpoint().port() != 0);
}

COROUTINE_TEST_CASE(a_released_descriptor_stays_open_and_is_the_callers) {
  connection c = co_await connect_pair();
  char into[8];
  beside read;
  int fd = -1;
  co_await cosock::with_nursery([&](nursery& n) -> task<> {
    start(n, read, [&] { return c.client.receive(into); });
    co_await settle();
    fd = c.client.release();
  });
  BOOST_TEST(read.result.is(cosock::error::closed));
  BOOST_TEST(!c.client.is_open());
  BOOST_TEST(c.client.release() == -1);
  BOOST_TEST(::send(fd, "raw", 3, 0) == 3);
  BOOST_TEST(co_await c.server.receive(into) == 3u);
  // It can come back, although the loop has known it once.
  co_await c.server.send("again");
  tcp_socket back = tcp_socket::adopt(fd);
  BOOST_TEST(co_await back.receive(into) == 5u);
  co_await round_trip(back, c.server);
}

BOOST_AUTO_TEST_CASE(a_released_descriptor_moves_to_another_loop) {
  loop one;
  loop two;
  connection c = one.run(connect_pair());
  const int fd = c.client.release();
  two.run([](int fd) -> task<> {
    tcp_socket moved = tcp_socket::adopt(fd);
    co_await moved.send("from two");
  }(fd));
  one.run([](tcp_socket& s) -> task<> {
    char into[8];
    co_await s.receive_exactly(into);
    BOOST_TEST(std::string_view(into, 8) == "from two");
    BOOST_TEST(co_await s.receive(into) == 0u);
  }(c.server));
}

BOOST_AUTO_TEST_CASE(a_socket_of_another_loop_is_refused) {
  loop one;
  loop two;
  connection c = one.run(connect_pair());
  tcp_acceptor acceptor(one, any_port_v4);
  two.run([](connection& c, tcp_acceptor& acceptor) -> task<> {
    for (const operation which : all_operations) {
      BOOST_TEST_INFO_SCOPE(which);
      ledger l;
      char into[8];
      const outcome o = co_await perform(which, c.client, into, l, 8);
      BOOST_TEST(o.is(cosock::error::other_loop));
    }
    BOOST_TEST((co_await outcome_of_accept(acceptor)).is(cosock::error::other_loop));
  }(c, acceptor));
  one.run(round_trip(c.client, c.server));
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(lifetimes)

BOOST_AUTO_TEST_CASE(a_loop_ends_under_a_pending_operation_and_its_socket_outlives_it) {
  const std::size_t before = open_descriptors();
  for (const operation which : all_operations)
    for (const bool task_first : {false, true}) {
      BOOST_TEST_INFO_SCOPE(which << (task_first ? ", first the task" : ", first the loop"));
      auto on = std::make_unique<loop>();
      connection c = on->run(connect_pair());
      ledger l;
      char into[8];
      on->run(clog(c.client, l));
      end_loop_under(std::move(on), task_first,
                     [&, which] { return perform(which, c.client, into, l, huge); });
      BOOST_TEST(!c.client.is_open());
      BOOST_TEST(c.client.native_handle() == -1);
      BOOST_TEST(thrown_by([&] { (void)c.client.local_endpoint(); }) ==
                 code(cosock::error::closed));
      BOOST_TEST(thrown_by([&] { c.client.shutdown_send(); }) == code(cosock::error::closed));
      loop other;
      const outcome o = other.run(perform(which, c.client, into, l, 8));
      BOOST_TEST(o.is(cosock::error::closed));
      BOOST_TEST(c.server.release() == -1);
      c.client.close();
      connection elsewhere = other.run(connect_pair());
      c.server = std::move(elsewhere.server);
    }
  BOOST_TEST(open_descriptors() == before);
}

BOOST_AUTO_TEST_CASE(a_loop_ends_under_a_pending_accept) {
  for (const bool task_first : {false, true}) {
    auto on = std::make_unique<loop>();
    tcp_acceptor acceptor(*on, any_port_v4);
    end_loop_under(std::move(on), task_first, [&] { return outcome_of_accept(acceptor); });
    BOOST_TEST(!acceptor.is_open());
    BOOST_TEST(acceptor.native_handle() == -1);
    loop other;
    BOOST_TEST(other.run(outcome_of_accept(acceptor)).is(cosock::error::closed));
    BOOST_TEST(thrown_by([&] { (void)acceptor.local_endpoint(); }) ==
               code(cosock::error::closed));
  }
}

BOOST_AUTO_TEST_CASE(a_loop_ends_under_a_pending_connect) {
  const silent_listener nobody;
  const std::size_t before = open_descriptors();
  for (const bool task_first : {false, true}) {
    end_loop_under(std::make_unique<loop>(), task_first,
                   [&] { return outcome_of_connect(nobody.at()); });
    BOOST_TEST(open_descriptors() == before);
  }
}

/// The sockets are locals of the task that waits.
BOOST_AUTO_TEST_CASE(a_loop_ends_under_sockets_in_a_frame) {
  const std::size_t before = open_descriptors();
  for (const bool task_first : {false, true}) {
    auto on = std::make_unique<loop>();
    auto task = start_on(*on, []() -> cosock::task<> {
      tcp_acceptor acceptor(any_port_v4);
      connection c = co_await connect_pair();
      char into[8];
      const auto receive = [&]() -> cosock::task<> { co_await c.client.receive(into); };
      const auto accept = [&]() -> cosock::task<> { co_await acceptor.accept(); };
      co_await cosock::when_all(receive(), accept(),
                                cosock::with_timeout(1h, c.server.receive(into)));
    }());
    // Connecting may take the system a moment.
    for (int i = 0; i != 100; ++i) settle(*on);
    BOOST_TEST(!task->done());
    if (task_first) task.reset();
    on.reset();
  }
  BOOST_TEST(open_descriptors() == before);
}

/// A task that is dropped, and not its socket, leaves the socket usable.
BOOST_AUTO_TEST_CASE(a_dropped_operation_leaves_the_socket_usable) {
  loop on;
  connection c = on.run(connect_pair());
  for (const operation which : all_operations) {
    BOOST_TEST_INFO_SCOPE(which);
    ledger l;
    char into[8];
    on.run(clog(c.client, l));
    bool destroyed = false;
    bool resumed = false;
    auto task = start_on(on, wait_in([&] { return perform(which, c.client, into, l, huge); },
                                     destroyed, resumed));
    settle(on);
    BOOST_TEST(!task->done());
    task.reset();
    BOOST_TEST(destroyed);
    // A send may have sent a part before it was dropped, and nobody was told how much.
    int there = 0;
    BOOST_REQUIRE(::ioctl(c.client.native_handle(), TIOCOUTQ, &there) == 0);
    c = on.run(connect_pair());
  }
  on.run(round_trip(c.client, c.server));
}

COROUTINE_TEST_CASE(an_operation_is_dropped_in_the_turn_in_which_it_completes) {
  connection c = co_await connect_pair();
  connection signal = co_await connect_pair();
  ledger l;
  for (int round = 0; round != 100; ++round) {
    char into[8];
    std::unique_ptr<running<outcome>> task;
    const auto drop = [&]() -> cosock::task<> {
      co_await signal.server.receive(into);
      task.reset();
    };
    co_await cosock::with_nursery([&](nursery& n) -> cosock::task<> {
      n.start(drop);
      co_await cosock::yield();
      task = start_on(loop::current(), perform(operation::receive, c.server, into, l, 0));
      co_await settle();
      if (round % 2) co_await send(c.client, l, 8);
      co_await signal.client.send("!");
      if (round % 2 == 0) co_await send(c.client, l, 8);
    });
    // Either it was dropped before it could take anything, or it took all and nobody heard of it.
    int there = 0;
    BOOST_REQUIRE(::ioctl(c.server.native_handle(), FIONREAD, &there) == 0);
    if (there == 0) l.out = l.in;
    co_await drain(c.server, l);
  }
  co_await round_trip(c.client, c.server);
}

/// Tasks that have been told to receive but have not begun when the socket is closed: behind them
/// are more ready tasks than the loop runs in one go.
COROUTINE_TEST_CASE(a_socket_closed_before_a_started_operation_begins) {
  connection c = co_await connect_pair();
  char into[8];
  co_await cosock::with_nursery([&](nursery& n) -> task<> {
    n.start([&]() -> task<> {
      c.client.close();
      co_return;
    });
    for (int i = 0; i != 3000; ++i) n.start([]() -> task<> { co_return; });
    const auto result = co_await cosock::as_result(
        cosock::when_any(c.client.receive(into), cosock::with_timeout(10s, forever())));
    BOOST_TEST(result.has_error());
    if (result.has_error()) BOOST_TEST(result.error() == code(cosock::error::closed));
  });
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(edges)

// The reactor reports edges: whoever stops reading too soon is never told again. These cases look for
// a reader that waits although there is something to read.

namespace {

constexpr char urgent = '\xff';  // no other byte is

std::string in_band(std::string_view all) {
  std::string kept(all);
  std::erase(kept, urgent);
  return kept;
}

/// Reads to the end in every way there is. Gives the error at the end, none for the end of stream.
task<error_code> read_in_any_way(tcp_socket& from, const std::string& sent, std::string& got,
                                 unsigned seed) {
  std::mt19937 random(seed);
  for (;;) {
    // Often just as much as there is.
    const std::size_t expected = sent.size() > got.size() ? sent.size() - got.size() : 1;
    const std::size_t sizes[] = {1, 2 + random() % 7, 1 + random() % 3000, expected, expected + 1};
    std::string into(sizes[random() % std::size(sizes)], '?');
    outcome o;
    switch (random() % 7) {
      case 0: o = co_await outcome_of(from.receive_exactly(into)); break;
      case 1: co_await from.wait_readable(); [[fallthrough]];
      case 2: {
        const std::array<mutable_buffer, 3> parts = {
            mutable_buffer(into.data(), 1), mutable_buffer(),
            mutable_buffer(into.data() + 1, into.size() - 1)};
        o = co_await outcome_of(from.receive(parts));
        break;
      }
      case 3: {
        const auto limit = std::chrono::microseconds(random() % 100);
        o = co_await outcome_of(cosock::with_timeout(limit, from.receive(into)));
        break;
      }
      default: o = co_await outcome_of(from.receive(into));
    }
    got.append(into, 0, o.bytes);
    if (o.is(cosock::error::timed_out)) continue;
    if (o.is(cosock::error::end_of_stream)) co_return error_code();
    if (o.error || o.bytes == 0) co_return o.error;
    if (random() % 4 == 0) co_await cosock::yield();
  }
}

/// A peer that sends, and ends, by a script made from the seed, in every order with the reader.
task<> play(tcp_acceptor& acceptor, unsigned seed) {
  std::mt19937 random(seed);
  raw_socket peer(acceptor.local_endpoint());
  const int yes = 1;
  ::setsockopt(peer.fd(), IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
  std::string sent;
  std::string got;
  bool ended = false;
  bool reset = false;
  const auto step = [&] {
    const unsigned what = random() % 16;
    if (what < 10) {
      std::string piece(1 + random() % (what < 8 ? 10 : 5000), '?');
      for (char& c : piece) c = static_cast<char>(random() % 128);
      sent += piece;
      BOOST_REQUIRE(peer.send(piece));
    } else if (what < 12) {
      sent += urgent;
      BOOST_REQUIRE(peer.send({&urgent, 1}, MSG_OOB));
    } else if (what == 12) {
      ended = true;
      peer.shutdown_send();
    } else if (what == 13) {
      ended = true;
      peer.close();
    } else if (what == 14) {
      ended = reset = true;
      peer.reset();
    }
  };
  for (unsigned early = random() % 4; early != 0 && !ended; --early) step();
  tcp_socket reader = co_await acceptor.accept();
  if (random() % 4 == 0) {  // unread, it makes the peer's close a reset
    (void)co_await outcome_of(reader.send("unread"));
    reset = true;
  }
  error_code end;
  const auto read = [&]() -> task<> {
    end = co_await read_in_any_way(reader, sent, got, seed);
    char again[4];
    const outcome o = co_await outcome_of(reader.receive(again));
    BOOST_TEST(o.bytes == 0u);
    BOOST_TEST(o.error == end);
  };
  co_await cosock::with_nursery([&](nursery& n) -> task<> {
    n.start(read);
    for (int i = 0; i != 12 && !ended; ++i) {
      if (random() % 2) co_await cosock::yield();
      step();
    }
    if (!ended) peer.close();
  });
  const std::string received = in_band(got);
  if (!end) {
    BOOST_TEST((received == in_band(sent)));
  } else {
    BOOST_TEST(reset);
    BOOST_TEST(end == reset_by_peer());
    BOOST_TEST(in_band(sent).starts_with(received));
  }
}

}  // namespace

COROUTINE_TEST_CASE(a_reader_misses_nothing_whatever_the_peer_does) {
  tcp_acceptor acceptor(any_port_v4);
  constexpr unsigned rounds = COSOCK_TEST_SANITIZED ? 400 : 1500;
  for (unsigned seed = 0; seed != rounds; ++seed) {
    BOOST_TEST_INFO_SCOPE("seed " << seed);
    co_await cosock::with_timeout(10s, play(acceptor, seed));
  }
}

/// The same with many connections at once, so that events come in batches.
COROUTINE_TEST_CASE(many_readers_miss_nothing_whatever_their_peers_do) {
  tcp_acceptor acceptor(any_port_v4);
  for (unsigned seed = 0; seed != 5; ++seed) {
    // One after the other: whose connection an acceptor gives is not known.
    std::vector<tcp_socket> readers;
    std::vector<raw_socket> peers;
    std::vector<std::string> sent(50);
    std::vector<std::string> got(50);
    std::mt19937 random(seed);
    for (int i = 0; i != 50; ++i) {
      peers.emplace_back(acceptor.local_endpoint());
      readers.push_back(co_await acceptor.accept());
    }
    co_await cosock::with_nursery([&](nursery& n) -> task<> {
      for (std::size_t i = 0; i != 50; ++i)
        n.start([&, i]() -> task<> {
          const error_code end =
              co_await read_in_any_way(readers[i], sent[i], got[i], seed * 50 + i);
          BOOST_TEST(!end);
        });
      for (int step = 0; step != 500; ++step) {
        const std::size_t i = random() % 50;
        const std::string piece(1 + random() % 300, static_cast<char>('a' + step % 26));
        const bool is_urgent = random() % 8 == 0;
        sent[i] += is_urgent ? std::string(1, urgent) : piece;
        BOOST_REQUIRE(is_urgent ? peers[i].send({&urgent, 1}, MSG_OOB) : peers[i].send(piece));
        if (random() % 8 == 0) co_await cosock::yield();
      }
      for (raw_socket& peer : peers) peer.close();
    });
    for (int i = 0; i != 50; ++i) BOOST_TEST((in_band(sent[i]) == in_band(got[i])));
  }
}

/// And with a peer that really acts at the same time.
COROUTINE_TEST_CASE(a_reader_misses_nothing_of_a_peer_on_another_thread) {
  tcp_acceptor acceptor(any_port_v4);
  constexpr int connections = COSOCK_TEST_SANITIZED ? 30 : 100;
  const endpoint to = acceptor.local_endpoint();
  std::atomic<bool> good = true;
  std::thread peer([&] {
    for (int i = 0; i != connections; ++i) {
      std::mt19937 random(i);
      raw_socket s;
      const int yes = 1;
      if (s.connect(to) != 0) good = false;
      ::setsockopt(s.fd(), IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
      for (unsigned n = random() % 60, k = 0; n != 0; --n) {
        std::string piece(1 + random() % (n % 10 ? 100 : 20'000), '?');
        for (char& c : piece) c = static_cast<char>(k++ % 101);
        if (!s.send(piece)) good = false;
        if (random() % 8 == 0 && !s.send({&urgent, 1}, MSG_OOB)) good = false;
        if (random() % 4 == 0) std::this_thread::yield();
      }
    }
  });
  for (int i = 0; i != connections; ++i) {
    BOOST_TEST_INFO_SCOPE("connection " << i);
    tcp_socket s = co_await acceptor.accept();
    std::string got;
    BOOST_TEST(!co_await read_in_any_way(s, got, got, i));
    got = in_band(got);
    for (std::size_t k = 0; k != got.size(); ++k) BOOST_REQUIRE(got[k] == static_cast<char>(k % 101));
  }
  peer.join();
  BOOST_TEST(good);
}

COROUTINE_TEST_CASE(data_and_the_end_arrive_before_the_reader_looks) {
  tcp_acceptor acceptor(any_port_v4);
  for (const std::size_t size : {1, 7, 8, 9, 100, 4096, 60'000})
    for (const std::size_t into_size : {std::size_t(1), std::size_t(8), size, size + 1})
      for (const bool pending : {false, true}) {
        BOOST_TEST_INFO_SCOPE(size << " bytes read by " << into_size
                                   << (pending ? ", already waiting" : ""));
        if (size / into_size > 10'000) continue;
        raw_socket peer(acceptor.local_endpoint());
        tcp_socket reader = co_await acceptor.accept();
        const std::string sent(size, 'x');
        std::size_t got = 0;
        const auto read = [&]() -> task<> {
          std::string into(into_size, '?');
          while (const std::size_t n = co_await reader.receive(into)) got += n;
          for (int i = 0; i != 3; ++i) BOOST_TEST(co_await reader.receive(into) == 0u);
        };
        co_await cosock::with_nursery([&](nursery& n) -> task<> {
          if (pending) {
            n.start(read);
            co_await settle();
          }
          BOOST_REQUIRE(peer.send(sent));
          peer.close();
          wait_for_bytes(reader.native_handle(), static_cast<int>(size));
          wait_behind_the_loops_back(reader.native_handle(), POLLRDHUP);
          if (!pending) n.start(read);
        });
        BOOST_TEST(got == size);
      }
}

/// The system gives what it has, then the error, once.
COROUTINE_TEST_CASE(data_and_a_reset_arrive_before_the_reader_looks) {
  tcp_acceptor acceptor(any_port_v4);
  for (const std::size_t size : {1, 8, 9, 4096, 60'000})
    for (const std::size_t into_size : {std::size_t(8), size, size + 1})
      for (const int pending : {0, 1, 2}) {
        BOOST_TEST_INFO_SCOPE(size << " bytes read by " << into_size << ", variant " << pending);
        raw_socket peer(acceptor.local_endpoint());
        tcp_socket reader = co_await acceptor.accept();
        const std::string sent(size, 'x');
        std::size_t got = 0;
        error_code end;
        const auto read = [&]() -> task<> {
          std::string into(into_size, '?');
          for (;;) {
            const outcome o = co_await outcome_of(reader.receive(into));
            end = o.error;
            if (o.bytes == 0) break;
            got += o.bytes;
          }
          for (int i = 0; i != 3; ++i) {
            const outcome o = co_await outcome_of(reader.receive(into));
            BOOST_TEST(o.error == end);
          }
        };
        co_await cosock::with_nursery([&](nursery& n) -> task<> {
          if (pending) {
            n.start(read);
            co_await settle();
          }
          BOOST_REQUIRE(peer.send(sent));
          if (pending == 2) co_await cosock::yield();  // the reader has the data first
          peer.reset();
          wait_behind_the_loops_back(reader.native_handle(), POLLHUP);
          if (!pending) n.start(read);
        });
        BOOST_TEST(end == reset_by_peer());
        BOOST_TEST(got <= size);
        BOOST_TEST((co_await outcome_of(reader.send("x"))).error.failed());
      }
}

/// A byte that is out of band cuts reads short; what follows it is there all the same.
COROUTINE_TEST_CASE(urgent_data_is_left_out_and_holds_nothing_up) {
  tcp_acceptor acceptor(any_port_v4);
  for (const std::size_t into_size : {1, 2, 3, 6, 7, 100})
    for (const bool pending : {false, true})
      for (const bool first : {false, true}) {
        BOOST_TEST_INFO_SCOPE("read by " << into_size << (pending ? ", already waiting" : "")
                                         << (first ? ", urgent data first" : ""));
        raw_socket peer(acceptor.local_endpoint());
        tcp_socket reader = co_await acceptor.accept();
        std::string got;
        const auto read = [&]() -> task<> {
          std::string into(into_size, '?');
          while (got.size() < 6) got.append(into, 0, co_await reader.receive(into));
          // From here on a short read proves nothing any more, but nothing hangs either.
          BOOST_REQUIRE(peer.send("later"));
          while (got.size() < 11) got.append(into, 0, co_await reader.receive(into));
        };
        co_await cosock::with_nursery([&](nursery& n) -> task<> {
          if (pending) {
            n.start(read);
            co_await settle();
          }
          BOOST_REQUIRE((first || peer.send("abc")));
          BOOST_REQUIRE(peer.send({&urgent, 1}, MSG_OOB));
          BOOST_REQUIRE((!first || peer.send("abc")));
          BOOST_REQUIRE(peer.send("def"));
          if (!pending) n.start(read);
        });
        BOOST_TEST(got == "abcdeflater");
      }
}

/// Only an urgent byte: it wakes nobody for good, and is no end of the stream.
COROUTINE_TEST_CASE(urgent_data_alone_is_not_the_end_of_the_stream) {
  tcp_acceptor acceptor(any_port_v4);
  raw_socket peer(acceptor.local_endpoint());
  tcp_socket reader = co_await acceptor.accept();
  char into[8];
  beside read;
  co_await cosock::with_nursery([&](nursery& n) -> task<> {
    start(n, read, [&] { return reader.receive(into); });
    co_await settle();
    BOOST_REQUIRE(peer.send({&urgent, 1}, MSG_OOB));
    wait_behind_the_loops_back(reader.native_handle(), POLLPRI);
    co_await settle();
    BOOST_TEST(!read.done);
    BOOST_REQUIRE(peer.send("x"));
  });
  BOOST_TEST(read.result.bytes == 1u);
  BOOST_TEST(into[0] == 'x');
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(transfers)

COROUTINE_TEST_CASE(sixty_four_megabytes_pass_both_ways_at_once) {
  for (const endpoint& at : {any_port_v4, any_port_v6}) {
    connection c = co_await connect_pair(at);
    ledger there;
    ledger back;
    const auto write = [](tcp_socket& to, ledger& l) -> task<> {
      co_await send(to, l, huge);
      to.shutdown_send();
    };
    co_await cosock::when_all(write(c.client, there), drain_to_end(c.server, there),
                              write(c.server, back), drain_to_end(c.client, back));
    BOOST_TEST(there.out == huge);
    BOOST_TEST(back.out == huge);
  }
}

COROUTINE_TEST_CASE(either_end_may_end_its_direction_first) {
  for (const bool client_first : {false, true}) {
    connection c = co_await connect_pair();
    tcp_socket& first = client_first ? c.client : c.server;
    tcp_socket& second = client_first ? c.server : c.client;
    ledger l;
    char into[8];
    first.shutdown_send();
    BOOST_TEST(co_await second.receive(into) == 0u);
    const auto write = [&]() -> task<> {
      co_await send(second, l, 4 << 20);
      second.shutdown_send();
    };
    co_await cosock::when_all(write(), drain_to_end(first, l));
    BOOST_TEST(l.out == 4u << 20);
    BOOST_TEST(first.is_open());
    BOOST_TEST(second.is_open());
  }
}

namespace {
std::atomic<int> sigpipes = 0;
}

COROUTINE_TEST_CASE(sending_after_the_peer_has_gone_is_an_error_and_no_signal) {
  struct sigaction count = {};
  struct sigaction before = {};
  count.sa_handler = [](int) { ++sigpipes; };
  ::sigaction(SIGPIPE, &count, &before);
  for (const bool by_reset : {false, true}) {
    connection c = co_await connect_pair();
    const std::array<std::string_view, 2> parts = {"in ", "parts"};
    if (by_reset)
      c.server.abort();
    else
      c.server.close();
    BOOST_TEST(is_broken(co_await send_until_error(c.client)));
    BOOST_TEST(is_broken((co_await outcome_of(c.client.send("x"))).error));
    BOOST_TEST(is_broken((co_await outcome_of(c.client.send(parts))).error));
    BOOST_TEST(is_broken((co_await outcome_of(c.client.send_some("x"))).error));
    BOOST_TEST(is_broken((co_await outcome_of(c.client.send_some(parts))).error));
  }
  ::sigaction(SIGPIPE, &before, nullptr);
  BOOST_TEST(sigpipes == 0);
}

COROUTINE_TEST_CASE(two_thousand_buffers_arrive_whole_through_a_tiny_send_buffer) {
  connection c = co_await connect_pair();
  c.client.set_send_buffer(1);
  ledger l;
  std::vector<const_buffer> from;
  std::size_t size = 0;
  for (std::size_t i = 0; i != 2000; ++i) {
    const std::size_t n = i % 11 == 5 ? 0 : i * 31 % 1500;
    from.emplace_back(pattern().data() + size % period, n);
    size += n;
  }
  l.sent(size);
  const auto write = [&]() -> task<> {
    BOOST_TEST(co_await c.client.send(from) == size);
    c.client.close();
  };
  co_await cosock::when_all(write(), drain_to_end(c.server, l));
  BOOST_TEST(l.out == size);
}

/// As the system allows: the data first, then the end, although the sender has not read all.
COROUTINE_TEST_CASE(an_answer_is_kept_when_the_closer_drains_its_input_first) {
  connection c = co_await connect_pair();
  ledger l;
  char into[1000];
  co_await c.client.send(const_buffer(pattern().data(), 100'000));
  co_await send(c.server, l, 1000);
  c.server.shutdown_send();
  c.client.shutdown_send();
  while (co_await c.server.receive(into) != 0) continue;
  c.server.close();
  co_await drain_to_end(c.client, l);
}

COROUTINE_TEST_CASE(abort_resets_the_connection) {
  for (const bool by_linger : {false, true}) {
    connection c = co_await connect_pair();
    char into[8];
    if (by_linger) {
      c.server.set_linger(0);
      c.server.close();
    } else {
      c.server.abort();
    }
    BOOST_TEST(!c.server.is_open());
    const outcome o = co_await outcome_of(c.client.receive(into));
    BOOST_TEST(o.error == reset_by_peer());
  }
}

/// A sender whose peer does not read waits, and costs no memory.
COROUTINE_TEST_CASE(backpressure_costs_no_memory) {
  connection c = co_await connect_pair();
  ledger l;
  (void)pattern();
  co_await clog(c.client, l);
  beside write;
  co_await cosock::with_nursery([&](nursery& n) -> task<> {
    start(n, write, [&] { return c.client.send(l.next(huge)); });
    co_await settle();
    const std::size_t before = ::mallinfo2().uordblks;
    for (int i = 0; i != 100; ++i) co_await cosock::yield();
    BOOST_TEST(::mallinfo2().uordblks == before);
    BOOST_TEST(!write.done);
    n.cancel_all();
  });
  l.sent(write.result);
  BOOST_TEST(l.in < huge);
  co_await drain(c.server, l);
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(options)

COROUTINE_TEST_CASE(socket_options_read_back_as_set) {
  connection c = co_await connect_pair();
  for (tcp_socket* s : {&c.client, &c.server}) {
    BOOST_TEST(s->no_delay());  // without being told
    BOOST_TEST(s->linger() < 0);
    BOOST_TEST(!s->get_keep_alive().enabled);
    s->set_no_delay(false);
    BOOST_TEST(!s->no_delay());
    s->set_no_delay(true);
    BOOST_TEST(s->no_delay());

    s->set_keep_alive({.idle_seconds = 11, .interval_seconds = 12, .count = 3});
    BOOST_TEST(s->get_keep_alive().enabled);
    BOOST_TEST(s->get_keep_alive().idle_seconds == 11);
    BOOST_TEST(s->get_keep_alive().interval_seconds == 12);
    BOOST_TEST(s->get_keep_alive().count == 3);
    s->set_keep_alive({.enabled = false});
    BOOST_TEST(!s->get_keep_alive().enabled);
    BOOST_TEST(s->get_keep_alive().count == 3);  // zero leaves it

    s->set_receive_buffer(20'000);
    BOOST_TEST(s->receive_buffer() == 40'000);
    s->set_send_buffer(30'000);
    BOOST_TEST(s->send_buffer() == 60'000);

    s->set_linger(5);
    BOOST_TEST(s->linger() == 5);
    s->set_linger(0);
    BOOST_TEST(s->linger() == 0);
    s->set_linger(-1);
    BOOST_TEST(s->linger() < 0);

    s->set_user_timeout(1500);
    BOOST_TEST(s->user_timeout() == 1500);
    s->set_user_timeout(0);
    BOOST_TEST(s->user_timeout() == 0);

    BOOST_TEST(thrown_by([&] { s->set_keep_alive({.idle_seconds = -1}); }) ==
               system_code(EINVAL));
    BOOST_TEST(thrown_by([&] { s->set_user_timeout(-1); }) == system_code(EINVAL));
  }
}

namespace {

int int_option(int fd, int level, int name) {
  int value = -1;
  socklen_t size = sizeof value;
  BOOST_REQUIRE(::getsockopt(fd, level, name, &value, &size) == 0);
  return value;
}

}  // namespace

COROUTINE_TEST_CASE(acceptor_options_are_set) {
  const endpoint any_v6(address::any_v6(), 0);  // another one is no V6ONLY matter
  tcp_acceptor plain(any_v6);
  const int fd = plain.native_handle();
  BOOST_TEST(int_option(fd, SOL_SOCKET, SO_REUSEADDR) == 1);
  BOOST_TEST(int_option(fd, SOL_SOCKET, SO_REUSEPORT) == 0);
  BOOST_TEST(int_option(fd, IPPROTO_IPV6, IPV6_V6ONLY) == 0);
  BOOST_TEST(int_option(fd, IPPROTO_TCP, TCP_FASTOPEN) == 0);

  tcp_acceptor special(any_v6, {.reuse_address = false,
                                     .reuse_port = true,
                                     .v6_only = true,
                                     .fast_open = 7,
                                     .receive_buffer = 20'000,
                                     .send_buffer = 30'000});
  const int fd2 = special.native_handle();
  BOOST_TEST(int_option(fd2, SOL_SOCKET, SO_REUSEADDR) == 0);
  BOOST_TEST(int_option(fd2, SOL_SOCKET, SO_REUSEPORT) == 1);
  BOOST_TEST(int_option(fd2, IPPROTO_IPV6, IPV6_V6ONLY) == 1);
  BOOST_TEST(int_option(fd2, IPPROTO_TCP, TCP_FASTOPEN) == 7);

  // Each connection has the buffers from its start.
  const endpoint to(address::loopback_v6(), special.local_endpoint().port());
  auto [client, server] = co_await cosock::when_all(cosock::connect(to), special.accept());
  BOOST_TEST(server.receive_buffer() == 40'000);
  BOOST_TEST(server.send_buffer() == 60'000);
}

COROUTINE_TEST_CASE(connect_options_are_set) {
  tcp_acceptor acceptor(any_port_v4);
  connect_options options;
  options.no_delay = false;
  options.receive_buffer = 20'000;
  options.send_buffer = 30'000;
  options.local = endpoint(address(address::v4_bytes{127, 0, 0, 7}), 0);
  const endpoint to = acceptor.local_endpoint();
  auto [client, server] = co_await cosock::when_all(cosock::connect(to, options), acceptor.accept());
  BOOST_TEST(!client.no_delay());
  BOOST_TEST(client.receive_buffer() == 40'000);
  BOOST_TEST(client.send_buffer() == 60'000);
  BOOST_TEST(client.local_endpoint().address() == options.local->address());
  BOOST_TEST(server.remote_endpoint() == client.local_endpoint());
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(accepting)

COROUTINE_TEST_CASE(two_acceptors_on_one_address_are_refused) {
  tcp_acceptor first(any_port_v4);
  const endpoint at = first.local_endpoint();
  const std::size_t before = open_descriptors();
  BOOST_CHECK_EXCEPTION(tcp_acceptor{at}, boost::system::system_error,
                        [&](const boost::system::system_error& e) {
                          return e.code() == errc::address_in_use &&
                                 std::string_view(e.what()).find(at.to_string()) !=
                                     std::string_view::npos;
                        });
  BOOST_TEST(open_descriptors() == before);
  first.close();
  tcp_acceptor second(at);
  BOOST_TEST(second.local_endpoint() == at);
  co_return;
}

/// Connections that linger do not keep a server from starting again.
COROUTINE_TEST_CASE(an_address_with_old_connections_can_be_bound_again) {
  tcp_acceptor acceptor(any_port_v4);
  const endpoint at = acceptor.local_endpoint();
  raw_socket client(at);
  tcp_socket server = co_await acceptor.accept();
  server.close();  // closes first, so it is the one to linger
  client.close();
  acceptor.close();
  tcp_acceptor again(at);
  BOOST_TEST(again.is_open());
}

COROUTINE_TEST_CASE(an_address_that_is_not_ours_is_an_error) {
  const endpoint foreign(address(address::v4_bytes{192, 0, 2, 1}), 0);
  BOOST_TEST(thrown_by([&] { tcp_acceptor{foreign}; }) == system_code(EADDRNOTAVAIL));
  co_return;
}

int backlog_of(const tcp_acceptor& acceptor) {
  tcp_info info = {};
  socklen_t size = sizeof info;
  BOOST_REQUIRE(::getsockopt(acceptor.native_handle(), IPPROTO_TCP, TCP_INFO, &info, &size) == 0);
  return static_cast<int>(info.tcpi_sacked);  // where it listens
}

COROUTINE_TEST_CASE(the_backlog_is_as_asked_for_and_can_be_changed) {
  tcp_acceptor acceptor(any_port_v4, {.backlog = 7});
  BOOST_TEST(backlog_of(acceptor) == 7);
  acceptor.set_backlog(9);
  BOOST_TEST(backlog_of(acceptor) == 9);
  acceptor.close();
  BOOST_TEST(thrown_by([&] { acceptor.set_backlog(1); }) == code(cosock::error::closed));
  co_return;
}

COROUTINE_TEST_CASE(a_released_acceptor_goes_on_listening_and_can_be_adopted) {
  tcp_acceptor acceptor(any_port_v4);
  const endpoint at = acceptor.local_endpoint();
  beside accept;
  int fd = -1;
  co_await cosock::with_nursery([&](nursery& n) -> task<> {
    start(n, accept, [&] { return acceptor.accept(); });
    co_await settle();
    fd = acceptor.release();
  });
  BOOST_TEST(accept.result.is(cosock::error::closed));
  BOOST_TEST(!acceptor.is_open());
  BOOST_TEST(acceptor.release() == -1);
  const raw_socket client(at);
  BOOST_REQUIRE(::fcntl(fd, F_SETFL, 0) == 0);
  BOOST_REQUIRE(::fcntl(fd, F_SETFD, 0) == 0);
  tcp_acceptor back = tcp_acceptor::adopt(fd);
  BOOST_TEST((::fcntl(fd, F_GETFL) & O_NONBLOCK));
  BOOST_TEST((::fcntl(fd, F_GETFD) & FD_CLOEXEC));
  BOOST_TEST(back.local_endpoint() == at);
  BOOST_TEST((co_await back.accept()).is_open());
}

COROUTINE_TEST_CASE(what_does_not_listen_is_not_adopted_as_an_acceptor) {
  BOOST_TEST(thrown_by([] { (void)tcp_acceptor::adopt(-1); }) == system_code(EBADF));
  const int stream = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  BOOST_TEST(thrown_by([&] { (void)tcp_acceptor::adopt(stream); }) == system_code(EINVAL));
  BOOST_TEST(::fcntl(stream, F_GETFD) == -1);
  const int datagrams = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  BOOST_TEST(thrown_by([&] { (void)tcp_acceptor::adopt(datagrams); }) == system_code(EPROTOTYPE));
  BOOST_TEST(::fcntl(datagrams, F_GETFD) == -1);
  co_return;
}

COROUTINE_TEST_CASE(two_acceptors_share_a_port) {
  const acceptor_options sharing = {.reuse_port = true};
  tcp_acceptor one(any_port_v4, sharing);
  const endpoint at = one.local_endpoint();
  tcp_acceptor two(at, sharing);
  constexpr int all = 100;
  int accepted[2] = {};
  const auto accept = [&](tcp_acceptor& from, int& count, nursery& n) -> task<> {
    for (;;) {
      (void)co_await from.accept();
      ++count;
      if (accepted[0] + accepted[1] == all) n.cancel_all();
    }
  };
  std::vector<raw_socket> clients;
  co_await cosock::with_nursery([&](nursery& n) -> task<> {
    n.start([&] { return accept(one, accepted[0], n); });
    n.start([&] { return accept(two, accepted[1], n); });
    for (int i = 0; i != all; ++i) clients.emplace_back(at);
    co_return;
  });
  BOOST_TEST(accepted[0] > 0);
  BOOST_TEST(accepted[1] > 0);
  BOOST_TEST(accepted[0] + accepted[1] == all);
}

COROUTINE_TEST_CASE(a_v6_acceptor_takes_v4_connections_unless_told_not_to) {
  for (const bool v6_only : {false, true}) {
    tcp_acceptor acceptor(endpoint(address::any_v6(), 0), {.v6_only = v6_only});
    const std::uint16_t port = acceptor.local_endpoint().port();
    const endpoint v4(address::loopback_v4(), port);
    const endpoint v6(address::loopback_v6(), port);
    endpoint peer;
    tcp_socket client = co_await cosock::connect(v6);
    (void)co_await acceptor.accept(peer);
    BOOST_TEST(peer == client.local_endpoint());
    if (v6_only) {
      BOOST_CHECK_EXCEPTION((void)co_await cosock::connect(v4), boost::system::system_error,
                            is(errc::connection_refused));
      tcp_acceptor beside(v4);
      BOOST_TEST(beside.is_open());
    } else {
      client = co_await cosock::connect(v4);
      const tcp_socket server = co_await acceptor.accept(peer);
      BOOST_TEST(peer.address().is_v4_mapped());
      BOOST_TEST(endpoint(peer.address().unmapped(), peer.port()) == client.local_endpoint());
      BOOST_TEST(server.remote_endpoint() == peer);
    }
  }
}

COROUTINE_TEST_CASE(the_backlog_limits_how_many_wait) {
  tcp_acceptor acceptor(any_port_v4, {.backlog = 1});
  std::vector<raw_socket> clients;
  int established = 0;
  for (int i = 0; i != 6; ++i) {
    raw_socket client(SOCK_STREAM | SOCK_NONBLOCK);
    client.connect(acceptor.local_endpoint());
    pollfd asked = {client.fd(), POLLOUT, 0};
    if (::poll(&asked, 1, 50) == 1) ++established;
    clients.push_back(std::move(client));
  }
  BOOST_TEST(established == 2);  // the system adds one
  for (int i = 0; i != established; ++i) (void)co_await acceptor.accept();
}

COROUTINE_TEST_CASE(a_thousand_connections_are_accepted) {
  tcp_acceptor acceptor(any_port_v4);
  std::vector<raw_socket> clients;
  std::set<endpoint> expected;
  std::set<endpoint> accepted;
  std::vector<tcp_socket> servers;
  for (int i = 0; i != 1000; ++i) {
    clients.emplace_back(acceptor.local_endpoint());
    expected.insert(clients.back().local_endpoint());
  }
  for (int i = 0; i != 1000; ++i) {
    endpoint peer;
    servers.push_back(co_await acceptor.accept(peer));
    accepted.insert(peer);
  }
  BOOST_TEST((expected == accepted));
  // Each of them works.
  for (int i = 0; i != 1000; ++i) BOOST_REQUIRE(clients[i].send("x"));
  for (tcp_socket& server : servers) {
    char into[2];
    BOOST_REQUIRE(co_await server.receive(into) == 1u);
  }
}

COROUTINE_TEST_CASE(a_second_accept_is_refused) {
  tcp_acceptor acceptor(any_port_v4);
  beside first;
  co_await cosock::with_nursery([&](nursery& n) -> task<> {
    start(n, first, [&] { return outcome_of_accept(acceptor); });
    co_await settle();
    BOOST_TEST((co_await outcome_of_accept(acceptor)).is(cosock::error::busy));
    BOOST_TEST(!first.done);
    const raw_socket client(acceptor.local_endpoint());
    co_await ended(first);
  });
  BOOST_TEST(!first.result.error);
}

COROUTINE_TEST_CASE(closing_and_destroying_an_acceptor_ends_a_pending_accept) {
  for (const bool destroy : {false, true}) {
    auto acceptor = std::make_unique<tcp_acceptor>(any_port_v4);
    const endpoint at = acceptor->local_endpoint();
    beside accept;
    co_await cosock::with_nursery([&](nursery& n) -> task<> {
      start(n, accept, [&] { return outcome_of_accept(*acceptor); });
      co_await settle();
      BOOST_TEST(!accept.done);
      if (destroy)
        acceptor.reset();
      else
        acceptor->close();
    });
    BOOST_TEST(accept.result.is(cosock::error::closed));
    if (!destroy) {
      acceptor->close();
      BOOST_TEST(!acceptor->is_open());
      BOOST_TEST((co_await outcome_of_accept(*acceptor)).is(cosock::error::closed));
    }
    BOOST_CHECK_EXCEPTION((void)co_await cosock::connect(at), boost::system::system_error,
                          is(errc::connection_refused));
  }
}

COROUTINE_TEST_CASE(an_acceptor_moves_while_an_accept_is_pending) {
  tcp_acceptor acceptor(any_port_v4);
  tcp_acceptor moved;
  beside accept;
  co_await cosock::with_nursery([&](nursery& n) -> task<> {
    start(n, accept, [&] { return outcome_of_accept(acceptor); });
    co_await settle();
    moved = std::move(acceptor);
    BOOST_TEST(!acceptor.is_open());
    co_await settle();
    BOOST_TEST(!accept.done);
    const raw_socket client(moved.local_endpoint());
    co_await ended(accept);
  });
  BOOST_TEST(!accept.result.error);
}

/// Cancelled before it began, while it waited, and in the same turn of the loop in which a connection
/// came: each connection is accepted once.
COROUTINE_TEST_CASE(a_cancelled_accept_loses_no_connection) {
  tcp_acceptor acceptor(any_port_v4);
  connection signal = co_await connect_pair();
  std::set<endpoint> made;
  std::set<endpoint> accepted;
  int cancelled = 0;
  constexpr int rounds = COSOCK_TEST_SANITIZED ? 300 : 1200;
  for (int round = 0; round != rounds; ++round) {
    cancel_scope scope;
    const auto accept = [&]() -> task<> {
      endpoint peer;
      (void)co_await acceptor.accept(peer);
      BOOST_REQUIRE(accepted.insert(peer).second);
    };
    const auto connect = [&] {
      const raw_socket client(acceptor.local_endpoint());
      BOOST_REQUIRE(made.insert(client.local_endpoint()).second);
    };
    const auto cancel_when_told = [&]() -> task<> {
      char told[1];
      co_await signal.server.receive(told);
      scope.cancel();
    };
    if (round % 6 == 5) scope.cancel();
    co_await cosock::with_nursery([&](nursery& n) -> task<> {
      n.start([&]() -> task<> {
        const outcome o = co_await outcome_of(scope.run(accept()));
        if (o.error) BOOST_REQUIRE(o.is(cosock::error::cancelled));
        if (o.error) ++cancelled;
      });
      co_await cosock::yield();
      switch (round % 6) {
        case 0:
          connect();
          scope.cancel();
          break;
        case 1:
          scope.cancel();
          connect();
          break;
        case 2:
          n.start(cancel_when_told);
          co_await settle();
          co_await signal.client.send("!");
          connect();
          break;
        case 3:
          n.start(cancel_when_told);
          co_await settle();
          connect();
          co_await signal.client.send("!");
          break;
        case 4:
          scope.set_deadline(std::chrono::steady_clock::now() + std::chrono::microseconds(round % 90));
          connect();
          break;
        case 5: connect(); break;
      }
    });
  }
  BOOST_TEST(cancelled != 0);
  BOOST_TEST(accepted.size() != 0u);
  while (accepted.size() < made.size()) {
    endpoint peer;
    (void)co_await acceptor.accept(peer);
    BOOST_REQUIRE(accepted.insert(peer).second);
  }
  BOOST_TEST((accepted == made));
}

/// Linux hands such a connection over; it is skipped, or broken.
COROUTINE_TEST_CASE(accepting_goes_on_after_a_connection_was_reset_in_the_queue) {
  tcp_acceptor acceptor(any_port_v4);
  for (int round = 0; round != 20; ++round) {
    raw_socket gone(acceptor.local_endpoint());
    gone.reset();
    raw_socket stays(acceptor.local_endpoint());
    endpoint peer;
    tcp_socket server = co_await acceptor.accept(peer);
    if (peer != stays.local_endpoint()) {
      char into[8];
      BOOST_TEST((co_await outcome_of(server.receive(into))).error == reset_by_peer());
      server = co_await acceptor.accept(peer);
    }
    BOOST_TEST(peer == stays.local_endpoint());
    BOOST_REQUIRE(stays.send("x"));
    char into[8];
    BOOST_TEST(co_await server.receive(into) == 1u);
  }
}

COROUTINE_TEST_CASE(accepting_goes_on_after_the_process_had_too_many_files_open) {
  tcp_acceptor acceptor(any_port_v4);
  std::vector<raw_socket> clients;
  beside waiting;
  // One accept is pending when the limit strikes.
  co_await cosock::with_nursery([&](nursery& n) -> task<> {
    start(n, waiting, [&] { return outcome_of_accept(acceptor); });
    co_await settle();
    for (int i = 0; i != 3; ++i) clients.emplace_back(acceptor.local_endpoint());
    const no_more_descriptors full;
    co_await ended(waiting);
    for (int i = 0; i != 3; ++i) {
      const outcome o = co_await outcome_of_accept(acceptor);
      BOOST_TEST(o.error == errc::too_many_files_open);
    }
    const outcome o = co_await outcome_of_connect(acceptor.local_endpoint());
    BOOST_TEST(o.error == errc::too_many_files_open);
    BOOST_TEST(thrown_by([] { tcp_acceptor{any_port_v4}; }) == errc::too_many_files_open);
  });
  BOOST_TEST(waiting.result.error == errc::too_many_files_open);
  std::set<endpoint> expected;
  for (const raw_socket& client : clients) expected.insert(client.local_endpoint());
  for (int i = 0; i != 3; ++i) {
    endpoint peer;
    const tcp_socket server = co_await acceptor.accept(peer);
    BOOST_TEST(expected.erase(peer) == 1u);
  }
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(connecting)

COROUTINE_TEST_CASE(a_refused_connection_names_the_endpoint) {
  const std::size_t before = open_descriptors();
  for (const endpoint& at : {any_port_v4, any_port_v6}) {
    endpoint to = at;
    {
      const tcp_acceptor acceptor(at);
      to = acceptor.local_endpoint();
    }
    BOOST_CHECK_EXCEPTION((void)co_await cosock::connect(to), boost::system::system_error,
                          [&](const boost::system::system_error& e) {
                            return e.code() == errc::connection_refused &&
                                   std::string_view(e.what()).find(to.to_string()) !=
                                       std::string_view::npos;
                          });
  }
  BOOST_TEST(open_descriptors() == before);
}

/// Both ends of such a connection would be the same socket.
COROUTINE_TEST_CASE(a_connection_to_oneself_is_refused) {
  const std::size_t before = open_descriptors();
  for (const endpoint& at : {any_port_v4, any_port_v6})
    for (int round = 0; round != 3; ++round) {
      connect_options from;
      {
        const tcp_acceptor acceptor(at);
        from.local = acceptor.local_endpoint();
      }
      const outcome o = co_await outcome_of_connect(*from.local, from);
      BOOST_TEST(o.error == errc::connection_refused);
    }
  BOOST_TEST(open_descriptors() == before);
}

COROUTINE_TEST_CASE(a_connect_cancelled_before_it_starts_asks_nobody) {
  tcp_acceptor acceptor(any_port_v4);
  cancel_scope scope;
  scope.cancel();
  const outcome o = co_await scope.run(outcome_of_connect(acceptor.local_endpoint()));
  BOOST_TEST(o.is(cosock::error::cancelled));
  beside accept;
  co_await cosock::with_nursery([&](nursery& n) -> task<> {
    start(n, accept, [&] { return outcome_of_accept(acceptor); });
    co_await settle();
    BOOST_TEST(!accept.done);
    n.cancel_all();
  });
}

COROUTINE_TEST_CASE(a_connect_cancelled_while_pending_closes_its_descriptor) {
  const silent_listener nobody;
  const std::size_t before = open_descriptors();
  for (const bool by_limit : {false, true}) {
    cancel_scope scope;
    beside connecting;
    co_await cosock::with_nursery([&](nursery& n) -> task<> {
      start(n, connecting, [&] { return scope.run(cosock::connect(nobody.at())); });
      co_await settle();
      BOOST_TEST(!connecting.done);
      BOOST_TEST(open_descriptors() == before + 1);
      if (by_limit)
        scope.set_deadline(std::chrono::steady_clock::now() + 2ms);
      else
        scope.cancel();
    });
    BOOST_TEST(
        connecting.result.is(by_limit ? cosock::error::timed_out : cosock::error::cancelled));
    BOOST_TEST(open_descriptors() == before);
  }
}

COROUTINE_TEST_CASE(a_connect_cancelled_in_the_turn_in_which_it_completes_leaks_nothing) {
  tcp_acceptor acceptor(any_port_v4);
  const std::size_t before = open_descriptors();
  int connected = 0;
  int cancelled = 0;
  for (int round = 0; round != 300; ++round) {
    cancel_scope scope;
    co_await cosock::with_nursery([&](nursery& n) -> task<> {
      n.start([&]() -> task<> {
        const auto result =
            co_await cosock::as_result(scope.run(cosock::connect(acceptor.local_endpoint())));
        if (result.has_value()) {
          BOOST_TEST(result->is_open());
          ++connected;
        } else {
          BOOST_REQUIRE(result.error() == code(cosock::error::cancelled));
          ++cancelled;
        }
      });
      for (int i = 0; i != round % 4; ++i) co_await cosock::yield();
      scope.cancel();
    });
    BOOST_REQUIRE(open_descriptors() == before);
  }
  BOOST_TEST(connected != 0);
  BOOST_TEST(cancelled != 0);
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(fairness)

/// A connection that always has data lets another one have its turn.
COROUTINE_TEST_CASE(a_busy_connection_does_not_starve_a_quiet_one) {
  connection busy = co_await connect_pair();
  connection quiet = co_await connect_pair();
  constexpr int available = 20'000;
  co_await busy.client.send(const_buffer(pattern().data(), available));
  wait_for_bytes(busy.server.native_handle(), available);
  int taken = 0;
  int taken_before_answer = 0;
  const auto take_all = [&]() -> task<> {
    char one[1];
    for (; taken != available; ++taken) co_await busy.server.receive(one);
  };
  const auto answer = [&]() -> task<> {
    char into[1];
    for (int i = 0; i != 5; ++i) co_await quiet.server.receive_exactly(into);
    taken_before_answer = taken;
  };
  const auto ask = [&]() -> task<> {
    for (int i = 0; i != 5; ++i) {
      co_await quiet.client.send("?");
      co_await cosock::yield();
    }
  };
  co_await cosock::when_all(take_all(), answer(), ask());
  BOOST_TEST(taken_before_answer < 2000);
}

COROUTINE_TEST_CASE(a_busy_connection_does_not_starve_a_timer) {
  connection busy = co_await connect_pair();
  bool over = false;
  const auto flood = [&]() -> task<> {
    while (!over) co_await busy.client.send("0123456789");
  };
  const auto take = [&]() -> task<> {
    char one[1];
    while (!over) co_await busy.server.receive(one);
  };
  const auto tick = [&]() -> task<> {
    for (int i = 0; i != 5; ++i) co_await cosock::sleep_for(1ms);
    over = true;
  };
  co_await cosock::when_all(flood(), take(), tick());
}

/// One call that moves much, with a peer that is as quick: the loop goes round all the same.
COROUTINE_TEST_CASE(a_large_transfer_does_not_starve_a_timer) {
  for (const bool sending : {false, true}) {
    BOOST_TEST_INFO_SCOPE((sending ? "sending" : "receiving"));
    constexpr std::size_t size = 512 << 20;
    tcp_acceptor acceptor(any_port_v4);
    raw_socket raw(acceptor.local_endpoint());
    tcp_socket s = co_await acceptor.accept();
    const int fd = raw.fd();
    std::thread peer([fd, sending] {
      std::vector<char> memory(1 << 20);
      for (std::size_t done = 0; done < size;) {
        const ssize_t n = sending ? ::recv(fd, memory.data(), memory.size(), 0)
                                  : ::send(fd, memory.data(), memory.size(), MSG_NOSIGNAL);
        if (n <= 0) break;
        done += static_cast<std::size_t>(n);
      }
    });
    bool over = false;
    int turns = 0;
    std::chrono::steady_clock::duration longest = {};
    const auto transfer = [&]() -> task<> {
      std::vector<char> memory(size / 8);
      std::vector<mutable_buffer> pieces(8, mutable_buffer(memory));
      if (sending)
        co_await s.send(pieces);
      else
        co_await s.receive_exactly(pieces);
      over = true;
    };
    const auto turn = [&]() -> task<> {
      auto last = std::chrono::steady_clock::now();
      while (!over) {
        co_await cosock::yield();
        const auto now = std::chrono::steady_clock::now();
        longest = std::max(longest, now - last);
        last = now;
        ++turns;
      }
    };
    co_await cosock::when_all(turn(), transfer());
    peer.join();
    BOOST_TEST_MESSAGE(turns << " turns, the longest of "
                             << std::chrono::duration_cast<std::chrono::microseconds>(longest).count()
                             << " us");
    BOOST_TEST(turns > 100);
  }
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(resources)

namespace {

/// The descriptors that a program finds open when it starts.
std::set<int> seen_by_a_child() {
  int ends[2];
  BOOST_REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_adddup2(&actions, ends[1], 1);
  char sh[] = "sh";
  char option[] = "-c";
  char command[] = "for f in /proc/self/fd/*; do echo ${f##*/}; done";
  char* arguments[] = {sh, option, command, nullptr};
  pid_t child = 0;
  BOOST_REQUIRE(::posix_spawn(&child, "/bin/sh", &actions, nullptr, arguments, environ) == 0);
  ::posix_spawn_file_actions_destroy(&actions);
  ::close(ends[1]);
  std::string text;
  char buffer[512];
  for (ssize_t n; (n = ::read(ends[0], buffer, sizeof buffer)) > 0;) text.append(buffer, n);
  ::close(ends[0]);
  int status = 0;
  ::waitpid(child, &status, 0);
  BOOST_REQUIRE(status == 0);
  std::set<int> seen;
  for (std::size_t at = 0; at < text.size(); at = text.find('\n', at) + 1)
    seen.insert(std::stoi(text.substr(at)));
  return seen;
}

}  // namespace

BOOST_AUTO_TEST_CASE(no_descriptor_survives_exec) {
  const std::set<int> before = seen_by_a_child();
  BOOST_TEST(before.count(1) == 1u);
  loop on;
  on.run([](const std::set<int>& before) -> task<> {
    tcp_acceptor v4(any_port_v4);
    tcp_acceptor v6(any_port_v6);
    const endpoint to4 = v4.local_endpoint();
    const endpoint to6 = v6.local_endpoint();
    auto [client4, server4] = co_await cosock::when_all(cosock::connect(to4), v4.accept());
    auto [client6, server6] = co_await cosock::when_all(cosock::connect(to6), v6.accept());
    raw_socket raw(to4);
    ::fcntl(raw.fd(), F_SETFD, 0);
    const tcp_socket adopted = tcp_socket::adopt(raw.release());
    const tcp_socket server = co_await v4.accept();
    for (const int fd :
         {v4.native_handle(), v6.native_handle(), client4.native_handle(), server4.native_handle(),
          client6.native_handle(), server6.native_handle(), adopted.native_handle(),
          server.native_handle()})
      BOOST_TEST((::fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
    BOOST_TEST((seen_by_a_child() == before));
  }(before));
}

COROUTINE_TEST_CASE(a_thousand_connections_leak_no_descriptor) {
  tcp_acceptor acceptor(any_port_v4);
  const endpoint to = acceptor.local_endpoint();
  const std::size_t before = open_descriptors();
  for (int i = 0; i != 1000; ++i) {
    auto [client, server] = co_await cosock::when_all(cosock::connect(to), acceptor.accept());
    if (i % 3 == 0) co_await round_trip(client, server);
    if (i % 3 == 1) server.abort();
    client.abort();
  }
  BOOST_TEST(open_descriptors() == before);
}

COROUTINE_TEST_CASE(a_hundred_thousand_connections_leave_the_heap_where_it_was) {
  tcp_acceptor acceptor(any_port_v4);
  const endpoint to = acceptor.local_endpoint();
  const auto cycle = [&](int times) -> task<> {
    for (int i = 0; i != times; ++i) {
      auto [client, server] = co_await cosock::when_all(cosock::connect(to), acceptor.accept());
      client.abort();  // leaves no port behind that the system keeps for a minute
    }
  };
  co_await cycle(1000);
  const std::size_t before = ::mallinfo2().uordblks;
  co_await cycle(COSOCK_TEST_SANITIZED ? 5000 : 100'000);
  BOOST_TEST(::mallinfo2().uordblks <= before + 1024);
}

BOOST_AUTO_TEST_SUITE_END()
