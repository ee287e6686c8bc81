// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cosock/address.hpp>
#include <cosock/credentials.hpp>
#include <cosock/detail/chrono.hpp>
#include <cosock/detail/message.hpp>

#include <cstddef>
#include <optional>
#include <span>

namespace cosock {

/// The ancillary data of a datagram. Each receive resets it, and fills a member if its option in
/// udp_socket_options or local_datagram_socket_options is set, or for an adopted socket the socket option.
struct packet_info {
  cosock::address local = {};    ///< the address it was sent to; 0.0.0.0: not known
  unsigned interface_index = 0;  ///< the interface it came in on; 0: not known
  /// The TOS or traffic class byte, 0 to 255; its low two bits are ECN (RFC 3168).
  std::optional<int> traffic_class = std::nullopt;
  std::optional<int> hops = std::nullopt;  ///< the remaining TTL or hop limit
  /// When the kernel received it.
  std::optional<std::chrono::system_clock::time_point> arrival_time = std::nullopt;
  std::uint32_t dropped = 0;  ///< datagrams lost before this one (udp_socket::dropped())
  /// The process that sent it, when it sent it (SCM_CREDENTIALS). That process may have named its
  /// effective or saved user and group, and a privileged one any credentials. Local sockets only.
  std::optional<cosock::credentials> credentials = std::nullopt;

  /// Explicit congestion notification (RFC 3168). 0: not capable, 1 and 2: capable, 3: congestion
  /// experienced. std::nullopt if the traffic class is not known.
  [[nodiscard]] std::optional<int> ecn() const noexcept {
    if (!traffic_class) return std::nullopt;
    return *traffic_class & 3;
  }
};

/// The result of receiving a datagram with its sender.
template <class Endpoint = endpoint>
struct receive_from_result : receive_result {
  Endpoint from = {};  ///< the sender
};

/// A datagram to be sent. The data and the packet_info must outlive the operation. `Endpoint` is the
/// type of addresses of the socket: endpoint for UDP.
template <class Endpoint = endpoint>
struct outgoing_datagram {
  const_buffer data = {};  ///< its bytes
  Endpoint to = {};        ///< the destination
  /// If not null, its `local` and `interface_index`, if set, are the source address and interface. The
  /// other members are not used: a reply does not copy the traffic class and the ECN of a request.
  const packet_info* source = nullptr;
  /// The TOS or traffic class byte, 0 to 255, whose low two bits are ECN. std::nullopt: that of the
  /// socket (udp_socket::set_traffic_class). Local sockets have none, and ignore it.
  std::optional<int> traffic_class = std::nullopt;
};

template <class Endpoint>
class datagram_batch;
namespace detail {
class datagram_receive_operation;
template <class Endpoint>
class datagram_receive_from_operation;
class datagram_receive_batch_operation;
template <class Endpoint>
class datagram_send_operation;
template <class Endpoint>
class outgoing_send_operation;
template <class Endpoint>
class datagram_send_batch_operation;
struct datagram_access;
template <class C, class T>
concept array_of = requires(const C& c) {
  { std::span(c) } -> std::convertible_to<std::span<const T>>;
};
}  // namespace detail

/// The interface of all datagram sockets: UDP, local and others. `datagram_socket<>`, with addresses of
/// the type endpoint, is that of udp_socket and of its replacements in tests. Each send transmits one
/// datagram, and each receive returns one, flagged if it was truncated; empty datagrams are delivered.
/// Like a byte_stream (stream.hpp) it belongs to one loop, and takes one receiver and one sender at a
/// time (`error::busy`). Every function that returns an awaitable is a cancellation point; after
/// `error::cancelled` no datagram was taken or sent. After close() they throw `error::closed`. Buffers
/// must outlive the `co_await`, and so must the array of send_batch with all that it refers to. Endpoints
/// that are passed as arguments are copied.
///
/// On a connected socket, if the host of the peer answers "port unreachable", the next operation
/// throws connection_refused, once. The socket stays usable. An answer that arrives while a batch
/// is being sent may be lost.
template <class Endpoint = endpoint>
class COSOCK_API datagram_socket {
 public:
  /// The type of addresses, and the types of batches and outgoing datagrams: for example
  /// `local_datagram_socket::batch`.
  using endpoint_type = Endpoint;
  using batch = datagram_batch<Endpoint>;
  using outgoing = outgoing_datagram<Endpoint>;

  virtual ~datagram_socket() = default;

