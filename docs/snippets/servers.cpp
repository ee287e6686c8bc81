// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

#include <cosock/cosock.hpp>

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <stdexcept>
#include <string>
#include <system_error>
#include <vector>

#include "check.hpp"

using namespace std::chrono_literals;

namespace {

using cosock::task;

const cosock::endpoint any_port{cosock::address::loopback_v4(), 0};

//! [idle]
task<> echo(cosock::tcp_socket& client) {
  char buffer[4096];
  for (;;) {
    const std::size_t n = co_await cosock::with_timeout(60s, client.receive(buffer));
    if (n == 0) co_return;
    co_await cosock::with_timeout(60s, client.send(cosock::buffer(buffer, n)));
  }
}
//! [idle]

//! [configure]
// Allows an address that this machine does not have yet, such as the shared address of a cluster.
void allow_missing_address(int descriptor) {
  const int yes = 1;
  if (::setsockopt(descriptor, IPPROTO_IP, IP_FREEBIND, &yes, sizeof yes) != 0)
    throw std::system_error(errno, std::generic_category(), "IP_FREEBIND");
}

cosock::tcp_acceptor listen_early(const cosock::endpoint& at) {
  return cosock::tcp_acceptor(at, {.configure = allow_missing_address});
}
//! [configure]

//! [draining]
// Answers requests of a line. A client without a request is left when the server stops.
task<> answer(cosock::tcp_socket& client, const cosock::connection& connection) {
  cosock::buffered_reader requests(client);
  for (;;) {
    const auto next = co_await cosock::when_any(requests.read_line(), connection.draining());
    const auto& request = std::get<0>(next.results);
    if (!request || !*request) co_return;  // the server drains, or the client has ended
    co_await client.send("done\n");
  }
}
//! [draining]

//! [options]
task<> serve_with_limits(cosock::tcp_acceptor& acceptor, cosock::server_handle& handle,
                         std::vector<std::string>& log) {
  auto observer = [&](const std::exception_ptr& e, std::string_view source) {
    log.push_back(std::string(source) + ": " + cosock::error_message(e));
  };
  cosock::serve_options options;
  options.max_connections = 1000;
  options.drain = 30s;
  options.on_error = observer;
  co_await cosock::serve(acceptor, echo, handle, options);
}
//! [options]

task<> listens_early() {
  const cosock::endpoint missing = cosock::endpoint::parse("192.0.2.1:0");
  check(listen_early(missing).local_endpoint().address() == missing.address());
  co_return;
}

task<> drains() {
  cosock::tcp_acceptor acceptor(any_port);
  cosock::server_handle handle;
  const auto client = [&]() -> task<> {
    cosock::tcp_socket socket = co_await cosock::connect(acceptor.local_endpoint());
    cosock::buffered_reader answers(socket);
    co_await socket.send("request\n");
    check(co_await answers.read_line() == "done");
    handle.stop();
    check(!co_await answers.read_line());
  };
  co_await cosock::when_all(cosock::serve(acceptor, answer, handle), client());
}

task<> stops() {
  cosock::tcp_acceptor acceptor(any_port);
  cosock::server_handle handle;
  std::vector<std::string> log;
  const cosock::endpoint endpoint = acceptor.local_endpoint();
  //! [stop]
  const auto client = [&]() -> task<> {
    cosock::tcp_socket socket = co_await cosock::connect(endpoint);
    co_await socket.send("hello");
    char answer[5];
    co_await socket.receive_exactly(answer);
    handle.stop();  // stops accepting; this connection continues
    co_await socket.send("still");
    co_await socket.receive_exactly(answer);
    check(handle.counters().active == 1);
  };
  co_await cosock::when_all(serve_with_limits(acceptor, handle, log), client());
  check(handle.counters().accepted == 1 && handle.counters().bytes_in == 10);
  //! [stop]
  check(log.empty());
}

//! [failing]
task<> refuse(cosock::tcp_socket& client, const cosock::connection& connection) {
  co_await client.send("no\n");
  throw std::runtime_error("refused " + connection.peer().address().to_string());
}
//! [failing]

task<> fails() {
  cosock::tcp_acceptor acceptor(any_port);
  cosock::server_handle handle;
  std::vector<std::string> log;
  auto observer = [&](const std::exception_ptr& e) { log.push_back(cosock::error_message(e)); };
  const cosock::serve_options options{.on_error = observer};
  const auto client = [&]() -> task<> {
    cosock::tcp_socket socket = co_await cosock::connect(acceptor.local_endpoint());
    char text[3];
    co_await socket.receive_exactly(text);
    check(co_await socket.receive(text) == 0);
    handle.stop();
  };
  co_await cosock::when_all(cosock::serve(acceptor, refuse, handle, options), client());
  check(log == std::vector<std::string>{"refused 127.0.0.1"});
}

//! [allow]
task<> serve_networks(cosock::tcp_acceptor& acceptor, cosock::server_handle& handle,
                      const std::vector<std::string>& networks) {
  std::vector<cosock::address_range> allowed;
  for (const std::string& text : networks) allowed.push_back(cosock::address_range::parse(text));
  co_await cosock::serve(acceptor, echo, handle, {.filter = {.allow = allowed}});
}
//! [allow]

//! [deny]
// The host is from a request: it must not lead to this machine or to the network behind it.
task<cosock::tcp_socket> connect_outside(std::string host, std::string service) {
  return cosock::connect(host, service,
                         {.filter = {.deny = cosock::address_range::non_global_networks()}});
}
//! [deny]

task<> filters() {
  cosock::tcp_acceptor acceptor(any_port);
  cosock::server_handle handle;
  const cosock::endpoint endpoint = acceptor.local_endpoint();
  const std::vector<std::string> networks = {"127.0.0.0/8", "10.0.0.0/8", "::1", "fd00::/8"};
  const auto client = [&]() -> task<> {
    const auto denied =
        co_await cosock::as_result(connect_outside("localhost", std::to_string(endpoint.port())));
    check(denied.error() == cosock::error::address_denied);
    cosock::tcp_socket socket = co_await cosock::connect(endpoint);
    co_await socket.send("x");
    char answer[1];
    co_await socket.receive_exactly(answer);
    handle.stop();
  };
  co_await cosock::when_all(serve_networks(acceptor, handle, networks), client());
  check(handle.counters().accepted == 1 && handle.counters().denied == 0);
}

//! [finish]
task<> say_goodbye(cosock::byte_stream& server) {
  co_await server.send("bye\n");
  co_await server.finish(1s);  // sends the rest, waits for the end of the server, closes
}
//! [finish]

task<> finishes() {
  auto [client, server] = cosock::local_pair();
  const auto answer = [&]() -> task<> {
    co_await server.send("unread");
    char text[4];
    co_await server.receive_exactly(text);
    check(co_await server.receive(text) == 0);
    server.close();
  };
  co_await cosock::when_all(say_goodbye(client), answer());
  check(!client.is_open());
}

//! [frames]
task<> answer_frames(cosock::byte_stream& client) {
  const cosock::frame_format format{.prefix = cosock::frame_prefix::two_bytes, .max_size = 1000};
  cosock::buffered_reader frames(client);
  while (const auto request = co_await frames.read_frame(format)) {
    const std::string answer = "got " + std::string(*request);
    co_await cosock::send_frame(client, answer, format);
  }
}
//! [frames]

task<> frames() {
  auto [local, remote] = cosock::local_pair();
  const auto client = [&]() -> task<> {
    const cosock::frame_format format{.prefix = cosock::frame_prefix::two_bytes, .max_size = 1000};
    co_await cosock::send_frame(local, "one", format);
    cosock::buffered_reader answers(local);
    const auto answer = co_await answers.read_frame(format);
    check(answer == "got one");
    local.shutdown_send();
  };
  co_await cosock::when_all(answer_frames(remote), client());
}

//! [outbox]
task<> ticker(cosock::outbox& outbox) {
  for (;;) {
    co_await outbox.send("tick\n");
    co_await cosock::sleep_for(10ms);
  }
}

task<> answers_and_ticks(cosock::byte_stream& client) {
  cosock::outbox outbox(client, {.max_messages = 32, .policy = cosock::overflow_policy::drop_oldest});
  cosock::buffered_reader lines(client);
  co_await cosock::with_nursery([&](cosock::nursery& tasks) -> task<> {
    tasks.start([&] { return outbox.run(); });
    tasks.start([&] { return ticker(outbox); });
    while (const auto line = co_await lines.read_line()) co_await outbox.send("yes\n");
    co_await outbox.flush();
    tasks.cancel();
  });
}
//! [outbox]

task<> outbox() {
  auto [local, remote] = cosock::local_pair();
  const auto client = [&]() -> task<> {
    cosock::buffered_reader lines(local);
    co_await local.send("well?\n");
    bool yes = false, tick = false;
    while (!yes || !tick) {
      const auto line = co_await lines.read_line();
      (*line == "yes" ? yes : tick) = true;
    }
    local.shutdown_send();
    while (co_await lines.read_line()) {}
  };
  const auto server = [&]() -> task<> {
    co_await answers_and_ticks(remote);
    remote.close();
  };
  co_await cosock::when_all(server(), client());
}

//! [proxy]
task<> forward_connection(cosock::byte_stream& client, cosock::endpoint target) {
  cosock::tcp_socket server = co_await cosock::with_timeout(10s, cosock::connect(target));
  const auto result = co_await cosock::copy_both(client, server, {.idle = 5min});
  if (result.error) throw boost::system::system_error(result.error);
}
//! [proxy]

task<> proxy() {
  cosock::tcp_acceptor target(any_port), front(any_port);
  cosock::server_handle target_server, front_server;
  const auto handler = [&](cosock::tcp_socket& client) {
    return forward_connection(client, target.local_endpoint());
  };
  const auto client = [&]() -> task<> {
    cosock::tcp_socket socket = co_await cosock::connect(front.local_endpoint());
    co_await socket.send("hello");
    socket.shutdown_send();
    char answer[5];
    co_await socket.receive_exactly(answer);
    check(co_await socket.receive(answer) == 0);
    front_server.stop();
    target_server.stop();
  };
  co_await cosock::when_all(cosock::serve(target, echo, target_server),
                            cosock::serve(front, handler, front_server), client());
}

//! [reconnect]
task<> follow(std::string host, std::uint16_t port, std::vector<std::string>& messages) {
  cosock::reconnecting_client client({.base = 10ms, .cap = 10s});
  const auto session = [&](cosock::tcp_socket& server) -> task<cosock::session_result> {
    co_await server.send("subscribe\n");
    cosock::buffered_reader lines(server);
    while (const auto line = co_await lines.read_line()) {
      client.succeeded();
      messages.emplace_back(*line);
      if (*line == "the end") co_return cosock::session_result::done;
    }
    co_return cosock::session_result::reconnect;
  };
  co_await client.run(host, port, session);
}
//! [reconnect]

task<> reconnect() {
  cosock::tcp_acceptor acceptor(any_port);
  const std::uint16_t port = acceptor.local_endpoint().port();
  std::vector<std::string> messages;
  const auto server = [&]() -> task<> {
    for (const char* text : {"one\n", "the end\n"}) {
      cosock::tcp_socket client = co_await acceptor.accept();
      cosock::buffered_reader lines(client);
      check(co_await lines.read_line() == "subscribe");
      co_await client.send(std::string_view(text));
      client.shutdown_send();
      check(!co_await lines.read_line());
    }
  };
  co_await cosock::when_all(server(), follow("127.0.0.1", port, messages));
  check(messages == std::vector<std::string>{"one", "the end"});
}

//! [activation]
// For example one that another process has passed over a local socket.
task<> serve_passed_descriptor(int descriptor, cosock::server_handle& handle) {
  cosock::tcp_acceptor acceptor = cosock::tcp_acceptor::adopt(descriptor);
  co_await cosock::serve(acceptor, echo, handle);
}
//! [activation]

task<> activation() {
  cosock::tcp_acceptor passed(any_port);
  const cosock::endpoint endpoint = passed.local_endpoint();
  cosock::server_handle handle;
  const auto client = [&]() -> task<> {
    cosock::tcp_socket socket = co_await cosock::connect(endpoint);
    co_await socket.send("x");
    char answer[1];
    co_await socket.receive_exactly(answer);
    handle.stop();
  };
  co_await cosock::when_all(serve_passed_descriptor(passed.release(), handle), client());
}

//! [reload]
task<> reload_on_hangup(int& generation) {
  cosock::signal_set hangup{SIGHUP};
  for (;;) {
    co_await hangup.wait();
    ++generation;  // read the configuration again
  }
}
//! [reload]

task<> reload() {
  int generation = 0;
  const auto sender = [&]() -> task<> {
    co_await cosock::yield();
    ::kill(::getpid(), SIGHUP);
    while (generation == 0) co_await cosock::sleep_for(1ms);
  };
  co_await cosock::when_any(reload_on_hangup(generation), sender());
}

//! [guards]
task<> echo_guarded(cosock::tcp_socket& client) {
  // At least 500 bytes in each 10 s, received and sent ones together.
  co_await cosock::with_progress({.bytes = 500, .every = 10s}, client, echo(client));
}

task<> serve_guarded(cosock::tcp_acceptor& acceptor, cosock::server_handle& handle) {
  cosock::serve_options options;
  options.max_per_peer = 20;  // connections of an IPv4 address, or of 64 bits of an IPv6 address
  options.accept_rate = 200;  // connections a second
  options.first_byte = 5s;
  co_await cosock::serve(acceptor, echo_guarded, handle, options);
}
//! [guards]

//! [rate]
task<> echo_slowly(cosock::tcp_socket& client) {
  cosock::rate_limit received(1 << 20, {.burst = 64 << 10});  // bytes a second
  cosock::limited_stream limited(client, {.receive = &received});
  char buffer[4096];
  while (std::size_t n = co_await limited.receive(buffer))
    co_await limited.send(cosock::buffer(buffer, n));
}
//! [rate]

task<> guards() {
  cosock::tcp_acceptor acceptor(any_port);
  cosock::server_handle handle;
  const auto client = [&]() -> task<> {
    cosock::tcp_socket socket = co_await cosock::connect(acceptor.local_endpoint());
    co_await socket.send("ping");
    char answer[4];
    co_await socket.receive_exactly(answer);
    handle.stop();
  };
  co_await cosock::when_all(serve_guarded(acceptor, handle), client());
  cosock::tcp_acceptor second(any_port);
  cosock::tcp_socket near = co_await cosock::connect(second.local_endpoint());
  cosock::tcp_socket far = co_await second.accept();
  near.shutdown_send();
  co_await echo_slowly(far);
}

task<> run_examples() {
  co_await guards();
  co_await stops();
  co_await drains();
  co_await listens_early();
  co_await fails();
  co_await filters();
  co_await finishes();
  co_await frames();
  co_await outbox();
  co_await proxy();
  co_await reconnect();
  co_await activation();
  co_await reload();
}

}  // namespace

int main() { return run_snippets(run_examples()); }
