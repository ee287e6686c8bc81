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

  std::vector<std::unique_ptr<byte_stream>>
      below;                            ///< streams to which the two refer; may be empty
  std::unique_ptr<byte_stream> first;   ///< one end
  std::unique_ptr<byte_stream> second;  ///< the other end
};

/// The promises of a kind of stream. The defaults are those of a TCP connection; a promise that does
/// not apply leaves out the checks that need it.
struct stream_traits {
  /// Resets the connection, so that the peer receives connection_reset. Null: not possible.
  void (*reset)(byte_stream&) = nullptr;
  /// shutdown_send() ends one direction, and the other stays open.
  bool half_close = true;
  /// A peer that does not receive makes the sender wait, after less than 64 MiB.
  bool bounded = true;
  /// A send may complete before the peer has received.
  bool buffers = true;
  /// After the peer has closed, a send fails sooner or later.
  bool tells_of_close = true;
  /// The peer receives all bytes that were sent before close().
  bool delivers_after_close = true;
  /// The peer also receives the bytes that a cancelled send reports, if no receive was pending then.
  bool delivers_cancelled_after_close = true;
  /// After close() the peer receives the end of the stream, even if no receive was pending then.
  bool ends_after_close = true;
  /// close() completes all its work before it returns.
  bool closes_at_once = true;
  /// The stream uses no other thread: four turns of the loop suffice for every effect.
  bool stays_in_loop = true;
  /// The destructor closes the connection, which ends pending operations.
  bool owns = true;
  /// A stream of bytes. False if each send is a message of at most 4,000 bytes, received as a whole.
  bool bytes = true;
  /// The time after which a check fails.
  time_span limit = std::chrono::seconds(60);
};

/// Makes a new connection. Called once or several times by each check, on the loop of the check.
using stream_maker = std::function<task<stream_pair>()>;

namespace detail {
struct stream_check_entry;
}

/// The check of one promise of byte_stream, for a test framework in which each check is a test case.
class COSOCK_API stream_check {
 public:
  /// The name of the promise, such as "cancelled_receive_exactly_keeps_its_part".
  [[nodiscard]] std::string_view name() const noexcept;
  /// Whether streams with these traits make this promise.
  [[nodiscard]] bool applies(const stream_traits& traits) const noexcept;
  /// Runs the check on its own loop; must not be called inside a task. Returns an empty text if the promise
  /// is kept, otherwise the expected and the observed behavior. Fails also if descriptors stay open.
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
/// other, and reports each result. If the stream blocks the thread, or never lets other tasks run, it does
/// not return. Throws the exceptions of `report`.
COSOCK_API void check_stream(const stream_maker& make_pair, const check_report& report,
                             const stream_traits& traits = {});

}  // namespace cosock::testing
