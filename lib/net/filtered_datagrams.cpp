// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#include "net/filtered_datagrams.hpp"

#include "core/failure.hpp"
#include "net/sockaddr.hpp"

#include <algorithm>
#include <utility>

namespace cosock::detail {

namespace {

/// The destinations of so many datagrams are checked before they are sent: again in each attempt,
/// because the list belongs to the caller.
constexpr std::size_t max_checked = 1024;

bool permits_endpoint(const address_filter& filter, const void* to) noexcept {
  return filter.permits(static_cast<const endpoint*>(to)->address());
}

/// Where the datagrams of a batch end that may be sent, from `first` on: at the first one to a denied
/// destination. A list without destinations is for the connected peer, which is permitted.
std::size_t permitted_end(const outgoing_list& list, std::size_t first,
                          const address_filter& filter) noexcept {
  if (!list.peer_at) return !list.peer || permits_endpoint(filter, list.peer) ? list.count : first;
  const std::size_t last = std::min(list.count - first, max_checked) + first;
  for (std::size_t i = first; i != last; ++i)
    if (!permits_endpoint(filter, list.destination(i))) return i;
  return last;
}

step denied(datagram_operation& op) noexcept {
  return op.failed(own_failure(error::address_denied));
}

}  // namespace

step filtered_datagrams::transfer_datagrams(datagram_operation& op) {
  switch (op.requested()) {
    case datagram_operation::kind::send:
      if (op.peer() && !permits_endpoint(filter_, op.peer())) return denied(op);
      return datagram_descriptor::transfer_datagrams(op);
    case datagram_operation::kind::send_batch: return send_permitted(op);
    default: return receive_permitted(op);
  }
}

/// Sends the datagrams in front of the first one that is denied, then fails.
step filtered_datagrams::send_permitted(datagram_operation& op) {
  outgoing_list permitted = op.list();
  while (op.count() != op.list().count) {
    permitted.count = permitted_end(op.list(), op.count(), filter_);
    if (permitted.count == op.count()) return denied(op);
    const step reached = send_messages(op, permitted);
    if (reached == step::pending || op.fail()) return reached;
  }
  return step::done;
}

/// Receives until there is something from a permitted sender. What others have sent is discarded, and
/// counts in the budget: they may send as fast as this receives.
step filtered_datagrams::receive_permitted(datagram_operation& op) {
  for (;;) {
    step reached = step::done;
    if (receives_permitted(op, reached)) return reached;
    if (--loop->budget <= 0) return step::pending;
  }
}

/// One attempt; false if all that it has received is discarded.
bool filtered_datagrams::receives_permitted(datagram_operation& op, step& reached) {
  if (op.requested() == datagram_operation::kind::receive_batch) {
    reached = datagram_descriptor::transfer_datagrams(op);
    if (reached == step::pending || op.fail()) return true;
    remove_denied(op.batch());
    return op.batch().messages != 0;
  }
  if (const int error = std::exchange(error_later_, 0)) {
    reached = op.failed(system_failure(error));
    return true;
  }
  name_buffer name;
  unsigned name_size = 0;
  reached = receive_message(op, name, name_size);
  if (reached == step::pending || op.fail()) return true;
  if (!uses_gro) return is_sender_permitted(name, name_size);
  gro_datagrams& joined = gro_data();
  if (is_sender_permitted(joined.name, joined.name_size)) return true;
  joined.full = false;  // the rest has the same sender
  return false;
}

bool filtered_datagrams::is_sender_permitted(const name_buffer& name,
                                             unsigned size) const noexcept {
  endpoint from;
  decode_endpoint(name.bytes, size, from);
  return permits(from.address());
}

void filtered_datagrams::remove_denied(batch_memory& batch) const noexcept {
  const message_slots& s = batch.system();
  batch_slot* const slots = batch.slot_array();
  std::size_t kept = 0;
  for (std::size_t i = 0; i != batch.messages; ++i) {
    const msghdr& header = s.headers[i].msg_hdr;
    if (!is_sender_permitted(s.names[i], header.msg_namelen)) {
      batch.datagrams -= datagrams_in(slots[i]);
      continue;
    }
    if (kept != i) {
      slots[kept] = slots[i];
      s.names[kept] = s.names[i];
      s.controls[kept] = s.controls[i];
      s.headers[kept].msg_hdr.msg_namelen = header.msg_namelen;
      s.headers[kept].msg_hdr.msg_controllen = header.msg_controllen;
    }
    ++kept;
  }
  batch.messages = kept;
}

}  // namespace cosock::detail
