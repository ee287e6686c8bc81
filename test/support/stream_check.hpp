// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// The kinds of stream, and the checks that each of them is held to.

#include <cosock/stream.hpp>

#include "stream_fixture.hpp"

#include <functional>
#include <memory>
#include <vector>

namespace test::stream_conformance {

using cosock::cancel_scope;
using std::chrono::steady_clock;

/// The two ends of a connection.
struct stream_pair {
  stream_pair(std::unique_ptr<byte_stream> one, std::unique_ptr<byte_stream> other)
      : first(std::move(one)), second(std::move(other)) {}
  std::vector<std::unique_ptr<byte_stream>> below;  // of streams that do not own theirs
  std::unique_ptr<byte_stream> first;
  std::unique_ptr<byte_stream> second;
};

/// A kind of stream: how a connection is made, and which of the promises apply.
struct kind {
  task<stream_pair> (*make_pair)();
  /// Ends the connection in a way that the peer sees as an error; null if there is none.
  void (*reset)(byte_stream&) = nullptr;
  /// There is a shutdown_send(), which leaves the other direction open.
  bool half_close = true;
  /// A peer that does not read makes the sender wait, after less than huge() bytes.
  bool bounded = true;
  /// Sending to a peer that has closed fails sooner or later.
  bool tells_of_close = true;
  /// What was sent arrives although the sender has closed.
  bool delivers_after_close = true;
  /// The same for a send that was cancelled while a peer did not read.
  bool delivers_cancelled_after_close = true;
  /// close() leaves nothing to be done behind the scenes.
  bool closes_at_once = true;
  /// No thread takes part, so that a number of turns of the loop is enough for everything.
  bool stays_in_loop = true;
  /// Its destructor closes the connection, which ends what is pending.
  bool owns = true;
  /// Bytes only: there are no messages, which have to be received as they were sent.
  bool bytes = true;
};

/// One test of the list.
struct check {
  const char* name;
  task<> (*body)(byte_stream& a, byte_stream& b, const kind& of);
  std::function<bool(const kind&)> applies;
};

inline std::vector<check>& all_checks() {
  static std::vector<check> all;
  return all;
}

struct enlisted {
  template <class... Flag>
  enlisted(const char* name, decltype(check::body) body, Flag... needed) {
    auto applies = [needed...]([[maybe_unused]] const kind& of) {
      return (true && ... && static_cast<bool>(of.*needed));
    };
    all_checks().push_back({name, body, applies});
  }
};

/// Defines a check on a connection between `a` and `b`; further arguments are what it needs of kind.
#define STREAM_CHECK(name, ...)                                                                  \
  inline ::cosock::task<> name(byte_stream& a, byte_stream& b, const kind& of);                  \
  static const enlisted name##_enlisted(#name, &name __VA_OPT__(, ) __VA_ARGS__);                \
  inline ::cosock::task<> name([[maybe_unused]] byte_stream& a, [[maybe_unused]] byte_stream& b, \
                               [[maybe_unused]] const kind& of)

inline task<> perform_check(check c, kind of) {
  const std::size_t before = open_descriptors();
  largest_send = of.bytes ? huge : 4000;
  {
    const stream_pair pair = co_await of.make_pair();
    co_await c.body(*pair.first, *pair.second, of);
  }
  while (!of.closes_at_once && open_descriptors() > before) co_await cosock::yield();
  BOOST_TEST(open_descriptors() == before);
}

/// Registers a suite of this name with a test case for every check that applies.
struct register_suite {
  register_suite(const char* name, kind of) {
    auto* suite = BOOST_TEST_SUITE(name);
    for (const check& c : all_checks())
      if (c.applies(of))
        suite->add(boost::unit_test::make_test_case([c, of] { run_case(perform_check(c, of)); },
                                                    c.name, __FILE__, __LINE__));
    boost::unit_test::framework::current_auto_test_suite().add(suite);
  }
};

}  // namespace test::stream_conformance
