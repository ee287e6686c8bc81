// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cosock/address.hpp>
#include <cosock/detail/message.hpp>

#include <chrono>
#include <cstddef>
#include <span>

namespace cosock {

/// What is known of a datagram besides its bytes and its sender. A member is filled if the socket was
/// told to ask for it (udp_options), and keeps its default otherwise.
struct packet_info {
  cosock::address local = {};   ///< the address it was sent to
  unsigned interface_index = 0; ///< the interface it came in on
  int traffic_class = -1;       ///< the TOS or traffic class byte; its low two bits are ECN (RFC 3168)
  int hops = -1;                ///< the TTL or hop limit that was left
  std::chrono::system_clock::time_point at = {};  ///< when the kernel received it
  std::uint32_t dropped = 0;    ///< datagrams that the socket had lost by then, for want of room

  /// 0: not capable, 1 and 2: capable, 3: congestion experienced, -1: unknown.
  [[nodiscard]] int ecn() const noexcept { return traffic_class < 0 ? -1 : traffic_class & 3; }
};

/// A datagram, and where it came from.
template <class Endpoint>
struct receive_from_result : receive_result {
  Endpoint from = {};  ///< who sent it
};

/// A datagram to be sent. The memory, and the packet_info, outlive the operation.
template <class Endpoint>
struct basic_outgoing {
  const_buffer data = {};  ///< its bytes
  Endpoint to = {};        ///< who is to get it
  /// Where to send it from: its `local` address and `interface_index`, if not null and set.
  const packet_info* as = nullptr;
};

template <class Endpoint>
class basic_datagram_batch;
namespace detail {
class datagram_receive_operation;
template <class Endpoint>
class datagram_receive_from_operation;
class datagram_receive_batch_operation;
template <class Endpoint>
class datagram_send_operation;
template <class Endpoint>
class datagram_send_batch_operation;
template <class C, class T>
concept array_of = requires(const C& c) {
  { std::span(c) } -> std::convertible_to<std::span<const T>>;
};
}  // namespace detail

/// A socket that moves datagrams: each send is one, and each receive gives one, whole or marked as
/// truncated, never silently cut, and an empty one is one too. UDP, local, or any other kind,
/// through one interface. Like a byte_stream (stream.hpp) it belongs to one loop, takes one receiver
/// and one sender at a time (`error::busy`), and every function that returns an awaitable is a
/// cancellation point; cancelled means that no datagram was taken, or sent. After close() they give
/// `error::closed`. Buffers outlive the `co_await`; endpoints are copied.
///
/// On a connected socket, that the peer's host answered with "port unreachable" shows as
/// connection_refused of the next operation, once; the socket goes on working. An answer that comes
/// while a batch is being sent may be lost, as datagrams are.
template <class Endpoint>
class basic_datagram_socket {
 public:
  /// What names a peer, and the types that go with a socket of this kind.
  using endpoint_type = Endpoint;
  using batch = basic_datagram_batch<Endpoint>;
  using outgoing = basic_outgoing<Endpoint>;

  virtual ~basic_datagram_socket() = default;

  /// Waits for a datagram. One larger than the buffer fills it, and the result says that it was
  /// truncated and how long it was; that goes for an empty buffer too.
  detail::datagram_receive_operation receive(mutable_buffer into);
  /// The same into several buffers, filled one after the other.
  template <detail::not_one_mutable_buffer Buffers>
  detail::datagram_receive_operation receive(Buffers&& into);
  /// The same, and gives where it came from.
  detail::datagram_receive_from_operation<Endpoint> receive_from(mutable_buffer into);
  template <detail::not_one_mutable_buffer Buffers>
  detail::datagram_receive_from_operation<Endpoint> receive_from(Buffers&& into);
  /// The same, and writes what the socket was told to ask for. `info` outlives the `co_await`.
  detail::datagram_receive_from_operation<Endpoint> receive_from(mutable_buffer into,
                                                                 packet_info& info);

