// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// The list of checks for streams. Each is a coroutine on a connection between `a` and `b`; the sources
// stream_checks_*.cpp define them, and stream_conformance.cpp runs them.

#include <cosock/clock.hpp>
#include <cosock/testing/check_stream.hpp>

#include "testing/stream_tools.hpp"

#include <span>

namespace cosock::testing::detail {

/// The traits of the stream that is checked, and how more connections are made.
struct stream_setting : stream_traits {
  stream_setting(const stream_traits& traits, const stream_maker& maker)
      : stream_traits(traits), make_pair(maker) {}
  const stream_maker& make_pair;
};

/// The traits without which a check does not apply, as bits.
namespace needs {
enum : unsigned {
  reset = 1,
  half_close = 2,
  bounded = 4,
  buffers = 8,
  tells_of_close = 16,
  delivers_after_close = 32,
  stays_in_loop = 64,
  owns = 128,
  bytes = 256,
  delivers_cancelled_after_close = 512,
  ends_after_close = 1024,
};
}

struct stream_check_entry {
  const char* name;
  task<> (*body)(byte_stream& a, byte_stream& b, const stream_setting& of);
  unsigned needed;
};

/// Defines a check.
#define STREAM_CHECK(name)                                                             \
  static task<> name([[maybe_unused]] byte_stream& a, [[maybe_unused]] byte_stream& b, \
                     [[maybe_unused]] const stream_setting& of)

// The checks of each source.
std::span<const stream_check_entry> buffers_checks();
std::span<const stream_check_entry> cancel_checks();
std::span<const stream_check_entry> close_checks();
std::span<const stream_check_entry> half_close_checks();
std::span<const stream_check_entry> time_limits_checks();
std::span<const stream_check_entry> transfers_checks();
std::span<const stream_check_entry> waits_checks();

}  // namespace cosock::testing::detail
