// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cosock/datagram.hpp>
#include <cosock/detail/timer.hpp>

#include "core/scheduler.hpp"
#include "net/membership.hpp"

#include <netinet/in.h>
#include <sys/socket.h>

#include <cstdint>
#include <limits>
#include <memory>
#include <new>

namespace cosock::detail {

inline constexpr std::size_t largest_datagram = 65535;

/// Any socket address; smaller than sockaddr_storage, which matters for a batch of them.
struct alignas(8) name_buffer {
  char bytes[112];
  sockaddr* get() noexcept { return reinterpret_cast<sockaddr*>(bytes); }
};
/// Room for every control message that the library asks for.
struct alignas(cmsghdr) control_buffer {
  char bytes[256];
};

/// What a batch hands to the system.
struct message_slots {
  std::size_t capacity = 0;
  std::size_t smallest = 0;  // of the buffers
  std::unique_ptr<mmsghdr[]> headers;
  std::unique_ptr<iovec[]> pieces;
  std::unique_ptr<name_buffer[]> names;
  std::unique_ptr<control_buffer[]> controls;
  struct release {
    void operator()(char* p) const noexcept { ::operator delete[](p, page); }
  };
  std::unique_ptr<char[], release> memory;
  /// Copying is several times slower into memory that is not aligned.
  static constexpr std::align_val_t page{4096};
};

/// Datagrams that the system had joined, on their way to somebody who takes one at a time.
struct joined_datagrams {
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
  explicit retry_timer(source& of) noexcept : of_(of) {}
  void start(core& on) noexcept {
    start_timer(on, later(steady_now(), delay_));
    delay_ = std::min<std::int64_t>(2 * delay_, 20'000'000);
  }
  void reset() noexcept {
    stop_timer();
    delay_ = first;
  }
  void expire() noexcept override { of_.ready(writing); }

 private:
  static constexpr std::int64_t first = 250'000;  // ns
  source& of_;
  std::int64_t delay_ = first;
};

/// What a descriptor of a datagram socket has besides.
struct datagram_state {
  explicit datagram_state(source& of) noexcept : retry(of) {}
  int family = AF_INET;
  bool controls = false;  // there may be control messages
  bool joins = false;     // UDP_GRO
  bool polls = false;     // readiness for what is being sent is not reported
  /// Datagrams from this size on are not left to the system to split: it has refused.
  std::size_t unsplit_from = std::numeric_limits<std::size_t>::max();
  int error_later = 0;  // met after a part of a batch
  std::unique_ptr<joined_datagrams> joined;
  retry_timer retry;
  const void* sender = nullptr;  // the operation that retry is for
  memberships groups;

  bool has_joined() const noexcept { return joined && joined->full; }
};

}  // namespace cosock::detail
