// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cosock/custom_stream.hpp>
#include <cosock/duration.hpp>
#include <cosock/testing/detail/fault_hook.hpp>

#include <boost/system/error_code.hpp>

#include <cerrno>
#include <concepts>
#include <cstdint>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>

namespace cosock::testing {

namespace detail {
class faulty_state;
}

/// The faults of one direction of a stream. The default: nothing.
struct direction_faults {
  /// The largest number of bytes that one transfer moves, at least 1. std::nullopt: no limit.
  std::optional<std::size_t> piece = std::nullopt;
  /// How much later each transfer is made than it could be, by the clock of the loop.
  time_span delay = {};
  /// After so many bytes, operations fail with `error`. std::nullopt: never.
  std::optional<std::uint64_t> error_at = std::nullopt;
  boost::system::error_code error = {ECONNRESET, boost::system::system_category()};
  /// After so many bytes, receives return the end, and sends fail with broken_pipe. std::nullopt: never.
  std::optional<std::uint64_t> end_at = std::nullopt;
};

/// The faults of a faulty stream.
struct fault_plan {
  direction_faults receive = {};  ///< of receives
  direction_faults send = {};     ///< of sends
  /// If set, the size of each transfer is chosen from 1 to `piece`, and its delay from 0 to `delay`, by
  /// random numbers of this seed. std::nullopt: they are always the largest.
  std::optional<std::uint64_t> seed = std::nullopt;
};

/// Returns a plan that the seed chooses: pieces of up to 1, 10, 100 or 1,000 bytes, delays of up to 10
/// ms in one of four plans, and in one of two an error or an end in one direction, after fewer than
/// `bytes` bytes. The same on all machines. Throws std::invalid_argument for 0 bytes.
[[nodiscard]] COSOCK_API fault_plan random_faults(std::uint64_t seed, std::uint64_t bytes = 10'000);

/// A stream with faults over another stream, which it owns or refers to. Bytes that are transferred are
/// those of the stream below; operations keep all promises of byte_stream.
///
/// Belongs to the loop of the stream below, on which nothing else may be pending in the same direction
/// (`error::busy`). May be moved while operations are pending.
class COSOCK_API faulty final : public custom_stream {
 public:
  /// Refers to a stream that outlives this one; close() closes it. Throws std::invalid_argument for a
  /// piece of 0; system_error with `error::closed` if the stream is closed.
  explicit faulty(byte_stream& below, const fault_plan& plan = {});
  /// Owns the stream.
  explicit faulty(std::unique_ptr<byte_stream> below, const fault_plan& plan = {});
  template <std::derived_from<byte_stream> Stream>
    requires(!std::is_abstract_v<Stream>)
  explicit faulty(Stream&& below, const fault_plan& plan = {})
      : faulty(std::unique_ptr<byte_stream>(std::make_unique<Stream>(std::move(below))), plan) {}
  faulty(faulty&& other) noexcept;
  /// Closes this stream before.
  faulty& operator=(faulty&& other) noexcept;
  ~faulty() override;

  /// Bytes that were received and sent through it.
  [[nodiscard]] std::uint64_t bytes_received() const noexcept;
  [[nodiscard]] std::uint64_t bytes_sent() const noexcept;

 private:
  friend class detail::fault_hook;
  std::size_t do_receive(std::span<const mutable_buffer> into,
                         boost::system::error_code& error) noexcept override;
  std::size_t do_send(std::span<const const_buffer> from,
                      boost::system::error_code& error) noexcept override;
  void do_shutdown_send(boost::system::error_code& error) noexcept override;
  bool can_receive() noexcept override;
  bool can_send() noexcept override;
  bool do_flush(boost::system::error_code& error) noexcept override;
  void on_close() noexcept override;

  friend class detail::faulty_state;
  std::unique_ptr<detail::faulty_state> state_;
};

}  // namespace cosock::testing
