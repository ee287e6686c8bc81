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
  const auto nothing =
      co_await cosock::as_result(cosock::with_timeout(10ms, peer.receive(buffer)));
  check(nothing.error() == cosock::error::timed_out);

  const auto no_answer = co_await cosock::as_result(cosock::with_timeout(10ms, ask(peer, "?")));
  check(no_answer.error() == cosock::error::timed_out);
}
//! [limit]

//! [nest]
task<> limits_nest(byte_stream& peer) {
  char buffer[64];
  bool inner = false, outer = false;
  try {
    co_await cosock::with_timeout(10ms, [&]() -> task<> {
      const auto got = co_await cosock::as_result(cosock::with_timeout(1h, peer.receive(buffer)));
      inner = got.error() == cosock::error::cancelled;  // it is the other limit that has passed
      got.value();
    }());
  } catch (const boost::system::system_error& e) {
    outer = e.code() == cosock::error::timed_out;
  }
  check(inner && outer);
}
//! [nest]

//! [scope]
task<> stop_from_elsewhere(byte_stream& peer) {
  cosock::cancel_scope reading;
  co_await cosock::with_nursery([&](cosock::nursery& tasks) -> task<> {
    tasks.start([&]() -> task<> {
      char buffer[64];
      const auto got = co_await cosock::as_result(reading.run(peer.receive(buffer)));
      check(got.error() == cosock::error::cancelled);
    });
    co_await cosock::yield();
    reading.cancel();  // the sibling goes on with `cancelled` when the loop comes to it
  });
}
//! [scope]

//! [level]
task<> every_wait_fails(byte_stream& peer) {
  cosock::cancel_scope scope;
  scope.cancel();
  const auto work = [&]() -> task<> {
    const auto first = co_await cosock::as_result(peer.send("x"));
    check(first.error() == cosock::error::cancelled);  // though there was room
    const auto second = co_await cosock::as_result(cosock::sleep_for(0s));
    check(second.error() == cosock::error::cancelled);
  };
  co_await scope.run(work());
  co_await cosock::sleep_for(0s);  // outside of the scope nothing is cancelled
}
//! [level]

//! [data]
task<> nothing_is_lost(byte_stream& mine, byte_stream& theirs) {
  char buffer[5];
  const auto early = co_await cosock::as_result(cosock::with_timeout(1ms, mine.receive(buffer)));
  check(early.error() == cosock::error::timed_out);

  co_await theirs.send("hello");
  check(co_await mine.receive(buffer) == 5);  // the cancelled receive took no byte
}
//! [data]

//! [partial]
task<> part_of_a_send(byte_stream& mine) {
  const std::string much(10'000'000, 'x');
  std::size_t gone = 0;
  try {
    co_await cosock::with_timeout(10ms, mine.send(much));
  } catch (const cosock::transfer_error& e) {
    check(e.code() == cosock::error::timed_out);
    gone = e.bytes_transferred();
  }
  check(gone != 0 && gone < much.size());
}
//! [partial]

//! [cleanup]
task<> session(byte_stream& peer, bool& said_goodbye) {
  char buffer[64];
  const auto got = co_await cosock::as_result(peer.receive(buffer));
  if (got.error() == cosock::error::cancelled) {
    co_await cosock::shielded(cosock::with_timeout(1s, peer.send("bye\n")));
    said_goodbye = true;
  }
  got.value();  // and now the cancellation goes its way
}
//! [cleanup]

//! [grace]
task<> finish_what_was_begun(byte_stream& mine, byte_stream& theirs) {
  cosock::cancel_scope server;
  co_await cosock::with_nursery([&](cosock::nursery& tasks) -> task<> {
    tasks.start([&]() -> task<> {
      char request[4];
      co_await server.run(cosock::with_grace(5s, mine.receive_exactly(request)));
    });
    co_await theirs.send("re");
    co_await cosock::yield();
    server.cancel();
    co_await theirs.send("st");  // in time: the receive completes, and is not cancelled
  });
}
//! [grace]

//! [idle]
// Ends when nothing has come for `limit`, however long the whole takes.
task<std::size_t> receive_until_idle(byte_stream& peer, std::chrono::milliseconds limit) {
  std::size_t all = 0;
  char buffer[64];
  for (;;) {
    const auto got = co_await cosock::as_result(cosock::with_timeout(limit, peer.receive(buffer)));
    if (got.error() == cosock::error::timed_out || got.value() == 0) co_return all;
    all += *got;
  }
}
//! [idle]

//! [any]
task<> whichever_comes_first(byte_stream& one, byte_stream& two) {
  char from_one[64], from_two[64];
  auto first = co_await cosock::when_any(one.receive(from_one), two.receive(from_two));
  check(first.index == 0 && first.get<0>() == 1u);
  check(!first.get<1>());  // cancelled: it has taken nothing. If it had, its size would be here
}
//! [any]

task<> all() {
  auto [mine, theirs] = cosock::local_pair();
  co_await ask_in_time(mine);
  co_await limits_nest(mine);
  co_await stop_from_elsewhere(mine);
  co_await every_wait_fails(mine);
  co_await nothing_is_lost(mine, theirs);
  co_await finish_what_was_begun(mine, theirs);
  co_await theirs.send("12345");
  check(co_await receive_until_idle(mine, 10ms) == 5);

  bool said_goodbye = false;
  const auto ended =
      co_await cosock::as_result(cosock::with_timeout(10ms, session(mine, said_goodbye)));
  check(said_goodbye && ended.error() == cosock::error::timed_out);

  auto [near, far] = cosock::local_pair();
  co_await theirs.send("x");
  co_await whichever_comes_first(mine, near);
  co_await part_of_a_send(mine);
}

}  // namespace

int main() { return run_snippets(all()); }
