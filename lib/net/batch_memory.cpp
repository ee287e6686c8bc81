// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// The memory of a received batch, laid out for recvmmsg(2) once, when the batch is made. Filled by
// datagram_descriptor. It does not own buffers that the program has passed.

#include "net/batch_memory.hpp"

#include <cosock/detail/size.hpp>

#include <algorithm>
#include <utility>

namespace cosock::detail {

void message_slots_deleter::operator()(message_slots* s) const noexcept { delete s; }

batch_memory::batch_memory(std::size_t count, std::size_t bytes_each)
    : slots_(new batch_slot[checked_size("the number of datagrams of a batch", count,
                                         sizeof(control_buffer) + sizeof(name_buffer))]),
      system_(new message_slots) {
  if (count != 0) checked_size("the bytes of each datagram of a batch", bytes_each, count);
  message_slots& s = *system_;
  s.capacity = count;
  s.smallest = bytes_each;
  s.headers.reset(new mmsghdr[count]);
  s.pieces.reset(new iovec[count]);
  s.names.reset(new name_buffer[count]);
  s.controls.reset(new control_buffer[count]);
  s.memory.reset(static_cast<char*>(::operator new[](count* bytes_each, message_slots::page)));
  for (std::size_t i = 0; i != count; ++i)
    s.pieces[i] = {s.memory.get() + i * bytes_each, bytes_each};
}

batch_memory::batch_memory(const mutable_buffer* buffers, std::size_t count)
    : batch_memory(count, 0) {
  message_slots& s = *system_;
  s.smallest = count ? buffers[0].size() : 0;
  for (std::size_t i = 0; i != count; ++i) {
    s.pieces[i] = {buffers[i].data(), buffers[i].size()};
    s.smallest = std::min(s.smallest, buffers[i].size());
  }
}

batch_memory::batch_memory(batch_memory&& other) noexcept
    : messages(std::exchange(other.messages, 0)),
      datagrams(std::exchange(other.datagrams, 0)),
      slots_(std::move(other.slots_)),
      system_(std::move(other.system_)) {}

batch_memory& batch_memory::operator=(batch_memory&& other) noexcept {
  slots_ = std::move(other.slots_);
  system_ = std::move(other.system_);
  messages = std::exchange(other.messages, 0);
  datagrams = std::exchange(other.datagrams, 0);
  return *this;
}

std::size_t batch_memory::capacity() const noexcept { return system_ ? system_->capacity : 0; }

const void* batch_memory::name(const batch_slot* slot, unsigned& size) const noexcept {
  const auto i = slot - slots_.get();
  size = system_->headers[i].msg_hdr.msg_namelen;
  return system_->names[i].bytes;
}

void batch_memory::info(const batch_slot* slot, packet_info& into) const noexcept {
  const auto i = slot - slots_.get();
  read_packet_info(system_->controls[i].bytes, system_->headers[i].msg_hdr.msg_controllen, into);
}

}  // namespace cosock::detail
