// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// The timers of simulated TCP connections: retransmission, full windows, keep-alive, the user timeout,
// and the end of what the program has closed. One event at most waits in the queue for all of them.

#include "testing/machine.hpp"
#include "testing/simulation.hpp"
#include "testing/tcp_model.hpp"

#include <netinet/tcp.h>

#include <algorithm>
#include <memory>

namespace cosock::testing::detail {

namespace {

constexpr std::int64_t second = 1'000'000'000;
constexpr std::int64_t longest_wait = 120 * second;
// The defaults of the system: tcp_syn_retries, tcp_synack_retries, tcp_retries2, tcp_orphan_retries.
constexpr unsigned syn_retries = 6;
constexpr unsigned answer_retries = 5;
constexpr unsigned data_retries = 15;
constexpr unsigned orphan_retries = 8;

}  // namespace

std::int64_t tcp_model::keep_alive_at() const noexcept {
  if (!keeps_alive_ || phase_ != phase::open || in_flight() || program_closed_) return never;
  const std::int64_t idle = option(IPPROTO_TCP, TCP_KEEPIDLE) * second;
  const std::int64_t interval = option(IPPROTO_TCP, TCP_KEEPINTVL) * second;
  return heard_at_ + idle + interval * probes_;
}

std::int64_t tcp_model::deadline() const noexcept {
  std::int64_t first = std::min({retransmit_at_, ends_at_, keep_alive_at()});
  if (user_timeout_ != 0 && retransmit_at_ != never && stalled_since_ != never)
    first = std::min(first, stalled_since_ + user_timeout_);
  return first;
}

void tcp_model::arm() {
  if (!in_table_) return;
  const std::int64_t at = deadline();
  if (at >= timer_at_) return;  // the one that is set looks again
  timer_at_ = at;
  host.in.set_timer(at, std::static_pointer_cast<timed>(shared_from_this()), ++generation_);
}

bool tcp_model::gives_up() const noexcept {
  if (user_timeout_ != 0) return stalled_since_ != never && now() >= stalled_since_ + user_timeout_;
  if (phase_ == phase::syn_sent) return retries_ >= syn_retries;
  if (phase_ == phase::syn_received) return retries_ >= answer_retries;
  return retries_ >= (program_closed_ ? orphan_retries : data_retries);
}

void tcp_model::on_time(std::uint64_t generation) {
  if (generation != generation_ || !in_table_) return;
  const auto self = shared_from_this();
  timer_at_ = never;
  if (now() >= ends_at_) {
    phase_ = phase::closed;
    return leave_table();
  }
  const bool waits = retransmit_at_ != never;
  if (waits && (now() >= retransmit_at_ || (user_timeout_ != 0 && gives_up()))) {
    if (gives_up()) return fail(soft_error_ ? soft_error_ : ETIMEDOUT);
    retransmit();
  }
  if (now() >= keep_alive_at()) {
    const std::int64_t idle = option(IPPROTO_TCP, TCP_KEEPIDLE) * second;
    const bool dead = user_timeout_ != 0
                          ? probes_ != 0 && now() >= heard_at_ + std::max(user_timeout_, idle)
                          : probes_ >= static_cast<unsigned>(option(IPPROTO_TCP, TCP_KEEPCNT));
    if (dead) {
      send_reset();
      return fail(soft_error_ ? soft_error_ : ETIMEDOUT);
    }
    ++probes_;
    send_segment(next_ - 1, 0, packet::ack);
  }
  arm();
}

void tcp_model::retransmit() {
  ++retries_;
  wait_ = std::min(2 * wait_, longest_wait);
  retransmit_at_ = now() + wait_;
  measured_at_ = never;
  switch (phase_) {
    case phase::syn_sent: return send_segment(0, 0, packet::syn);
    case phase::syn_received: return send_segment(0, 0, packet::syn | packet::ack);
    case phase::open: break;
    default: return;
  }
  if (!in_flight()) return send_segment(next_ - 1, 0, packet::ack);  // the window is full
  threshold_ = std::max<std::uint64_t>((largest_ - unacknowledged_) / 2, 2 * segment_);
  congestion_window_ = segment_;
  duplicates_ = 0;
  next_ = unacknowledged_;
  push();
}

}  // namespace cosock::testing::detail
