// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

#include <cosock/cosock.hpp>

#include <string>

#include "check.hpp"

using namespace std::chrono_literals;

namespace {

using cosock::byte_stream;
using cosock::task;

//! [limit]
task<std::string> ask(byte_stream& peer, std::string_view question) {
  co_await peer.send(question);
  char answer[64];
  const std::size_t n = co_await peer.receive(answer);
  co_return std::string(answer, n);
}

task<> ask_in_time(byte_stream& peer) {
  char buffer[64];
  const auto received =
      co_await cosock::as_result(cosock::with_timeout(10ms, peer.receive(buffer)));
  check(received.error() == cosock::error::timed_out);

  const auto answered = co_await cosock::as_result(cosock::with_timeout(10ms, ask(peer, "?")));
  check(answered.error() == cosock::error::timed_out);
}
//! [limit]

//! [nest]
task<> limits_nest(byte_stream& peer) {
  char buffer[64];
  bool inner = false, outer = false;
  try {
    co_await cosock::with_timeout(10ms, [&]() -> task<> {
      const auto result =
          co_await cosock::as_result(cosock::with_timeout(1h, peer.receive(buffer)));
      inner = result.error() == cosock::error::cancelled;  // the outer limit has passed
      result.value();
    }());
  } catch (const boost::system::system_error& e) {
    outer = e.code() == cosock::error::timed_out;
  }
  check(inner && outer);
}
//! [nest]

//! [scope]
task<> cancel_from_sibling(byte_stream& peer) {
  cosock::cancel_scope reading;
  co_await cosock::with_nursery([&](cosock::nursery& tasks) -> task<> {
    tasks.start([&]() -> task<> {
      char buffer[64];
      const auto result = co_await cosock::as_result(reading.run(peer.receive(buffer)));
      check(result.error() == cosock::error::cancelled);
    });
    co_await cosock::yield();
    reading.cancel();  // the loop resumes the sibling later, with `cancelled`
  });
}
//! [scope]

//! [level]
task<> every_wait_fails(byte_stream& peer) {
  cosock::cancel_scope scope;
  scope.cancel();
  const auto work = [&]() -> task<> {
    const auto first = co_await cosock::as_result(peer.send("x"));
    check(first.error() == cosock::error::cancelled);  // although the send could complete at once
    const auto second = co_await cosock::as_result(cosock::sleep_for(0s));
    check(second.error() == cosock::error::cancelled);
  };
  co_await scope.run(work());
  co_await cosock::sleep_for(0s);  // not cancelled: outside the scope
}
//! [level]

//! [data]
task<> cancelled_receive_loses_nothing(byte_stream& local, byte_stream& remote) {
  char buffer[5];
  const auto received =
      co_await cosock::as_result(cosock::with_timeout(1ms, local.receive(buffer)));
  check(received.error() == cosock::error::timed_out);

  co_await remote.send("hello");
  check(co_await local.receive(buffer) == 5);  // the cancelled receive took no byte
}
//! [data]

//! [partial]
task<> partial_send(byte_stream& local) {
  const std::string data(10'000'000, 'x');
  std::size_t sent = 0;
  try {
    co_await cosock::with_timeout(10ms, local.send(data));
  } catch (const cosock::transfer_error& e) {
    check(e.code() == cosock::error::timed_out);
    sent = e.bytes_transferred();
  }
  check(sent != 0 && sent < data.size());
}
//! [partial]

//! [cleanup]
task<> session(byte_stream& peer, bool& goodbye_sent) {
  char buffer[64];
  const auto result = co_await cosock::as_result(peer.receive(buffer));
  if (result.error() == cosock::error::cancelled) {
    co_await cosock::shielded(cosock::with_timeout(1s, peer.send("bye\n")));
    goodbye_sent = true;
  }
  result.value();  // rethrows `cancelled`
}
//! [cleanup]

//! [grace]
task<> finish_request(byte_stream& local, byte_stream& remote) {
  cosock::cancel_scope server;
  co_await cosock::with_nursery([&](cosock::nursery& tasks) -> task<> {
    tasks.start([&]() -> task<> {
      char request[4];
      co_await server.run(cosock::with_grace(5s, local.receive_exactly(request)));
    });
    co_await remote.send("re");
    co_await cosock::yield();
    server.cancel();
    co_await remote.send("st");  // in time: the receive completes, and is not cancelled
  });
}
//! [grace]

//! [idle]
// Completes when nothing was received for `limit`. The total time has no limit.
task<std::size_t> receive_until_idle(byte_stream& peer, std::chrono::milliseconds limit) {
  std::size_t total = 0;
  char buffer[64];
  for (;;) {
    const auto result =
        co_await cosock::as_result(cosock::with_timeout(limit, peer.receive(buffer)));
    if (result.error() == cosock::error::timed_out || result.value() == 0) co_return total;
    total += *result;
  }
}
//! [idle]

//! [any]
task<> receive_from_either(byte_stream& left, byte_stream& right) {
  char left_buffer[64], right_buffer[64];
  auto first = co_await cosock::when_any(left.receive(left_buffer), right.receive(right_buffer));
  check(first.index == 0 && first.get<0>() == 1u);
  check(!first.get<1>());  // cancelled without a result: it took no bytes
}
//! [any]

task<> run_examples() {
  auto [local, remote] = cosock::local_pair();
  co_await ask_in_time(local);
  co_await limits_nest(local);
  co_await cancel_from_sibling(local);
  co_await every_wait_fails(local);
  co_await cancelled_receive_loses_nothing(local, remote);
  co_await finish_request(local, remote);
  co_await remote.send("12345");
  check(co_await receive_until_idle(local, 10ms) == 5);

  bool goodbye_sent = false;
  const auto result =
      co_await cosock::as_result(cosock::with_timeout(10ms, session(local, goodbye_sent)));
  check(goodbye_sent && result.error() == cosock::error::timed_out);

  auto [idle_local, idle_remote] = cosock::local_pair();
  co_await remote.send("x");
  co_await receive_from_either(local, idle_local);
  co_await partial_send(local);
}

}  // namespace

int main() { return run_snippets(run_examples()); }