  /// Sends a datagram to the peer that the socket is connected to, and gives its size. Waits while
  /// the system has no room. Errors: message_size if it is larger than a datagram can be,
  /// destination_address_required on a socket that is not connected.
  detail::datagram_send_operation<Endpoint> send(const_buffer data);
  /// The same from several buffers, which make one datagram.
  template <detail::not_one_const_buffer Buffers>
  detail::datagram_send_operation<Endpoint> send(const Buffers& data);
  /// The same to a given peer, over the interface that its scope id names. Errors: no_such_device,
  /// with the peer in what(), if there is no such interface.
  detail::datagram_send_operation<Endpoint> send_to(const_buffer data, const Endpoint& to);
  template <detail::not_one_const_buffer Buffers>
  detail::datagram_send_operation<Endpoint> send_to(const Buffers& data, const Endpoint& to);
  /// The same from the `local` address and the `interface_index` of a packet_info, as far as they
  /// are set: an answer that comes from where the question went, or for a question to a group, from
  /// the interface it came in on. `as` outlives the `co_await`.
  detail::datagram_send_operation<Endpoint> send_to(const_buffer data, const Endpoint& to,
                                         const packet_info& as);

  /// Waits for a datagram, then takes as many as are there and the batch has room for, in one system
  /// call where that suffices. Gives their number, at least 1 unless the batch has no room at all.
  /// The batch outlives the `co_await`; what it held before is gone, even if this fails.
  detail::datagram_receive_batch_operation receive_batch(batch& into);

  /// Sends each buffer as a datagram, to the connected peer or to one that is given, or each to a
  /// peer of its own, with as few system calls as can be, and gives their number. Failed or cancelled
  /// after a part: throws batch_error (error.hpp), which says how many have gone.
  template <detail::array_of<const_buffer> Buffers>
  detail::datagram_send_batch_operation<Endpoint> send_batch(const Buffers& all);
  template <detail::array_of<const_buffer> Buffers>
  detail::datagram_send_batch_operation<Endpoint> send_batch(const Buffers& all,
                                                             const Endpoint& to);
  template <detail::array_of<basic_outgoing<Endpoint>> Datagrams>
  detail::datagram_send_batch_operation<Endpoint> send_batch(const Datagrams& all);

  /// Waits until receive would not have to wait. May wake early. Takes the place of a receiver.
  detail::stream_ready_operation wait_readable() { return {object_, detail::reading}; }
  /// Waits until send would not have to wait. May wake early. Takes the place of a sender.
  detail::stream_ready_operation wait_writable() { return {object_, detail::writing}; }

  /// Closes the socket: pending operations end with `error::closed`. Idempotent.
  virtual void close() noexcept = 0;
  /// Whether it can be used: not closed, not moved from, nor made by default.
  [[nodiscard]] bool is_open() const noexcept { return object_ && object_->loop; }

 protected:
  /// For those who implement a socket: what its operations work on, or null when closed.
  explicit basic_datagram_socket(detail::io_object* object = nullptr) noexcept : object_(object) {}
  basic_datagram_socket(const basic_datagram_socket&) = default;
  basic_datagram_socket& operator=(const basic_datagram_socket&) = default;
  detail::io_object* object_;
};

/// One datagram of a batch. Refers to the batch, until that is filled again.
template <class Endpoint>
class batch_datagram {
 public:
  /// What of it is in memory.
  [[nodiscard]] const_buffer data() const noexcept { return {data_, size_}; }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  /// How long it was when it was sent.
  [[nodiscard]] std::size_t length() const noexcept { return size_ + cut_; }
  /// Whether its end did not fit into the memory, and is lost.
  [[nodiscard]] bool truncated() const noexcept { return cut_ != 0; }
  /// Who sent it.
  [[nodiscard]] Endpoint from() const noexcept {
    Endpoint e;
    unsigned size;
    const void* name = of_->name(slot_, size);
    detail::sockaddr_traits<Endpoint>::codec.decode(name, size, &e);
    return e;
  }
  /// What the socket was told to ask for (udp_options).
  [[nodiscard]] packet_info info() const noexcept {
    packet_info all;
    of_->info(slot_, all);
    return all;
  }