  /// Waits for a datagram. Returns a receive_result. If the datagram is larger than the buffer,
  /// which may be empty, the rest is lost, `truncated` is set, and `length` is the whole length.
  detail::datagram_receive_operation receive(mutable_buffer into);
  /// Receives into several buffers, which are filled one after the other.
  template <detail::not_one_mutable_buffer Buffers>
  detail::datagram_receive_operation receive(Buffers&& into);
  /// Like receive(), and returns the sender too.
  detail::datagram_receive_from_operation<Endpoint> receive_from(mutable_buffer into);
  template <detail::not_one_mutable_buffer Buffers>
  detail::datagram_receive_from_operation<Endpoint> receive_from(Buffers&& into);
  /// Also fills `info` with the ancillary data enabled in udp_socket_options. `info` must outlive the
  /// `co_await`.
  detail::datagram_receive_from_operation<Endpoint> receive_from(mutable_buffer into,
                                                                 packet_info& info);

  /// Sends a datagram to the peer that the socket is connected to. Returns its size. Waits while
  /// the system has no room. Errors: message_size if it is larger than a datagram can be; on a
  /// socket that is not connected destination_address_required (UDP) or not_connected (local).
  detail::datagram_send_operation<Endpoint> send(const_buffer data);
  /// Sends several buffers as one datagram.
  template <detail::not_one_const_buffer Buffers>
  detail::datagram_send_operation<Endpoint> send(const Buffers& data);
  /// Sends a datagram to a peer, over the interface of its scope id if it has one. Returns its size.
  /// Errors: no_such_device, with the peer in what(), if there is no such interface.
  detail::datagram_send_operation<Endpoint> send_to(const_buffer data, const Endpoint& to);
  template <detail::not_one_const_buffer Buffers>
  detail::datagram_send_operation<Endpoint> send_to(const Buffers& data, const Endpoint& to);
  /// Sends from the `local` address and `interface_index` of a packet_info, if they are set; its other
  /// members are not used. With the packet_info of a request, the reply is sent from the address that
  /// the request was sent to, or for a multicast group over the interface on which it arrived.
  /// `source` must outlive the `co_await`.
  detail::datagram_send_operation<Endpoint> send_to(const_buffer data, const Endpoint& to,
                                                    const packet_info& source);
  /// Sends one datagram with its source and its traffic class, as send_batch() does for several. A
  /// connected socket takes the peer as `to`. Returns its size. Errors: those of the other send_to();
  /// invalid_argument for a traffic class that is out of range. The datagram is copied, but its data
  /// and its `source` must outlive the `co_await`.
  detail::outgoing_send_operation<Endpoint> send_to(const outgoing& datagram);

  /// Waits for a datagram, then takes all that are available and that fit into the batch, with one
  /// system call if possible. Returns their number: at least 1, or 0 if the batch has no room. The
  /// batch must outlive the `co_await`. Its previous contents are lost even if this fails.
  detail::datagram_receive_batch_operation receive_batch(batch& into);

  /// Sends each buffer as a datagram: to the connected peer, to the given one, or each to its own
  /// destination. Uses as few system calls as possible. Returns the number of datagrams. After an
  /// error or a cancellation in the middle, throws transfer_error (error.hpp) with the
  /// number of datagrams that were sent, and of their bytes.
  template <detail::array_of<const_buffer> Buffers>
  detail::datagram_send_batch_operation<Endpoint> send_batch(const Buffers& buffers);
  template <detail::array_of<const_buffer> Buffers>
  detail::datagram_send_batch_operation<Endpoint> send_batch(const Buffers& buffers,
                                                             const Endpoint& to);
  template <detail::array_of<outgoing_datagram<Endpoint>> Datagrams>
  detail::datagram_send_batch_operation<Endpoint> send_batch(const Datagrams& datagrams);

  /// Waits until receive() would complete at once. May wake early. Counts as a receive: a second one
  /// fails with `error::busy`.
  detail::stream_ready_operation wait_readable() { return {object_, detail::reading}; }
  /// Waits until send() would complete at once. May wake early. Counts as a send.
  detail::stream_ready_operation wait_writable() { return {object_, detail::writing}; }

  /// Closes the socket: pending operations end with `error::closed`. Idempotent.
  virtual void close() noexcept = 0;
  /// False if it was closed, moved from, or default constructed.
  [[nodiscard]] bool is_open() const noexcept { return object_ && object_->loop; }

