// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// Clients that come back: to a server with four loops, of TLS 1.2 and 1.3, while its certificates are
// replaced and the keys of its tickets change. Each connection but the first one is resumed.

#include <cosock/tls.hpp>

#define BOOST_TEST_MODULE tls_resumption
#include "raw_tls.hpp"
#include "temporary_file.hpp"
#include "tls_fixture.hpp"
#include "virtual_time.hpp"

#include <cosock/cosock.hpp>

#include <array>
#include <atomic>

namespace {

using cosock::endpoint;
using cosock::task;
using cosock::tls_server_context;
using cosock::tls_stream;
using test::client_context;
using test::raw_tls;

constexpr unsigned loops = 4;
constexpr int visits = 100;
const endpoint any_port(cosock::address::loopback_v4(), 0);

using handler = task<>(tls_stream&);

task<> greet(tls_stream& stream) {
  co_await stream.send("!");
  co_await cosock::receive_to_end(stream, 100);
}
/// A server that never answers.
task<> listen(tls_stream& stream) { co_await cosock::receive_to_end(stream, 100); }

/// Runs the client beside a server with four loops, each of which must have served some of it.
template <class Client>
task<> beside_four_loops(const tls_server_context& context, handler& serves, Client client) {
  // By a hash of the ports: with spread::even the loop that comes first would serve a client
  // that makes one connection at a time.
  cosock::tcp_acceptors acceptors(any_port, loops, {}, cosock::spread::kernel);
  std::array<std::atomic<int>, loops> served = {};
  const auto serve = [&](unsigned index) -> task<> {
    auto acceptor = acceptors.acceptor(index);
    const auto handle = [&, index](tls_stream& stream) {
      ++served[index];
      return serves(stream);
    };
    co_await cosock::serve(acceptor, cosock::with_tls(context, handle));
  };
  co_await cosock::when_any(cosock::run_loops(loops, serve), client(acceptors.local_endpoint()));
  for (const auto& n : served) BOOST_TEST(n > 0);
}

/// Connects again and again. Returns how many of the connections were resumed.
task<int> visit(const cosock::tls_client_context& client, endpoint at, int count) {
  int resumed = 0;
  for (int i = 0; i != count; ++i) {
    tls_stream stream = co_await cosock::tls_connect(client, "127.0.0.1", at.port());
    resumed += stream.is_resumed();
    co_await stream.send("?");
    stream.shutdown_send();
    co_await cosock::receive_to_end(stream, 100);
    co_await stream.finish();
  }
  co_return resumed;
}

/// A client of bare OpenSSL, which keeps the newest session.
class raw_client {
 public:
  explicit raw_client(int version) : context_(test::make_raw_context(nullptr, version)) {}
  ~raw_client() { SSL_SESSION_free(session_); }
  raw_client(const raw_client&) = delete;

  /// Whether the connection was resumed.
  task<bool> visit(cosock::byte_stream& wire) {
    raw_tls raw(wire, context_, raw_tls::client);
    if (session_) SSL_set_session(raw.get(), session_);
    co_await raw.handshake();
    co_await raw.read();
    const bool is_resumed = SSL_session_reused(raw.get()) == 1;
    SSL_SESSION_free(session_);
    session_ = SSL_get1_session(raw.get());
    SSL_shutdown(raw.get());
    co_await raw.flush();
    co_return is_resumed;
  }
  task<int> visit(endpoint at, int count) {
    int resumed = 0;
    for (int i = 0; i != count; ++i) {
      cosock::tcp_socket socket = co_await cosock::connect(at);
      resumed += co_await visit(socket);
    }
    co_return resumed;
  }

