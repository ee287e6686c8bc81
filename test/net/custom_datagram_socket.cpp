// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#include <cosock/custom_datagram_socket.hpp>

#define BOOST_TEST_MODULE custom_datagram_socket
#include "support.hpp"

#include <cosock/local_datagram.hpp>
#include <cosock/when.hpp>

#include <algorithm>
#include <array>
#include <cstring>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace {

namespace errc = boost::system::errc;
using boost::system::error_code;
using boost::system::system_error;
using cosock::const_buffer;
using cosock::endpoint;
using cosock::error;
using cosock::mutable_buffer;
using cosock::packet_info;
using cosock::task;
using test::is;
using namespace std::chrono_literals;

template <class Endpoint>
class host;

/// A network of hosts in memory. Each host has room for some datagrams.
template <class Endpoint>
struct network {
  std::map<std::string, host<Endpoint>*> hosts;
  std::size_t room = 4;
};

template <class Endpoint>
class host final : public cosock::custom_datagram_socket<Endpoint> {
  using base = cosock::custom_datagram_socket<Endpoint>;

 public:
  host(network<Endpoint>& n, Endpoint at) : network_(&n), at_(at) { join(); }
  host(network<Endpoint>& n, Endpoint at, cosock::loop& loop) : base(loop), network_(&n), at_(at) {
    join();
  }
  host(host&& other) noexcept
      : base(std::move(other)),
        network_(std::exchange(other.network_, nullptr)),
        at_(other.at_),
        queue_(std::move(other.queue_)) {
    join();
  }
  ~host() override { leave(); }

  std::optional<Endpoint> connected = std::nullopt;
  int closed = 0;
  error_code fails_once;  // when no datagram is left

 private:
  struct datagram {
    Endpoint from;
    std::string data;
  };

  void join() { network_->hosts[at_.to_string()] = this; }
  void leave() {
    if (network_) network_->hosts.erase(at_.to_string());
    network_ = nullptr;
  }

  std::size_t do_receive(std::span<const mutable_buffer> into, Endpoint& from, packet_info& info,
                         error_code& code) noexcept override {
    if (queue_.empty()) {
      if (fails_once) {
        code = std::exchange(fails_once, error_code());
        return 0;
      }
      code = make_error_code(errc::operation_would_block);
      return 0;
    }
    const datagram next = std::move(queue_.front());
    queue_.pop_front();
    std::size_t copied = 0;
    for (const mutable_buffer& buffer : into) {
      const std::size_t n = std::min(buffer.size(), next.data.size() - copied);
      std::memcpy(buffer.data(), next.data.data() + copied, n);
      copied += n;
    }
    from = next.from;
    info.hops = 3;
    for (const auto& [name, other] : network_->hosts) other->notify_writable();
    return next.data.size();
  }

  void do_send(std::span<const const_buffer> from, const Endpoint* to, const packet_info*,
               error_code& code) noexcept override {
    if (!to && !connected) {
      code = make_error_code(errc::destination_address_required);
      return;
    }
    const auto found = network_->hosts.find((to ? *to : *connected).to_string());
    if (found == network_->hosts.end()) return;  // lost
    host& peer = *found->second;
    if (peer.queue_.size() == network_->room) {
      code = make_error_code(errc::operation_would_block);
      return;
    }
    std::string data;
    for (const const_buffer& buffer : from)
      data.append(static_cast<const char*>(buffer.data()), buffer.size());
    peer.queue_.push_back({at_, std::move(data)});
    peer.notify_readable();
  }

  void on_close() noexcept override { ++closed; }

  network<Endpoint>* network_;
  Endpoint at_;
  std::deque<datagram> queue_;
};

endpoint at(unsigned n) { return {cosock::address::parse("10.0.0." + std::to_string(n)), 7}; }

struct fixture {
  network<endpoint> net;
  host<endpoint> one{net, at(1)};
  host<endpoint> other{net, at(2)};
};

task<> receive_text(cosock::datagram_socket<>& from, std::string expected) {
  std::array<char, 64> memory;
  const auto received = co_await from.receive(memory);
  BOOST_TEST(std::string(memory.data(), received.size) == expected);
}

}  // namespace

COROUTINE_TEST_CASE(datagrams_arrive_with_their_sender) {
  fixture f;
  BOOST_TEST(co_await f.one.send_to("hello", at(2)) == 5u);
  std::array<char, 64> memory;
  packet_info info;
  const auto received = co_await f.other.receive_from(memory, info);
  BOOST_TEST(received.size == 5u);
  BOOST_TEST((received.from == at(1)));
  BOOST_TEST(info.hops.value() == 3);
  f.other.connected = received.from;
  BOOST_TEST(co_await f.other.send("") == 0u);
  const auto empty = co_await f.one.receive(memory);
  BOOST_TEST(empty.size == 0u);
}

COROUTINE_TEST_CASE(what_does_not_fit_is_cut) {
  fixture f;
  const std::array<const_buffer, 2> parts = {const_buffer("01234", 5), const_buffer("56789", 5)};
  BOOST_TEST(co_await f.one.send_to(parts, at(2)) == 10u);
  std::array<char, 2> first;
  std::array<char, 5> second;
  const std::array<mutable_buffer, 2> into = {first, second};
  const auto received = co_await f.other.receive(into);
  BOOST_TEST(received.size == 7u);
  BOOST_TEST(received.length == 10u);
  BOOST_TEST(received.truncated);
  BOOST_TEST(std::string(second.data(), 5) == "23456");
}

