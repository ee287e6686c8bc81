// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// The parts of async_stream (asio.hpp): a stream of cosock as Asio's and Beast's functions see it.
// Each operation is a task, started as by spawn(). It does not own the stream.

#include <cosock/detail/asio_spawn.hpp>
#include <cosock/error.hpp>
#include <cosock/stream.hpp>

#include <boost/asio/associator.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/error.hpp>

#include <array>
#include <span>

namespace cosock::detail {

struct transferred {
  boost::system::error_code error;
  std::size_t bytes = 0;
};

/// Replaces codes of cosock by those that handlers of Asio expect: operation_aborted, eof and
/// others.
COSOCK_API boost::system::error_code to_asio(const boost::system::error_code&) noexcept;

/// The first non-empty buffers of a sequence. Copied, because Asio's functions may destroy the
/// sequence when the initiation returns; bounded, because an operation that moves "some" bytes need
/// not take all.
template <class Buffer>
class buffer_array {
 public:
  template <class Sequence>
  explicit buffer_array(const Sequence& buffers) {
    const auto end = asio::buffer_sequence_end(buffers);
    for (auto position = asio::buffer_sequence_begin(buffers);
         position != end && count_ != buffers_.size(); ++position) {
      const std::conditional_t<std::is_same_v<Buffer, mutable_buffer>, asio::mutable_buffer,
                               asio::const_buffer>
          element(*position);
      if (element.size() != 0) buffers_[count_++] = Buffer(element.data(), element.size());
    }
  }
  std::span<const Buffer> get() const noexcept { return {buffers_.data(), count_}; }

 private:
  std::array<Buffer, 16> buffers_;
  std::size_t count_ = 0;
};

COSOCK_API task<transferred> receive_for(byte_stream& from, buffer_array<mutable_buffer> into);
COSOCK_API task<transferred> send_for(byte_stream& to, buffer_array<const_buffer> from);
/// Ends the sending direction, and discards input until the peer has ended its direction. A client
/// does it in the opposite order.
COSOCK_API task<transferred> finish_for(byte_stream& stream, bool client);

/// The completion of a task, as a call of Asio's handler for an error and a size, or for an error.
template <class Handler, bool WithSize>
struct transfer_handler {
  Handler handler;
  void operator()(const std::exception_ptr& error, const transferred& t) {
    if constexpr (WithSize)
      std::move(handler)(error ? error_of(error) : t.error, t.bytes);
    else
      std::move(handler)(error ? error_of(error) : t.error);
  }
  static boost::system::error_code error_of(const std::exception_ptr& error) {
    const failure f = failure_of(error);
    // An exception without a code is std::bad_alloc: nothing else is thrown there.
    return f ? to_asio(to_error_code(f)) : asio::error::no_memory;
  }
};

template <bool Receives>
struct transfer_initiation {
  byte_stream* stream;
  asio::any_io_executor executor;

  using executor_type = asio::any_io_executor;
  executor_type get_executor() const noexcept { return executor; }

  template <class Handler, class Buffers>
  void operator()(Handler&& handler, const Buffers& buffers) const {
    transfer_handler<std::decay_t<Handler>, true> adapted{std::forward<Handler>(handler)};
    byte_stream& s = *stream;
    if constexpr (Receives)
      spawn_initiation()(
          std::move(adapted), executor,
          [&s, b = buffer_array<mutable_buffer>(buffers)] { return receive_for(s, b); });
    else
      spawn_initiation()(std::move(adapted), executor,
                         [&s, b = buffer_array<const_buffer>(buffers)] { return send_for(s, b); });
  }
};

/// The enumeration of Beast is only declared here. As a template this function is checked when it
/// is called, where the program has included Beast.
template <class Parameter, class Role>
constexpr bool is_client(Role role) noexcept {
  return role == Role::client;
}

template <class Handler>
void start_finish(byte_stream& stream, const asio::any_io_executor& executor, bool client,
                  Handler&& handler) {
  spawn_initiation()(transfer_handler<std::decay_t<Handler>, false>{std::forward<Handler>(handler)},
                     executor, [&stream, client] { return finish_for(stream, client); });
}

}  // namespace cosock::detail

template <template <class, class> class Associator, class Handler, bool WithSize, class Default>
struct boost::asio::associator<Associator, cosock::detail::transfer_handler<Handler, WithSize>,
                               Default> : Associator<Handler, Default> {
  using handler_type = cosock::detail::transfer_handler<Handler, WithSize>;
  static auto get(const handler_type& h) noexcept {
    return Associator<Handler, Default>::get(h.handler);
  }
  static auto get(const handler_type& h, const Default& d) noexcept {
    return Associator<Handler, Default>::get(h.handler, d);
  }
};
