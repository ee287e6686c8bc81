// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// A server with a filter of addresses.

#include <cosock/serve.hpp>

#define BOOST_TEST_MODULE serve_filter
#include "fake_acceptor.hpp"
#include "serve_fixture.hpp"

#include <cosock/acceptors.hpp>
#include <cosock/connect.hpp>
#include <cosock/tcp.hpp>
#include <cosock/when.hpp>

#include <stdexcept>
#include <string>
#include <vector>

namespace {

using namespace test;
using cosock::address;
using cosock::address_range;
using cosock::error;
using cosock::serve_options;
using cosock::server_handle;
using cosock::tcp_acceptor;
using cosock::tcp_socket;

const address_range two[] = {address_range::parse("127.0.0.2")};

/// Connects from this address.
task<tcp_socket> connect_from(const char* local, endpoint to) {
  const cosock::connect_options options{.local = endpoint(address::parse(local), 0)};
  co_return co_await cosock::connect(to, options);
}

/// Connects from a denied address, then from a permitted one, and expects what the server does.
template <class Acceptor>
task<> check_peers(Acceptor& acceptor, endpoint to, const char* shown) {
  server_handle handle;
  observed log;
  serve_options options{.on_error = log, .filter = {.deny = two}};
  std::string from;
  const auto clients = [&]() -> task<> {
    tcp_socket bad = co_await connect_from("127.0.0.2", to);
    from = shown + std::to_string(bad.local_endpoint().port());
    BOOST_TEST(co_await has_ended(bad));
    tcp_socket good = co_await connect_from("127.0.0.1", to);
    BOOST_TEST(co_await round_trip(good));
    BOOST_TEST(handle.counters().active == 1u);
    handle.stop();
  };
  co_await cosock::when_all(cosock::serve(acceptor, &echo, handle, options), clients());
  BOOST_TEST(handle.counters().accepted == 1u);
  BOOST_TEST(handle.counters().denied == 1u);
  BOOST_TEST(handle.counters().peak == 1u);
  BOOST_TEST(handle.counters().failed == 0u);
  BOOST_TEST(handle.counters().accept_errors == 0u);
  BOOST_REQUIRE(log.errors.size() == 1u);
  BOOST_TEST(log.errors[0] ==
             "connection from " + from + ": the filter does not permit the address");
}

}  // namespace

COROUTINE_TEST_CASE(a_denied_peer_is_closed_and_reported) {
  tcp_acceptor acceptor(any_port);
  co_await check_peers(acceptor, acceptor.local_endpoint(), "127.0.0.2:");
}

COROUTINE_TEST_CASE(a_mapped_peer_of_an_ipv6_server_is_covered) {
  tcp_acceptor acceptor({address::any_v6(), 0});
  const endpoint to(address::loopback_v4(), acceptor.local_endpoint().port());
  co_await check_peers(acceptor, to, "[::ffff:127.0.0.2]:");
}

COROUTINE_TEST_CASE(the_listeners_of_several_loops_are_covered) {
  cosock::tcp_acceptors all(any_port, 1);
  tcp_acceptor acceptor = all.acceptor(0);
  co_await check_peers(acceptor, acceptor.local_endpoint(), "127.0.0.2:");
}

COROUTINE_TEST_CASE(an_allow_list_leaves_all_else_out) {
  tcp_acceptor acceptor(any_port);
  server_handle handle;
  const serve_options options{.max_reports = 0, .filter = {.allow = two}};
  const auto clients = [&]() -> task<> {
    tcp_socket good = co_await connect_from("127.0.0.2", acceptor.local_endpoint());
    BOOST_TEST(co_await round_trip(good));
    for (int i = 0; i != 20; ++i) {
      tcp_socket bad = co_await connect_from("127.0.0.1", acceptor.local_endpoint());
      BOOST_TEST(co_await has_ended(bad));
    }
    BOOST_TEST(co_await round_trip(good));
    handle.stop();
  };
  co_await cosock::when_all(cosock::serve(acceptor, &echo, handle, options), clients());
  BOOST_TEST(handle.counters().denied == 20u);
  BOOST_TEST(handle.counters().accepted == 1u);
}

