// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cosock/address_range.hpp>

#include "net/datagram_descriptor.hpp"

namespace cosock::detail {

/// The descriptor of a UDP socket with a filter. A class of its own, so that a datagram costs nothing
/// more without one. Refers to the ranges of the filter, and does not own them.
class filtered_datagrams final : public datagram_descriptor {
 public:
  /// As descriptor::open().
  static datagram_descriptor* open(scheduler& loop, int fd, int family,
                                   const address_filter& filter) {
    if (is_simulated(fd)) return open_simulated(loop, fd, family, filter);
    return make<filtered_datagrams>(loop, fd, fd_kind::datagrams, false, family, filter);
  }
  /// For open().
  filtered_datagrams(scheduler& loop, int fd, fd_kind kind, bool shared, int family,
                     const address_filter& filter) noexcept
      : datagram_descriptor(loop, fd, kind, shared, family), filter_(filter) {}

  step transfer_datagrams(datagram_operation&) override;
  bool permits(const address& a) const noexcept override { return filter_.permits(a); }

 private:
  ~filtered_datagrams() override = default;
  step send_permitted(datagram_operation&);
  step receive_permitted(datagram_operation&);
  bool receives_permitted(datagram_operation&, step&);
  bool is_sender_permitted(const name_buffer& name, unsigned size) const noexcept;
  void remove_denied(batch_memory&) const noexcept;

  address_filter filter_;
};

}  // namespace cosock::detail
