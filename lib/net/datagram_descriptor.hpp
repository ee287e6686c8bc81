// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// The object behind datagram sockets. The socket owns it; its operations are those of
// detail/message.hpp.

#include <cosock/address_range.hpp>
#include <cosock/datagram.hpp>
#include <cosock/detail/timer.hpp>

#include "core/scheduler.hpp"
#include "io/descriptor.hpp"
#include "net/batch_memory.hpp"
#include "net/membership.hpp"
#include "net/outgoing_messages.hpp"

#include <memory>

namespace cosock::detail {

inline constexpr std::size_t largest_datagram = 65535;

/// Datagrams that the system had joined, on their way to somebody who takes one at a time.
struct gro_datagrams {
  char memory[largest_datagram + 1];
  std::size_t size = 0;
  std::size_t at = 0;
  std::size_t segment = 0;
  bool full = false;
  unsigned name_size = 0;
  std::size_t control_size = 0;
  name_buffer name;
  control_buffer control;
};

/// Tries again after a while, where the system does not tell when: a local datagram socket sends to
/// one whose queue is full.
class retry_timer final : public timer {
 public:
  explicit retry_timer(io_object& socket) noexcept : socket_(socket) {}
  void start(loop_state& loop) noexcept {
    start_timer(loop, later(current_time(loop), delay_));
    delay_ = std::min<std::int64_t>(2 * delay_, 20'000'000);
  }
  void reset() noexcept {
    stop_timer();
    delay_ = first;
  }
  void expire() noexcept override { socket_.ready(writing); }

 private:
  static constexpr std::int64_t first = 250'000;  // ns
  io_object& socket_;
  std::int64_t delay_ = first;
};

/// The descriptor of a datagram socket. filtered_datagrams.hpp derives one that applies a filter.
class datagram_descriptor : public descriptor {
 public:
  /// As descriptor::open().
  static datagram_descriptor* open(scheduler& loop, int fd, int family, bool shared) {
    if (is_simulated(fd)) return open_simulated(loop, fd, family, {});
    return make<datagram_descriptor>(loop, fd, fd_kind::datagrams, shared, family);
  }
  /// For open().
  datagram_descriptor(scheduler& loop, int fd, fd_kind kind, bool shared, int family) noexcept;

  void arm(io_direction) override;
  bool is_ready(io_direction) noexcept override;
  step transfer_datagrams(datagram_operation&) override;
  /// Whether datagrams may be sent to this address.
  virtual bool permits(const address&) const noexcept { return true; }

  datagram_traits traits;
  bool wants_control = false;  // there may be control messages
  bool uses_gro = false;       // UDP_GRO
  memberships groups;

 protected:
  ~datagram_descriptor() override = default;

  /// One datagram and its sender, which is in `name`, or for joined datagrams in gro_data().
  step receive_message(datagram_operation&, name_buffer& name, unsigned& name_size);
  /// Of the datagrams that the operation sends, those of this list, which begins like its own.
  step send_messages(datagram_operation&, const outgoing_list&);
  gro_datagrams& gro_data() noexcept { return *gro_data_; }

  /// Of a simulated network, with a filter or none.
  static datagram_descriptor* open_simulated(scheduler& loop, int fd, int family,
                                             const address_filter& filter);

  int error_later_ = 0;  // met after a part of a batch

 private:
  void on_events(unsigned) noexcept override;
  void on_detach() noexcept override { retry_.reset(); }
  void on_release() noexcept override { groups.clear(fd()); }

  step receive_message(datagram_operation&);
  step receive_messages(datagram_operation&);
  step receive_split(datagram_operation&);
  step send_message(datagram_operation&);
  step message_failed(datagram_operation&, int error) noexcept;
  bool has_gro_data() const noexcept { return gro_data_ && gro_data_->full; }
  bool receive_gro_data();
  ssize_t receive_control(iovec* pieces, std::size_t count, name_buffer&, unsigned& name_size,
                          control_buffer&, std::size_t& control_size) noexcept;
  void describe_slot(batch_memory&, std::size_t) const noexcept;

  bool retries_by_timer_ = false;  // readiness for what is being sent is not reported
  std::unique_ptr<gro_datagrams> gro_data_;
  retry_timer retry_;
  const void* sender_ = nullptr;  // the operation that retry_ is for
};

}  // namespace cosock::detail