COROUTINE_TEST_CASE(a_denied_peer_takes_no_place_and_its_handler_is_not_called) {
  tcp_acceptor acceptor(any_port);
  server_handle handle;
  observed log;
  const serve_options options{
      .max_connections = 1, .on_error = log, .max_reports = 2, .filter = {.deny = two}};
  bool called = false;
  const auto handler = [&](tcp_socket& s, const cosock::connection& c) -> task<> {
    called = true;
    BOOST_TEST(c.peer().address() == address::loopback_v4());
    co_await echo(s);
  };
  const auto clients = [&]() -> task<> {
    std::vector<tcp_socket> all;
    for (int i = 0; i != 5; ++i)
      all.push_back(co_await connect_from("127.0.0.2", acceptor.local_endpoint()));
    for (tcp_socket& each : all) BOOST_TEST(co_await has_ended(each));
    BOOST_TEST(!called);
    tcp_socket reset = co_await connect_from("127.0.0.2", acceptor.local_endpoint());
    reset.abort();
    tcp_socket good = co_await connect_from("127.0.0.1", acceptor.local_endpoint());
    BOOST_TEST(co_await round_trip(good));
    handle.stop();
  };
  co_await cosock::when_all(cosock::serve(acceptor, handler, handle, options), clients());
  BOOST_TEST(called);
  BOOST_TEST(handle.counters().denied == 6u);
  BOOST_TEST(handle.counters().unreported == 4u);
  BOOST_TEST(log.errors.size() == 3u);
  BOOST_TEST(log.errors.back() == "errors of connections that were not reported: 4");
}

COROUTINE_TEST_CASE(local_sockets_are_all_served) {
  fake_acceptor acceptor;
  server_handle handle;
  const serve_options options{.filter = {.allow = two}};
  const auto client = [&]() -> task<> {
    cosock::local_stream_socket s = acceptor.connect();
    BOOST_TEST(co_await round_trip(s));
    handle.stop();
  };
  co_await cosock::when_all(cosock::serve(acceptor, &echo, handle, options), client());
  BOOST_TEST(handle.counters().denied == 0u);
}

namespace {

/// A stream whose peer has an address that it does not know, or none.
template <bool Asked>
class anonymous_stream final : public byte_stream {
 public:
  explicit anonymous_stream(cosock::local_stream_socket s) : stream_(std::move(s)) {
    object_ = cosock::detail::stream_access::object_of(stream_);
  }
  anonymous_stream(anonymous_stream&& other) noexcept
      : byte_stream(std::exchange(other.object_, nullptr)), stream_(std::move(other.stream_)) {}
  ~anonymous_stream() override { object_ = nullptr; }
  endpoint remote_endpoint() const
    requires Asked
  {
    throw std::runtime_error("it is not known who that is");
  }
  void shutdown_send() override { stream_.shutdown_send(); }
  void close() noexcept override {
    object_ = nullptr;
    stream_.close();
  }

 private:
  cosock::local_stream_socket stream_;
};

template <bool Asked>
struct anonymous_acceptor : fake_acceptor {
  task<anonymous_stream<Asked>> accept() {
    co_return anonymous_stream<Asked>(co_await fake_acceptor::accept());
  }
};

}  // namespace

COROUTINE_TEST_CASE(a_peer_whose_address_is_not_known_is_denied) {
  anonymous_acceptor<true> acceptor;
  server_handle handle;
  observed log;
  const serve_options options{.on_error = log, .filter = {.deny = two}};
  const auto client = [&]() -> task<> {
    cosock::local_stream_socket s = acceptor.connect();
    BOOST_TEST(co_await has_ended(s));
    handle.stop();
  };
  co_await cosock::when_all(cosock::serve(acceptor, &echo, handle, options), client());
  BOOST_TEST(handle.counters().denied == 1u);
  BOOST_TEST((log.errors == std::vector<std::string>{"it is not known who that is"}));
}

COROUTINE_TEST_CASE(a_filter_for_streams_that_cannot_tell_is_refused) {
  anonymous_acceptor<false> acceptor;
  const serve_options options{.filter = {.deny = two}};
  std::string text;
  try {
    co_await cosock::serve(acceptor, &echo, options);
  } catch (const std::logic_error& e) {
    text = e.what();
  }
  BOOST_TEST(text == "cosock: serve_options::filter is for connections with remote_endpoint()");
  BOOST_TEST(acceptor.closed);
  // Without a filter they are served.
  anonymous_acceptor<false> other;
  server_handle handle;
  const auto client = [&]() -> task<> {
    cosock::local_stream_socket s = other.connect();
    BOOST_TEST(co_await round_trip(s));
    handle.stop();
  };
  co_await cosock::when_all(cosock::serve(other, &echo, handle), client());
}