 private:
  test::raw_context context_;
  SSL_SESSION* session_ = nullptr;
};

COROUTINE_TEST_CASE(sessions_of_tls_1_3_are_resumed_on_all_loops) {
  const tls_server_context context(test::identity_of(test::localhost()));
  co_await beside_four_loops(context, greet, [](endpoint at) -> task<> {
    const test::trusting_client client;
    BOOST_TEST(co_await visit(client.context, at, visits) == visits - 1);
  });
}

COROUTINE_TEST_CASE(sessions_are_resumed_although_the_server_sends_no_data) {
  const tls_server_context context(test::identity_of(test::localhost()));
  co_await beside_four_loops(context, listen, [](endpoint at) -> task<> {
    const test::trusting_client client;
    BOOST_TEST(co_await visit(client.context, at, visits) == visits - 1);
  });
}

COROUTINE_TEST_CASE(clients_side_by_side_resume_sessions) {
  const tls_server_context context(test::identity_of(test::localhost()));
  co_await beside_four_loops(context, greet, [](endpoint at) -> task<> {
    const test::trusting_client client;
    const auto [a, b, c, d] = co_await cosock::when_all(
        visit(client.context, at, visits), visit(client.context, at, visits),
        visit(client.context, at, visits), visit(client.context, at, visits));
    BOOST_TEST(a + b + c + d >= 4 * (visits - 1));
  });
}

COROUTINE_TEST_CASE(sessions_of_tls_1_2_are_resumed_on_all_loops) {
  const tls_server_context context(test::identity_of(test::localhost()));
  co_await beside_four_loops(context, greet, [](endpoint at) -> task<> {
    raw_client client(TLS1_2_VERSION);
    BOOST_TEST(co_await client.visit(at, visits) == visits - 1);
  });
}

COROUTINE_TEST_CASE(a_client_resumes_sessions_of_a_server_with_tls_1_2) {
  cosock::tcp_acceptor acceptor(any_port);
  const auto serve = [&]() -> task<> {
    const auto context = test::make_raw_context(&test::localhost(), TLS1_2_VERSION);
    for (;;) {
      cosock::tcp_socket socket = co_await acceptor.accept();
      raw_tls raw(socket, context, raw_tls::server);
      co_await raw.handshake();
      while (!(co_await raw.read()).empty()) {
      }
      SSL_shutdown(raw.get());
      co_await raw.flush();
    }
  };
  const auto come_back = [&]() -> task<> {
    const test::trusting_client client;
    BOOST_TEST(co_await visit(client.context, acceptor.local_endpoint(), visits) == visits - 1);
  };
  co_await cosock::when_any(serve(), come_back());
}

COROUTINE_TEST_CASE(sessions_survive_new_certificates) {
  const test::temporary_file chain(test::localhost().pem());
  const test::temporary_file key(test::localhost().key_pem());
  tls_server_context context(cosock::tls_identity::from_files(chain.path(), key.path()));
  co_await beside_four_loops(context, greet, [&](endpoint at) -> task<> {
    const test::trusting_client client;
    raw_client old(TLS1_2_VERSION);
    int resumed = 0;
    int resumed_1_2 = 0;
    for (int i = 0; i != 10; ++i) {
      resumed += co_await visit(client.context, at, visits / 10);
      resumed_1_2 += co_await old.visit(at, visits / 10);
      const test::issued_certificate young = test::make_certificate({}, &test::root());
      chain.write(young.pem());
      key.write(young.key_pem());
      context.reload();
    }
    BOOST_TEST(resumed == visits - 1);
    BOOST_TEST(resumed_1_2 == visits - 1);
  });
}

/// Both handshakes in memory, on a loop whose time does not wait.
task<bool> visit_in_memory(const tls_server_context& context) {
  test::tls_pair made = co_await test::tls_over_memory(client_context(), context);
  char byte[1];
  co_await made.server.send("!");
  co_await made.client.receive(byte);
  co_return made.client.is_resumed();
}
task<bool> visit_in_memory(raw_client& client, const tls_server_context& context) {
  auto ends = co_await test::make_memory_pair(50'000);
  const auto serve = [&]() -> task<> {
    tls_stream stream = co_await cosock::tls_accept(context, std::move(ends.first));
    co_await greet(stream);
  };
  const auto [none, is_resumed] = co_await cosock::when_all(serve(), client.visit(*ends.second));
  co_return is_resumed;
}

VIRTUAL_TEST_CASE(sessions_survive_new_keys_of_tickets) {
  const tls_server_context context(test::identity_of(test::localhost()));
  raw_client old(TLS1_2_VERSION);
  BOOST_TEST(!co_await visit_in_memory(context));
  BOOST_TEST(!co_await visit_in_memory(old, context));
  for (int i = 0; i != 20; ++i) {  // the keys change each hour
    co_await cosock::sleep_for(std::chrono::minutes(40));
    BOOST_TEST(co_await visit_in_memory(context));
    BOOST_TEST(co_await visit_in_memory(old, context));
  }
}

VIRTUAL_TEST_CASE(old_keys_of_tickets_are_forgotten) {
  const tls_server_context context(test::identity_of(test::localhost()));
  raw_client old(TLS1_2_VERSION);
  BOOST_TEST(!co_await visit_in_memory(context));
  BOOST_TEST(!co_await visit_in_memory(old, context));
  co_await cosock::sleep_for(std::chrono::minutes(181));
  BOOST_TEST(!co_await visit_in_memory(context));
  BOOST_TEST(!co_await visit_in_memory(old, context));
  BOOST_TEST(co_await visit_in_memory(context));
  BOOST_TEST(co_await visit_in_memory(old, context));
}

}  // namespace
