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

/// The faults of one direction of a stream. The default: no faults.
struct direction_faults {
  /// The largest number of bytes of one transfer, at least 1. std::nullopt: no limit.
  std::optional<std::size_t> piece = std::nullopt;
  /// The delay of each transfer, by the clock of the loop.
  time_span delay = {};
  /// The number of bytes after which operations fail with `error`. std::nullopt: never.
  std::optional<std::uint64_t> error_at = std::nullopt;
  boost::system::error_code error = {ECONNRESET, boost::system::system_category()};
  /// The number of bytes after which receives return the end of the stream, and sends fail with
  /// broken_pipe. std::nullopt: never.
  std::optional<std::uint64_t> end_at = std::nullopt;
};

/// The faults of a faulty stream.
struct fault_plan {
  direction_faults receive = {};  ///< of receives
  direction_faults send = {};     ///< of sends
  /// If set, the size of each transfer is random from 1 to `piece`, and its delay random from 0 to `delay`,
  /// with this seed. std::nullopt: the size is `piece`, and the delay is `delay`.
  std::optional<std::uint64_t> seed = std::nullopt;
};

/// Returns a random plan for this seed, the same on all machines. In each direction: pieces of up to 1,
/// 10, 100 or 1,000 bytes, and with a probability of 1/4 delays of up to 10 ms. With a probability of 1/2,
/// an error or an end in one direction, after fewer than `bytes` bytes. Throws std::invalid_argument if
/// `bytes` is 0.
[[nodiscard]] COSOCK_API fault_plan random_faults(std::uint64_t seed, std::uint64_t bytes = 10'000);

/// Adds faults to another stream, which it owns or refers to. The bytes are those of the stream below;
/// operations keep all promises of byte_stream.
///
/// Belongs to the loop of the stream below. An operation fails with `error::busy` if other code has one
/// pending on the stream below in the same direction. May be moved while operations are pending.
class COSOCK_API faulty final : public custom_stream {
 public:
  /// Refers to `below`, which must outlive this stream; close() closes both. Throws std::invalid_argument
  /// for a `piece` of 0; system_error with `error::closed` if `below` is closed.
  explicit faulty(byte_stream& below, const fault_plan& plan = {});
  /// Owns `below`. Throws as above.
  explicit faulty(std::unique_ptr<byte_stream> below, const fault_plan& plan = {});
  template <std::derived_from<byte_stream> Stream>
    requires(!std::is_abstract_v<Stream>)
  explicit faulty(Stream&& below, const fault_plan& plan = {})
      : faulty(std::unique_ptr<byte_stream>(std::make_unique<Stream>(std::move(below))), plan) {}
  faulty(faulty&& other) noexcept;
  /// Closes this stream first.
  faulty& operator=(faulty&& other) noexcept;
  ~faulty() override;

  /// The numbers of bytes that were received and sent through this stream.
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
