// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cosock/duration.hpp>
#include <cosock/stream.hpp>
#include <cosock/testing/check_report.hpp>

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace cosock::testing {

/// The two ends of a connection, of any types of streams.
struct stream_pair {
  /// Owns two streams.
  stream_pair(std::unique_ptr<byte_stream> one, std::unique_ptr<byte_stream> other) noexcept
      : first(std::move(one)), second(std::move(other)) {}
  /// Owns two streams that can be moved, such as those of memory_pair() and local_pair().
  template <class One, class Other>
  stream_pair(std::pair<One, Other>&& ends)
      : first(std::make_unique<One>(std::move(ends.first))),
        second(std::make_unique<Other>(std::move(ends.second))) {}

  std::vector<std::unique_ptr<byte_stream>> below;  ///< streams that the two refer to
  std::unique_ptr<byte_stream> first;               ///< one end
  std::unique_ptr<byte_stream> second;              ///< the other end
};

/// The promises of a kind of stream. The defaults are those of a TCP connection; a promise that does
/// not apply leaves out the checks that need it.
struct stream_traits {
  /// Ends the connection so that the peer receives connection_reset; null if there is no such way.
  void (*reset)(byte_stream&) = nullptr;
  /// shutdown_send() ends one direction, and leaves the other open.
  bool half_close = true;
  /// A peer that does not receive makes the sender wait, after less than 64 MiB.
  bool bounded = true;
  /// A send may complete before the peer has received.
  bool buffers = true;
  /// A send to a peer that has closed fails at some point.
  bool tells_of_close = true;
  /// The peer receives all that was sent before close().
  bool delivers_after_close = true;
  /// The same for the bytes that a cancelled send reports, if the peer did not receive then.
  bool delivers_cancelled_after_close = true;
  /// After close() the peer receives the end of the stream, also if it did not receive at that moment.
  bool ends_after_close = true;
  /// close() leaves no work that is done later.
  bool closes_at_once = true;
  /// No other thread takes part: four turns of the loop are enough for all that can happen.
  bool stays_in_loop = true;
  /// The destructor closes the connection, which ends pending operations.
  bool owns = true;
  /// A stream of bytes. False if each send is a message, received as a whole, of at most 4,000 bytes.
  bool bytes = true;
  /// How long a check may take before it fails.
  time_span limit = std::chrono::seconds(60);
};

/// Makes a new connection. Called once or several times by each check, on the loop of the check.
using stream_maker = std::function<task<stream_pair>()>;

namespace detail {
struct stream_check_entry;
}

/// One promise of byte_stream, as a test: for a test framework in which each check is a case.
class COSOCK_API stream_check {
 public:
  /// The name of the promise, such as "cancelled_receive_exactly_keeps_its_part".
  [[nodiscard]] std::string_view name() const noexcept;
  /// Whether a kind of stream with these traits makes this promise.
  [[nodiscard]] bool applies(const stream_traits& traits) const noexcept;
  /// Runs the check on a loop of its own, which must not be inside a task. Returns an empty text if
  /// the promise is kept, and otherwise what was expected and what was observed. Also fails if
  /// descriptors are left open.
  [[nodiscard]] std::string run(const stream_maker& make_pair,
                                const stream_traits& traits = {}) const;

 private:
  friend std::vector<stream_check> stream_checks();
  explicit stream_check(const detail::stream_check_entry& entry) noexcept : entry_(&entry) {}
  const detail::stream_check_entry* entry_;
};

/// Returns all checks, in the order of check_stream().
[[nodiscard]] COSOCK_API std::vector<stream_check> stream_checks();

/// Checks that a stream keeps the promises of byte_stream: runs all checks that apply, one after the
/// other, and reports each. A check that blocks the thread, or never lets other tasks run, does not
/// end. Throws what `report` throws.
COSOCK_API void check_stream(const stream_maker& make_pair, const check_report& report,
                             const stream_traits& traits = {});

}  // namespace cosock::testing
