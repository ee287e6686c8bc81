// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// What the checks of streams, and the tests of the library, have in common: the outcome of an operation,
// patterns of bytes, streams that are full. All inline: tests include it.

#include <cosock/stream.hpp>
#include <cosock/tcp.hpp>

#include <cosock/cancel.hpp>
#include <cosock/error.hpp>
#include <cosock/nursery.hpp>
#include <cosock/time.hpp>
#include <cosock/when.hpp>

#include "core/text.hpp"
#include "testing/expect.hpp"

#include <linux/sockios.h>
#include <sys/ioctl.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <ostream>
#include <random>
#include <vector>

namespace cosock::testing::detail {

using boost::system::error_code;
using namespace std::chrono_literals;
namespace errc = boost::system::errc;

inline error_code code(cosock::error e) { return make_error_code(e); }

/// How an operation ended: so many bytes, and the error if there was one.
struct outcome {
  std::size_t bytes = 0;
  error_code error;
  bool is(cosock::error e) const { return error == code(e); }
  friend std::ostream& operator<<(std::ostream& out, const outcome& o) {
    return out << cosock::detail::counted(o.bytes, "byte") << ", "
               << (o.error ? o.error.message() : "no error");
  }
};

/// Awaits an operation, and returns how it ended instead of throwing.
template <class A>
task<outcome> outcome_of(A of) {
  outcome o;
  try {
    using result = cosock::detail::result_of<A>;
    if constexpr (std::is_same_v<result, std::size_t>)
      o.bytes = co_await std::move(of);
    else if constexpr (std::is_same_v<result, outcome>)
      o = co_await std::move(of);
    else
      (void)co_await std::move(of);
  } catch (const cosock::transfer_error& e) {
    o.error = e.code();
    o.bytes = e.bytes_transferred();
  } catch (const boost::system::system_error& e) {
    o.error = e.code();
  }
  co_return o;
}

/// An operation that runs beside the test. Make it before the nursery: it is written to at the end.
struct pending_op {
  bool done = false;
  outcome result;
};

/// Starts `make()`, an operation, in the nursery.
template <class F>
void start(nursery& in, pending_op& as, F make) {
  in.start(
      [&as](F make) -> task<> {
        as.result = co_await outcome_of(make());
        as.done = true;
      },
      std::move(make));
}

/// Lets everything happen that can: what is not done after it waits for something.
inline task<> let_others_run() {
  for (int i = 0; i != 4; ++i) co_await cosock::yield();
}
/// Waits until the operation has ended; the limit of the case ends a wait in vain.
inline task<> ended(pending_op& operation) {
  while (!operation.done) co_await cosock::yield();
}

/// More bytes than a stream holds while nobody reads; byte n is that of n + period too.
inline constexpr std::size_t period = 1'000'003;
inline constexpr std::size_t huge = 64 << 20;
inline const std::vector<char>& pattern() {
  static const std::vector<char> bytes = [] {
    std::vector<char> made(huge + period);
    std::mt19937 random(1);
    for (std::size_t i = 0; i != period; ++i) made[i] = static_cast<char>(random());
    for (std::size_t i = period; i < made.size(); i += period)
      std::memcpy(&made[i], &made[0], std::min(period, made.size() - i));
    return made;
  }();
  return bytes;
}

/// What one send may take: less for a stream that keeps messages apart.
inline thread_local std::size_t largest_send = huge;

/// One direction of a stream, as the bytes of one endless pattern: what went in comes out, in order.
struct byte_pattern {
  std::size_t in = 0;
  std::size_t out = 0;

