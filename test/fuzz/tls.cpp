// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// TLS over a wire that changes, drops, repeats and invents bytes, in the handshake and after it: what is
// received was sent, in order, and an end is reported only if all of it has arrived.

#include "input.hpp"
#include "support/authority.hpp"
#include "support/memory_stream.hpp"

#include <cosock/nursery.hpp>
#include <cosock/tls.hpp>
#include <cosock/tls_error.hpp>
#include <cosock/when.hpp>

#include <memory>

using cosock::task;
using cosock::tls_stream;

namespace {

#ifdef PLANTED_FAULT
// The positive control: a stream that takes a connection which was cut for one that has ended.
constexpr bool accept_truncation = true;
#else
constexpr bool accept_truncation = false;
#endif

const test::issued_certificate& root() {
  static const test::issued_certificate made = test::make_authority("root");
  return made;
}
struct trusting_client {
  cosock::tls_client_context context{cosock::tls_roots::none};
  trusting_client() { context.add_roots(root().pem()); }
};
const cosock::tls_client_context& client() {
  static const trusting_client made;
  return made.context;
}
const cosock::tls_server_context& server() {
  static const test::issued_certificate leaf = test::make_certificate({}, &root());
  static const cosock::tls_server_context made(
      cosock::tls_identity::from_pem(leaf.pem(), leaf.key_pem()));
  return made;
}

/// Passes bytes on, as the plan says. A plan that is empty changes nothing.
task<> relay(cosock::byte_stream& from, cosock::byte_stream& to, fuzz::input plan) {
  char block[2000];
  for (;;) {
    const std::size_t n = co_await from.receive(block);
    std::string bytes(block, n);
    bool ends = n == 0;
    switch (plan.below(16)) {
      case 1:
        if (n != 0) bytes[plan.number() % n] ^= static_cast<char>(1 << plan.below(8));
        break;
      case 2: bytes.erase(0, plan.byte()); break;
      case 3: bytes.insert(plan.number() % (n + 1), plan.text(plan.byte())); break;
      case 4: bytes += bytes; break;
      case 5: ends = true; break;
      case 6: bytes = std::string(plan.text(plan.byte())); break;
      case 7: bytes.resize(plan.byte() * std::size_t{100}, 'x'); break;
    }
    co_await to.send(bytes);
    if (ends) co_return to.shutdown_send();
  }
}

/// One side: sends its text and the end, and compares what it receives.
task<> talk(tls_stream stream, std::string says, std::string hears) {
  const auto sending = [&]() -> task<> {
    co_await stream.send(says);
    stream.shutdown_send();
  };
  const auto receiving = [&]() -> task<> {
    std::string all;
    char block[700];
    while (const std::size_t n = co_await stream.receive(block)) {
      all.append(block, n);
      REQUIRE(hears.starts_with(all));
    }
    REQUIRE(all == hears);
  };
  co_await cosock::when_all(sending(), receiving());
}

task<> as_client(std::unique_ptr<cosock::byte_stream> wire, std::string says, std::string hears) {
  try {
    tls_stream stream = co_await cosock::tls_over(client(), std::move(wire), "localhost",
                                                  {.accept_truncation = accept_truncation});
    co_await talk(std::move(stream), std::move(says), std::move(hears));
  } catch (const boost::system::system_error&) {
    // What it is depends on the place of the change.
  }
}

task<> as_server(std::unique_ptr<cosock::byte_stream> wire, std::string says, std::string hears) {
  try {
    tls_stream stream = co_await cosock::tls_accept(server(), std::move(wire),
                                                    {.accept_truncation = accept_truncation});
    co_await talk(std::move(stream), std::move(says), std::move(hears));
  } catch (const boost::system::system_error&) {
  }
}

task<> quietly(task<> work) {
  try {
    co_await std::move(work);
  } catch (const boost::system::system_error&) {
    // The other end of the wire has closed.
  }
}

task<> converse(fuzz::input in) {
  const std::string request(in.byte() * std::size_t{150}, 'q');
  const std::string answer(in.byte() * std::size_t{150}, 'a');
  const std::size_t half = in.byte();
  const fuzz::input there = in.part(half);
  auto one = co_await test::make_memory_pair();
  auto other = co_await test::make_memory_pair();
  co_await cosock::when_all(as_client(std::move(one.first), request, answer),
                            as_server(std::move(other.second), answer, request),
                            quietly(relay(*one.second, *other.first, there)),
                            quietly(relay(*other.first, *one.second, in)));
}

}  // namespace

void fuzz_one(fuzz::input in) {
  // Nothing comes from outside: what waits when nothing is ready waits for bytes that were dropped.
  cosock::loop loop;
  const auto running = loop.start(converse(in));
  while (loop.poll()) {
  }
}
