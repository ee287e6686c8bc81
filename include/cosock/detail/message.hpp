// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// The operations on datagrams that do not know the type of the endpoint, and the memory of a batch.
// The endpoint is a `void*` with functions that translate it, so that one copy of the code serves
// all families.

#include <cosock/detail/stream_operation.hpp>
#include <cosock/receive_result.hpp>

#include <memory>
#include <optional>

namespace cosock {
struct packet_info;
}

namespace cosock::detail {

/// Translates the endpoints of one family to and from the addresses of the system.
struct COSOCK_API sockaddr_codec {
  /// Writes to a sockaddr_storage, and returns the size. `mapped`: the socket is IPv6, so an IPv4
  /// address is written as an IPv4-mapped one.
  unsigned (*encode)(const void* endpoint, void* storage, bool mapped) noexcept;
  void (*decode)(const void* storage, unsigned size, void* endpoint) noexcept;
};
/// Specialized for each type of endpoint.
template <class Endpoint>
struct sockaddr_traits;

/// The datagrams of a batch to be sent, in an array of any type. An element begins with a
/// const_buffer, and has either nothing else or an endpoint, a pointer to a packet_info and a traffic
/// class at these offsets. Owns nothing.
struct outgoing_list {
  const char* first = nullptr;
  std::size_t count = 0;
  std::size_t stride = 0;
  std::size_t peer_at = 0;     // 0: `peer` for all
  std::size_t info_at = 0;     // of a pointer; not used if peer_at is 0
  std::size_t class_at = 0;    // of an optional int; not used if peer_at is 0
  const void* peer = nullptr;  // null: connected

  const const_buffer& data(std::size_t i) const noexcept {
    return *static_cast<const const_buffer*>(member(i, 0));
  }
  const void* destination(std::size_t i) const noexcept {
    return peer_at ? member(i, peer_at) : peer;
  }
  const packet_info* source(std::size_t i) const noexcept {
    return peer_at ? *static_cast<const packet_info* const*>(member(i, info_at)) : nullptr;
  }
  std::optional<int> traffic_class(std::size_t i) const noexcept {
    if (!peer_at) return std::nullopt;
    return *static_cast<const std::optional<int>*>(member(i, class_at));
  }
  const void* member(std::size_t i, std::size_t offset) const noexcept {
    return first + i * stride + offset;
  }
};

/// One message of a received batch: a datagram, or several that the system has joined (UDP_GRO).
/// Joined datagrams have the same size; the last one may be shorter.
struct batch_slot {
  const char* data;
  std::size_t size;     // in memory
  std::size_t length;   // as sent
  std::size_t segment;  // the size of each datagram but the last
};

/// The memory of a received batch, laid out for the system.
struct message_slots;
struct COSOCK_API message_slots_deleter {
  void operator()(message_slots*) const noexcept;
};

class COSOCK_API batch_memory {
 public:
  batch_memory(std::size_t count, std::size_t bytes_each);
  batch_memory(const mutable_buffer* buffers, std::size_t count);
  batch_memory(batch_memory&&) noexcept;
  batch_memory& operator=(batch_memory&&) noexcept;

  std::size_t capacity() const noexcept;
  batch_slot* slot_array() const noexcept { return slots_.get(); }
  message_slots& system() const noexcept { return *system_; }
  const void* name(const batch_slot*, unsigned& size) const noexcept;
  void info(const batch_slot*, packet_info&) const noexcept;

  std::size_t messages = 0;   // slots that are filled
  std::size_t datagrams = 0;  // in them

 private:
  std::unique_ptr<batch_slot[]> slots_;
  std::unique_ptr<message_slots, message_slots_deleter> system_;
};

/// Moves one datagram, or a batch. Refers to the pointer of the socket, not to its object, until it
/// starts: the socket may be closed before.
class COSOCK_API datagram_operation : public io_operation {
 public:
  enum class kind : unsigned char { receive, receive_batch, send, send_batch };

  step start(std::coroutine_handle<> awaiting, cancel_node& parent);
  failure fail() noexcept { return failure_; }
  bool has_details() const noexcept { return kind_ == kind::send_batch && moved_ != 0; }

  void describe_operation(wait_report& to) const override {
    to.operation(direction() == reading ? "the receive of a datagram" : "the send of a datagram");
  }

  // For the object's transfer().
  kind requested() const noexcept { return kind_; }
  io_direction direction() const noexcept { return kind_ < kind::send ? reading : writing; }
  bool contiguous() const noexcept { return gather_ == nullptr; }
  void* data() const noexcept { return const_cast<void*>(memory_); }
  std::size_t size() const noexcept { return size_; }
  std::size_t pieces(piece* out, std::size_t max_pieces) const {
    return gather_(memory_, 0, out, max_pieces);
  }
  const outgoing_list& list() const noexcept { return *static_cast<const outgoing_list*>(memory_); }
  batch_memory& batch() const noexcept { return *static_cast<batch_memory*>(data()); }
  /// Where the sender of a received datagram is stored, or the destination of a sent one; or null.
  void* peer() const noexcept { return peer_; }
  const sockaddr_codec& codec() const noexcept { return *codec_; }
  packet_info* info() const noexcept { return info_; }

  /// For the object's transfer(): reports a datagram of `length` bytes, of which `bytes` are in
  /// memory. Always done: a datagram is moved as a whole.
  step moved(std::size_t bytes, std::size_t length) noexcept {
    moved_ = bytes;
    length_ = length;
    return step::done;
  }
  /// For a batch that is sent: the number of datagrams that were sent so far.
  std::size_t& count() noexcept { return moved_; }
  step failed(failure why) noexcept {
    failure_ = why;
    return step::done;
  }

 protected:
  datagram_operation(kind requested, io_object* const& target, const void* memory, std::size_t size,
                     gather_function gather, const sockaddr_codec* codec) noexcept
      : target_(target),
        memory_(memory),
        size_(size),
        gather_(gather),
        codec_(codec),
        kind_(requested) {}
  datagram_operation(datagram_operation&& other) noexcept
      : target_(other.target_),
        memory_(other.memory_),
        size_(other.size_),
        gather_(other.gather_),
        codec_(other.codec_),
        info_(other.info_),
        kind_(other.kind_) {}
  ~datagram_operation() = default;

  step attempt() override { return object_->transfer_datagrams(*this); }
  void raise_if_failed() const {
    if (failure_) [[unlikely]]
      raise_failure();
  }
  [[noreturn]] void raise_failure() const;
  [[noreturn]] void raise_batch_failure() const;

  io_object* const& target_;
  const void* memory_;  // a buffer, a sequence of them, an outgoing_list or a batch_memory
  std::size_t size_;
  gather_function gather_;
  void* peer_ = nullptr;
  const sockaddr_codec* codec_;
  packet_info* info_ = nullptr;
  std::size_t moved_ = 0;
  std::size_t length_ = 0;
  kind kind_;
};

}  // namespace cosock::detail
