// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// The object of a custom_datagram_socket: the operations of datagram sockets, made from functions of
// the program that never wait.

#include <cosock/custom_datagram_socket.hpp>

#include "core/scoped_value.hpp"
#include "io/custom_base.hpp"
#include "loop/engine.hpp"
#include "net/batch_memory.hpp"
#include "net/outgoing_messages.hpp"

#include <algorithm>
#include <array>
#include <memory>
#include <optional>
#include <utility>

namespace cosock::detail {

/// The object of a custom_datagram_socket.
class custom_datagram_object final : public custom_base {
 public:
  custom_datagram_object(scheduler& owner, datagram_source& source) noexcept
      : custom_base(owner), source_(&source) {}
  ~custom_datagram_object() { close(false); }

  void attach(datagram_source& source) noexcept {
    source.attempts_first = source_->attempts_first;
    source_ = &source;
  }
  void arm(io_direction direction) override {
    probes_[direction] = source_->attempts_first;
    if (probes_[direction]) maybe_ready[direction] = true;
  }
  void notify(io_direction direction) noexcept {
    probes_[direction] = false;
    custom_base::notify(direction);
  }

  void close(bool tell) noexcept { close_now(tell); }

  bool is_ready(io_direction direction) noexcept override {
    if (probes_[direction]) maybe_ready[direction] = false;
    return maybe_ready[direction];
  }
  step transfer(stream_operation& op) override { return op.failed(system_failure(EOPNOTSUPP)); }

  step transfer_datagrams(datagram_operation& op) override {
    const scoped_value calling(calling_, std::optional(op.direction()));
    maybe_ready[op.direction()] = false;  // before the call, which may notify
    probes_[op.direction()] = false;
    source_->continues_batch = false;
    if (op.direction() == reading && error_later_)
      return failed(op, std::exchange(error_later_, boost::system::error_code()));
    switch (op.requested()) {
      case datagram_operation::kind::receive: return receive(op);
      case datagram_operation::kind::receive_batch: return receive_batch(op);
      case datagram_operation::kind::send: return send(op);
      case datagram_operation::kind::send_batch: return send_batch(op);
    }
    return step::done;
  }

 private:
  /// Ends the operation with this error, or waits.
  step failed(datagram_operation& op, const boost::system::error_code& code) {
    if (would_block(code)) return step::pending;
    maybe_ready[op.direction()] = true;
    return op.failed(to_failure(code));
  }

  /// Stores the buffers of the operation. Returns their number; more than max_pieces if there are more.
  template <class Buffer>
  static std::size_t buffers_of(const datagram_operation& op,
                                std::array<Buffer, max_pieces>& buffers) {
    if (op.contiguous()) {
      buffers[0] = Buffer(op.data(), op.size());
      return 1;
    }
    std::array<piece, max_pieces + 1> pieces;
    const std::size_t count = op.pieces(pieces.data(), pieces.size());
    for (std::size_t i = 0; i != std::min(count, max_pieces); ++i)
      buffers[i] = Buffer(pieces[i].data, pieces[i].size);
    return count;
  }

  step receive(datagram_operation& op) {
    std::array<mutable_buffer, max_pieces> into;
    const std::size_t count = std::min(buffers_of(op, into), max_pieces);
    std::size_t room = 0;
    for (std::size_t i = 0; i != count; ++i) room += into[i].size();
    packet_info unwanted;
    packet_info& info = op.info() ? *op.info() : unwanted;
    info = packet_info();
    boost::system::error_code code;
    const std::size_t length = source_->receive_one({into.data(), count}, op.peer(), info, code);
    if (code) return failed(op, code);
    maybe_ready[reading] = true;
    return op.moved(std::min(length, room), length);
  }

  step receive_batch(datagram_operation& op) {
    batch_memory& into = op.batch();
    const message_slots& s = into.system();
    boost::system::error_code code;
    for (; into.messages != s.capacity; ++into.messages, ++into.datagrams) {
      const std::size_t i = into.messages;
      const mutable_buffer buffer(s.pieces[i].iov_base, s.pieces[i].iov_len);
      packet_info unwanted;
      source_->continues_batch = into.messages != 0;
      const std::size_t length = source_->receive_one({&buffer, 1}, nullptr, unwanted, code);
      if (code) break;
      msghdr& header = s.headers[i].msg_hdr;
      header.msg_namelen = source_->encode(s.names[i].bytes);
      header.msg_controllen = 0;
      const std::size_t size = std::min(length, buffer.size());
      into.slot_array()[i] = {static_cast<const char*>(buffer.data()), size, length, size};
    }
    if (code && into.messages == 0) return failed(op, code);
    if (!would_block(code)) {
      maybe_ready[reading] = true;
      error_later_ = code;
    }
    loop->budget -= static_cast<int>(into.messages / 4);
    return step::done;
  }

  step send(datagram_operation& op) {
    std::array<const_buffer, max_pieces> from;
    const std::size_t count = buffers_of(op, from);
    if (count > max_pieces) return op.failed(system_failure(EMSGSIZE));
    std::size_t size = 0;
    for (std::size_t i = 0; i != count; ++i) size += from[i].size();
    boost::system::error_code code;
    source_->send_one({from.data(), count}, op.peer(), op.info(), code);
    if (code) return failed(op, code);
    maybe_ready[writing] = true;
    return op.moved(size, size);
  }

  step send_batch(datagram_operation& op) {
    const outgoing_list& list = op.list();
    for (std::size_t& sent = op.count(); sent != list.count; ++sent) {
      boost::system::error_code code;
      source_->continues_batch = sent != 0;
      source_->send_one({&list.data(sent), 1}, list.destination(sent), list.source(sent), code);
      if (code) return failed(op, code);
    }
    maybe_ready[writing] = true;
    loop->budget -= static_cast<int>(list.count / 4);
    return step::done;
  }

  void on_closed() noexcept override { source_->closed(); }

  datagram_source* source_;
  bool probes_[2] = {};  // maybe_ready is true only to have the next operation begin with a call
  boost::system::error_code error_later_;  // met after a part of a batch
};

custom_datagram_handle::custom_datagram_handle(cosock::loop* loop, datagram_source& source)
    : object_(std::make_unique<custom_datagram_object>(
          loop ? engine::get(*loop) : scheduler::required(), source)) {}
custom_datagram_handle::custom_datagram_handle(custom_datagram_handle&&) noexcept = default;
custom_datagram_handle& custom_datagram_handle::operator=(custom_datagram_handle&&) noexcept =
    default;
custom_datagram_handle::~custom_datagram_handle() = default;

io_object* custom_datagram_handle::get() const noexcept { return object_.get(); }
void custom_datagram_handle::attach(datagram_source& source) noexcept {
  if (object_) object_->attach(source);
}
void custom_datagram_handle::close() noexcept {
  if (object_) object_->close(true);
}
void custom_datagram_handle::notify(io_direction direction) noexcept {
  if (object_) object_->notify(direction);
}

}  // namespace cosock::detail