  std::size_t on_the_way() const { return in - out; }
  const_buffer next(std::size_t size) const {
    return {pattern().data() + in % period, std::min(size, largest_send)};
  }
  void sent(std::size_t bytes) { in += bytes; }
  void sent(const outcome& o) { in += o.bytes; }
  /// False for bytes that are not the next ones.
  bool received(const void* data, std::size_t size) {
    const bool right = size == 0 || std::memcmp(data, pattern().data() + out % period, size) == 0;
    out += size;
    return right && out <= in;
  }
};

/// Sends so many bytes of the pattern.
inline task<> send(byte_stream& to, byte_pattern& l, std::size_t size) {
  while (size != 0) {
    const std::size_t now = std::min(size, largest_send);
    // First, or the receiver may see bytes that nobody has sent.
    const const_buffer bytes = l.next(now);
    l.sent(now);
    co_await to.send(bytes);
    size -= now;
  }
}

/// Receives all that is on the way.
inline task<> drain(byte_stream& from, byte_pattern& l) {
  std::vector<char> into(64 << 10);
  while (l.on_the_way() != 0) {
    const std::size_t n =
        co_await from.receive(cosock::buffer(into, std::min(into.size(), l.on_the_way())));
    REQUIRE(n != 0u);
    REQUIRE(l.received(into.data(), n));
  }
}

/// Receives to the end of the stream, and checks that nothing is missing.
inline task<> drain_to_end(byte_stream& from, byte_pattern& l) {
  std::vector<char> into(64 << 10);
  while (const std::size_t n = co_await from.receive(into)) REQUIRE(l.received(into.data(), n));
  EXPECT(l.on_the_way() == 0u);
}

/// What TCP has sent and the peer has not acknowledged. While there is such, room may still be made
/// although nobody reads.
inline int in_flight(byte_stream& s) {
  const auto* tcp = dynamic_cast<cosock::tcp_socket*>(&s);
  int held = 0;
  int unsent = 0;
  if (tcp && ::ioctl(tcp->native_handle(), SIOCOUTQ, &held) == 0 &&
      ::ioctl(tcp->native_handle(), SIOCOUTQNSD, &unsent) == 0)
    return held - unsent;
  return 0;
}

/// Fills the stream until a sender would have to wait, for as long as nobody reads.
inline task<> clog(byte_stream& to, byte_pattern& l) {
  for (;;) {
    const outcome sent = co_await outcome_of(cosock::with_timeout(1ms, to.send(l.next(huge))));
    l.sent(sent);
    REQUIRE(l.on_the_way() <= 4 * huge);  // the sender never has to wait
    if (!sent.error) continue;
    for (int i = 0; in_flight(to) != 0 && i != 500; ++i) co_await cosock::sleep_for(500us);
    if ((co_await outcome_of(cosock::with_timeout(1ms, to.wait_writable()))).error) co_return;
  }
}

/// Bytes pass in both directions, and nothing is left there from before.
inline task<> round_trip(byte_stream& a, byte_stream& b) {
  static thread_local std::uint64_t number = 0;
  for (auto [from, to] : {std::pair(&a, &b), std::pair(&b, &a)}) {
    const std::uint64_t sent = ++number;
    std::uint64_t got = 0;
    co_await cosock::when_all(from->send(const_buffer(&sent, sizeof sent)),
                              to->receive_exactly(mutable_buffer(&got, sizeof got)));
    EXPECT(got == sent);
  }
}

/// Whether a connection that cannot be sent to any more is reported as it should be.
inline bool is_broken(const error_code& e) {
  return e == errc::broken_pipe || e == errc::connection_reset;
}

inline error_code reset_by_peer() {
  return {errc::connection_reset, boost::system::system_category()};
}

/// Sends until that fails, and returns the error.
inline task<error_code> send_until_error(byte_stream& to) {
  for (;;) {
    const outcome o = co_await outcome_of(to.send("into the void"));
    if (o.error) co_return o.error;
    co_await cosock::yield();
  }
}

/// Every operation that may wait.
enum class operation { receive, receive_exactly, wait_readable, send, send_some, wait_writable };
inline constexpr operation receiving[] = {operation::receive, operation::receive_exactly,
                                          operation::wait_readable};
inline constexpr operation sending[] = {operation::send, operation::send_some,
                                        operation::wait_writable};
inline constexpr operation all_operations[] = {operation::receive,       operation::receive_exactly,
                                               operation::wait_readable, operation::send,
                                               operation::send_some,     operation::wait_writable};

inline std::ostream& operator<<(std::ostream& out, operation which) {
  constexpr const char* names[] = {"receive", "receive_exactly", "wait_readable",
                                   "send",    "send_some",       "wait_writable"};
  return out << names[static_cast<int>(which)];
}

/// The operation on so many bytes of the buffer or of the pattern.
inline task<outcome> perform(operation which, byte_stream& on, mutable_buffer into, byte_pattern& l,
                             std::size_t size) {
  switch (which) {
    case operation::receive: return outcome_of(on.receive(into));
    case operation::receive_exactly: return outcome_of(on.receive_exactly(into));
    case operation::wait_readable: return outcome_of(on.wait_readable());
    case operation::send: return outcome_of(on.send(l.next(size)));
    case operation::send_some: return outcome_of(on.send_some(l.next(size)));
    default: return outcome_of(on.wait_writable());
  }
}

}  // namespace cosock::testing::detail
