// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// Operations on datagrams: the start and the errors. The system calls are in
// datagram_descriptor.cpp.

#include <cosock/datagram.hpp>

#include "core/failure.hpp"
#include "net/sockaddr.hpp"

namespace cosock::detail {

namespace {

unsigned encode(const void* e, void* into, bool mapped) noexcept {
  return encode_endpoint(*static_cast<const endpoint*>(e), into, mapped);
}
void decode(const void* from, unsigned size, void* into) noexcept {
  decode_endpoint(from, size, *static_cast<endpoint*>(into));
}

}  // namespace

const sockaddr_codec sockaddr_traits<endpoint>::codec = {&encode, &decode};

step datagram_operation::start(std::coroutine_handle<> awaiting, cancel_node& parent) {
  bool nothing_to_do = false;
  if (kind_ == kind::receive_batch) {
    batch().messages = batch().datagrams = 0;
    nothing_to_do = batch().capacity() == 0;
  } else if (kind_ == kind::send_batch) {
    nothing_to_do = list().count == 0;
  }
  if (!enter(awaiting, parent)) return complete_or_yield();
  if (nothing_to_do && may_begin(target_, direction())) return complete_or_yield();
  // The flag may be false because another peer had no room.
  if (kind_ >= kind::send && may_begin(target_, writing)) target_->maybe_ready[writing] = true;
  return launch(target_, direction());
}

void datagram_operation::raise_failure() const {
  // With the address: its scope id names no interface, or the filter does not permit it.
  const boost::system::error_code code = to_error_code(failure_);
  if (kind_ >= kind::send && codec_ == &sockaddr_traits<endpoint>::codec && peer_ &&
      (code == boost::system::errc::no_such_device || code == error::address_denied))
    detail::raise(failure_, static_cast<const endpoint*>(peer_)->to_string());
  raise(failure_);
}

void datagram_operation::raise_batch_failure() const {
  if (moved_ != 0) {
    std::size_t bytes = 0;
    for (std::size_t i = 0; i != moved_; ++i) bytes += list().data(i).size();
    throw transfer_error(to_error_code(failure_), bytes, moved_);
  }
  raise(failure_);
}

step io_object::transfer_datagrams(datagram_operation& op) {
  return op.failed(system_failure(EOPNOTSUPP));
}

}  // namespace cosock::detail