COROUTINE_TEST_CASE(operations_wait_for_notifications) {
  fixture f;
  const auto send = [&]() -> task<> {
    for (int i = 0; i != 10; ++i) co_await cosock::yield();
    for (int i = 0; i != 6; ++i) co_await f.one.send_to(std::to_string(i), at(2));  // room for 4
  };
  const auto receive = [&]() -> task<> {
    for (int i = 0; i != 6; ++i) {
      co_await receive_text(f.other, std::to_string(i));
      for (int turn = 0; turn != 3; ++turn) co_await cosock::yield();
    }
  };
  co_await cosock::when_all(send(), receive());
}

COROUTINE_TEST_CASE(batches_go_one_by_one) {
  fixture f;
  const std::vector<std::string> texts = {"a", "", "ccc", "dddd", "eeeee", "f"};
  std::vector<const_buffer> buffers(texts.begin(), texts.end());
  const auto send = [&]() -> task<> {
    BOOST_TEST(co_await f.one.send_batch(buffers, at(2)) == 6u);
  };
  const auto receive = [&]() -> task<> {
    cosock::datagram_batch batch(8, 4);
    std::size_t next = 0;
    while (next != texts.size()) {
      BOOST_TEST(co_await f.other.receive_batch(batch) != 0u);
      for (const auto& datagram : batch) {
        const std::string& text = texts.at(next++);
        BOOST_TEST(datagram.length() == text.size());
        BOOST_TEST(datagram.truncated() == (text.size() > 4));
        BOOST_TEST((datagram.from() == at(1)));
        BOOST_TEST(!datagram.info().hops);
      }
    }
  };
  co_await cosock::when_all(send(), receive());
}

COROUTINE_TEST_CASE(an_error_in_a_batch_counts_the_datagrams_before_it) {
  fixture f;
  const std::array<cosock::outgoing_datagram<>, 1> list = {{{const_buffer("a", 1), at(2)}}};
  BOOST_TEST(co_await f.one.send_batch(list) == 1u);
  BOOST_CHECK_EXCEPTION(co_await f.one.send("a"), system_error,
                        is(errc::destination_address_required));
  const std::array<const_buffer, 2> both = {const_buffer("a", 1), const_buffer("b", 1)};
  BOOST_CHECK_EXCEPTION(co_await f.one.send_batch(both), system_error,
                        is(errc::destination_address_required));
}

COROUTINE_TEST_CASE(an_error_after_the_datagrams_of_a_batch_is_that_of_the_next_receive) {
  fixture f;
  for (const char* text : {"a", "b"}) co_await f.one.send_to(std::string_view(text), at(2));
  f.other.fails_once = make_error_code(errc::connection_refused);
  cosock::datagram_batch batch(8, 8);
  BOOST_TEST(co_await f.other.receive_batch(batch) == 2u);
  co_await f.one.send_to("c", at(2));
  BOOST_CHECK_EXCEPTION(co_await f.other.receive_batch(batch), system_error,
                        is(errc::connection_refused));
  BOOST_TEST(co_await f.other.receive_batch(batch) == 1u);
}

COROUTINE_TEST_CASE(a_socket_may_move_while_an_operation_waits) {
  fixture f;
  std::optional<host<endpoint>> first(std::in_place, f.net, at(3));
  std::optional<host<endpoint>> second;
  const auto move = [&]() -> task<> {
    co_await cosock::yield();
    second.emplace(std::move(*first));
    first.reset();
    co_await f.one.send_to("moved", at(3));
  };
  co_await cosock::when_all(receive_text(*first, "moved"), move());
  BOOST_TEST(second->is_open());
}

COROUTINE_TEST_CASE(limits_busy_and_close_are_those_of_any_socket) {
  fixture f;
  std::array<char, 8> memory;
  BOOST_CHECK_EXCEPTION(co_await cosock::with_timeout(1ms, f.one.receive(memory)), system_error,
                        is(error::timed_out));
  const auto intrude = [&]() -> task<> {
    std::array<char, 8> memory;
    BOOST_CHECK_EXCEPTION(co_await f.one.receive(memory), system_error, is(error::busy));
    f.one.close();
  };
  const auto wait = [&]() -> task<> {
    BOOST_CHECK_EXCEPTION(co_await f.one.receive(memory), system_error, is(error::closed));
  };
  co_await cosock::when_all(wait(), intrude());
  BOOST_TEST(f.one.closed == 1);
  f.one.close();
  BOOST_TEST(f.one.closed == 1);
  BOOST_TEST(!f.one.is_open());
  BOOST_CHECK_EXCEPTION(co_await f.one.send_to("a", at(2)), system_error, is(error::closed));
}

BOOST_AUTO_TEST_CASE(the_end_of_the_loop_closes_it) {
  const test::alarm_clock guard;
  network<endpoint> net;
  std::optional<host<endpoint>> socket;
  {
    cosock::loop loop;
    socket.emplace(net, at(1), loop);
    auto waiting = loop.start(receive_text(*socket, "never"));
    loop.poll();
  }
  BOOST_TEST(!socket->is_open());
  BOOST_TEST(socket->closed == 1);
}

COROUTINE_TEST_CASE(its_endpoints_may_be_names_of_local_sockets) {
  network<cosock::local_endpoint> net;
  host<cosock::local_endpoint> one(net, cosock::local_endpoint::path("/one"));
  host<cosock::local_endpoint> other(net, cosock::local_endpoint::path("/other"));
  co_await one.send_to("hello", cosock::local_endpoint::path("/other"));
  cosock::local_datagram_socket::batch batch(2, 8);
  BOOST_TEST(co_await other.receive_batch(batch) == 1u);
  BOOST_TEST((*batch.begin()).from().to_string() == "/one");
}