 protected:
  /// For the library: the object that the operations work on; null: closed.
  explicit datagram_socket(detail::io_object* object = nullptr) noexcept : object_(object) {}
  datagram_socket(const datagram_socket&) = default;
  datagram_socket& operator=(const datagram_socket&) = default;
  detail::io_object* object_;

 private:
  friend struct detail::datagram_access;
};

/// Memory for the datagrams of receive_batch, and a forward range of them. The constructor
/// allocates the memory.
///
/// A socket with receive_offload (udp.hpp) receives many small datagrams as one large one. It is
/// split without copying if the batch has 65535 bytes or more for each datagram; otherwise the
/// socket allocates a buffer, once, and copies the datagrams one by one.
template <class Endpoint = endpoint>
class datagram_batch : private detail::batch_memory {
 public:
  /// One datagram of a batch. Refers to the batch, and is valid until that is filled again.
  class datagram {
   public:
    /// The received bytes; a prefix of the datagram if it was truncated.
    [[nodiscard]] const_buffer data() const noexcept { return {data_, size_}; }
    [[nodiscard]] std::size_t size() const noexcept { return size_; }
    /// The length of the datagram when it was sent.
    [[nodiscard]] std::size_t length() const noexcept { return size_ + cut_; }
    /// True if it did not fit: its end is lost.
    [[nodiscard]] bool truncated() const noexcept { return cut_ != 0; }
    /// The sender.
    [[nodiscard]] Endpoint from() const noexcept {
      Endpoint e;
      unsigned size;
      const void* name = memory_->name(slot_, size);
      detail::sockaddr_traits<Endpoint>::codec.decode(name, size, &e);
      return e;
    }
    /// The ancillary data enabled in udp_socket_options.
    [[nodiscard]] packet_info info() const noexcept {
      packet_info packet;
      memory_->info(slot_, packet);
      return packet;
    }

   private:
    friend class datagram_batch;
    datagram(const detail::batch_memory* memory, const detail::batch_slot* slot, const char* data,
             std::size_t size, std::size_t cut) noexcept
        : memory_(memory), slot_(slot), data_(data), size_(size), cut_(cut) {}
    const detail::batch_memory* memory_;
    const detail::batch_slot* slot_;
    const char* data_;
    std::size_t size_;
    std::size_t cut_;
  };
  /// The type of its elements.
  using value_type = datagram;

  /// Room for `count` datagrams of up to `bytes_each` bytes. Memory that is never written to costs
  /// only address space. With 0 bytes each, only the lengths are received; with a count of 0, nothing.
  /// Throws std::invalid_argument for more than PTRDIFF_MAX bytes in all; std::bad_alloc.
  explicit datagram_batch(std::size_t count, std::size_t bytes_each = 65536)
      : batch_memory(count, bytes_each) {}
  /// Room for a datagram in each of the buffers, which must outlive the batch.
  explicit datagram_batch(std::span<const mutable_buffer> buffers)
      : batch_memory(buffers.data(), buffers.size()) {}

  /// A forward iterator whose reference is a value. Valid until the batch is filled again.
  class iterator {
   public:
    using value_type = datagram;
    using difference_type = std::ptrdiff_t;
    iterator() noexcept = default;
    value_type operator*() const noexcept {
      const std::size_t left = slot_->size - offset_;
      if (slot_->segment < left) return {memory_, slot_, slot_->data + offset_, slot_->segment, 0};
      return {memory_, slot_, slot_->data + offset_, left, slot_->length - slot_->size};
    }
    iterator& operator++() noexcept {
      offset_ += slot_->segment;
      if (offset_ >= slot_->size) {
        offset_ = 0;
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
    friend class datagram_batch;
    iterator(const batch_memory* memory, const detail::batch_slot* slot) noexcept
        : memory_(memory), slot_(slot) {}
    const batch_memory* memory_ = nullptr;
    const detail::batch_slot* slot_ = nullptr;
    std::size_t offset_ = 0;
  };

  /// The datagrams in the order of their arrival.
  [[nodiscard]] iterator begin() const noexcept { return {this, slot_array()}; }
  [[nodiscard]] iterator end() const noexcept { return {this, slot_array() + messages}; }
  /// The number of datagrams; those that were joined count one by one.
  [[nodiscard]] std::size_t size() const noexcept { return datagrams; }
  [[nodiscard]] bool empty() const noexcept { return datagrams == 0; }

 private:
  friend class datagram_socket<Endpoint>;
};
/// A batch of datagrams with endpoints.
datagram_batch(std::size_t) -> datagram_batch<endpoint>;

}  // namespace cosock

#include <cosock/detail/datagram.hpp>