 private:
  friend class basic_datagram_batch<Endpoint>;
  batch_datagram(const detail::batch_memory* of, const detail::batch_slot* slot, const char* data,
                 std::size_t size, std::size_t cut) noexcept
      : of_(of), slot_(slot), data_(data), size_(size), cut_(cut) {}
  const detail::batch_memory* of_;
  const detail::batch_slot* slot_;
  const char* data_;
  std::size_t size_;
  std::size_t cut_;
};

/// Memory for the datagrams that receive_batch takes, and a forward range of batch_datagram over
/// them. Allocates when it is made, not when it is used.
///
/// A socket with receive_offload (udp.hpp) hands over many small datagrams as one large one, which
/// is split here without copying, if the memory for each is 65536 bytes or more; otherwise they
/// are copied one by one.
template <class Endpoint>
class basic_datagram_batch : private detail::batch_memory {
 public:
  /// What its iterators give.
  using value_type = batch_datagram<Endpoint>;

  /// Room for `count` datagrams of up to `bytes_each` bytes; memory that is never written to costs
  /// address space only. Of a datagram for which there are 0 bytes only the length is received; with
  /// a count of 0 none is. Throws std::invalid_argument for more than memory can hold (PTRDIFF_MAX
  /// bytes in all), std::bad_alloc.
  explicit basic_datagram_batch(std::size_t count, std::size_t bytes_each = 65536)
      : batch_memory(count, bytes_each) {}
  /// Room for a datagram in each of the buffers, which outlive the batch.
  explicit basic_datagram_batch(std::span<const mutable_buffer> buffers)
      : batch_memory(buffers.data(), buffers.size()) {}

  /// A forward iterator; it gives each datagram by value. Valid until the batch is filled again.
  class iterator {
   public:
    using value_type = batch_datagram<Endpoint>;
    using difference_type = std::ptrdiff_t;
    iterator() noexcept = default;
    value_type operator*() const noexcept {
      const std::size_t left = slot_->size - at_;
      if (slot_->segment < left) return {of_, slot_, slot_->data + at_, slot_->segment, 0};
      return {of_, slot_, slot_->data + at_, left, slot_->length - slot_->size};
    }
    iterator& operator++() noexcept {
      at_ += slot_->segment;
      if (at_ >= slot_->size) {
        at_ = 0;
        ++slot_;
      }
      return *this;
    }
    iterator operator++(int) noexcept {
      const iterator before = *this;
      ++*this;
      return before;
    }
    friend bool operator==(const iterator&, const iterator&) noexcept = default;

   private:
    friend class basic_datagram_batch;
    iterator(const batch_memory* of, const detail::batch_slot* slot) noexcept
        : of_(of), slot_(slot) {}
    const batch_memory* of_ = nullptr;
    const detail::batch_slot* slot_ = nullptr;
    std::size_t at_ = 0;
  };

  /// The datagrams, in the order in which the system gave them.
  [[nodiscard]] iterator begin() const noexcept { return {this, slot_array()}; }
  [[nodiscard]] iterator end() const noexcept { return {this, slot_array() + messages}; }
  /// How many datagrams it holds, those that were joined counted one by one.
  [[nodiscard]] std::size_t size() const noexcept { return datagrams; }
  [[nodiscard]] bool empty() const noexcept { return datagrams == 0; }

 private:
  friend class basic_datagram_socket<Endpoint>;
};

/// What sends and receives datagrams between addresses with ports: udp_socket, and others that may
/// stand in for it.
using datagram_socket = basic_datagram_socket<endpoint>;
/// Memory for what such a socket receives, and what it is to send.
using datagram_batch = basic_datagram_batch<endpoint>;
using outgoing_datagram = basic_outgoing<endpoint>;

}  // namespace cosock

#include <cosock/detail/datagram.hpp>
