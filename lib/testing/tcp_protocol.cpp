// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// Segments, acknowledgements and timers of simulated TCP connections (RFC 9293, RFC 6298, RFC 5681).

#include "testing/machine.hpp"
#include "testing/simulation.hpp"
#include "testing/tcp_model.hpp"

#include <netinet/tcp.h>

#include <algorithm>
#include <memory>

namespace cosock::testing::detail {

namespace {

using cosock::detail::io_watch;

constexpr unsigned everything = io_watch::readable | io_watch::writable | io_watch::exceptional;
constexpr std::int64_t second = 1'000'000'000;
constexpr std::int64_t time_wait = 60 * second;
constexpr std::int64_t first_wait = second;
constexpr std::int64_t least_wait = second / 5;
constexpr std::int64_t longest_wait = 120 * second;

}  // namespace

std::int64_t tcp_model::now() const noexcept { return host.in.now; }

void tcp_model::begin(name own_name, name peer_name) {
  own = own_name;
  peer_ = peer_name;
  // Over the loopback interface segments are as large as its MTU allows.
  segment_ = host.is_own(peer_) ? 65483 : 1460;
  congestion_window_ = 10 * segment_;
  wait_ = first_wait;
  heard_at_ = now();
  host.connections[{own, peer_}] = std::static_pointer_cast<tcp_model>(shared_from_this());
  in_table_ = true;
}

void tcp_model::refuse(machine& on, const packet& p) {
  if (p.flags & packet::reset) return;
  packet answer;
  answer.flags = packet::reset | packet::ack;
  answer.from = p.to;
  answer.to = p.from;
  answer.sequence = p.acknowledged;
  answer.acknowledged = p.sequence + p.data.size() + ((p.flags & packet::syn) ? 1 : 0);
  on.send(std::move(answer));
}

void tcp_model::connection_asked_for(packet& p) {
  // The system drops what does not fit: the peer tries again.
  if (accepted_.size() > backlog_) return;
  const auto child = std::make_shared<tcp_model>(host, family);
  child->inherit(*this);
  child->keeps_alive_ = keeps_alive_;
  child->user_timeout_ = user_timeout_;
  child->begin(p.to, p.from);
  child->phase_ = phase::syn_received;
  child->listener_ = std::static_pointer_cast<tcp_model>(shared_from_this());
  child->expected_ = p.sequence + 1;
  child->peer_window_ = p.window;
  child->next_ = child->largest_ = 1;
  child->stalled_since_ = now();
  child->retransmit_at_ = now() + child->wait_;
  child->send_segment(0, 0, packet::syn | packet::ack);
  child->arm();
}

void tcp_model::arrived(packet& p) {
  const auto self = shared_from_this();
  if (phase_ == phase::listening) {
    if (p.flags & packet::reset) return;
    if (p.flags & packet::ack) return refuse(host, p);
    if (p.flags & packet::syn) connection_asked_for(p);
    return;
  }
  if (p.flags & packet::reset) {
    if (phase_ == phase::syn_sent ? p.acknowledged == 1 : p.sequence >= expected_) was_reset();
    return;
  }
  if (phase_ == phase::syn_sent || phase_ == phase::syn_received) {
    if (!established(p)) return;
  } else if (p.flags & packet::syn) {
    return send_acknowledgement();  // the one before was lost
  }
  heard_at_ = now();
  probes_ = 0;
  take_acknowledgement(p);
  take_data(p);
  push_later();
  end_if_done();
  arm();
}

/// The second or third segment of the handshake; false if there is nothing more to do with it.
bool tcp_model::established(packet& p) {
  const bool syn = (p.flags & packet::syn) != 0;
  if (phase_ == phase::syn_received) {
    if (syn) {
      send_segment(0, 0, packet::syn | packet::ack);
      return false;
    }
    const std::shared_ptr<tcp_model> listener = listener_.lock();
    if (!listener || listener->phase_ != phase::listening) {
      send_reset();
      phase_ = phase::closed;
      leave_table();
      return false;
    }
    if (listener->accepted_.size() > listener->backlog_) return false;
    phase_ = phase::open;
    listener->accepted_.push_back(std::static_pointer_cast<tcp_model>(shared_from_this()));
    listener->notify(io_watch::readable);
  } else {
    if (!syn || !(p.flags & packet::ack)) return false;
    phase_ = phase::open;
    expected_ = p.sequence + 1;
    offered_ = expected_ + window();
    notify(io_watch::writable);
    owe_acknowledgement();
  }
  unacknowledged_ = 1;
  peer_window_ = p.window;
  if (retries_ == 0) {
    measured_ = 1;
    measured_at_ = stalled_since_;
    measure(1);
  }
  progress();
  return true;
}

void tcp_model::measure(std::uint64_t acknowledged) {
  if (measured_at_ == never || acknowledged < measured_) return;
  const std::int64_t took = now() - std::exchange(measured_at_, never);
  if (round_trip_ == 0) {
    round_trip_ = std::max<std::int64_t>(took, 1);
    variation_ = took / 2;
  } else {
    const std::int64_t off = took > round_trip_ ? took - round_trip_ : round_trip_ - took;
    variation_ += (off - variation_) / 4;
    round_trip_ += (took - round_trip_) / 8;
  }
}

/// The peer has acknowledged something: the waits begin again.
void tcp_model::progress() {
  retries_ = 0;
  soft_error_ = 0;
  wait_ = round_trip_ == 0 ? first_wait
                           : std::clamp(round_trip_ + std::max(4 * variation_, least_wait),
                                        least_wait, longest_wait);
  stalled_since_ = in_flight() ? now() : never;
  retransmit_at_ = in_flight() ? now() + wait_ : never;
}

void tcp_model::take_acknowledgement(const packet& p) {
  if (!(p.flags & packet::ack) || p.acknowledged > largest_ || p.acknowledged < unacknowledged_)
    return;
  if (p.acknowledged == unacknowledged_) {
    const bool duplicate =
        in_flight() && p.data.empty() && !(p.flags & packet::fin) && p.window == peer_window_;
    peer_window_ = p.window;
    if (!in_flight()) {  // the answer to a probe of a full window
      retries_ = 0;
      stalled_since_ = never;
      retransmit_at_ = never;
    }
    if (!duplicate || ++duplicates_ != 3) return;
    threshold_ = std::max<std::uint64_t>((largest_ - unacknowledged_) / 2, 2 * segment_);
    congestion_window_ = threshold_;
    measured_at_ = never;
    const std::uint64_t end = std::min<std::uint64_t>(data_end(), unacknowledged_ + segment_);
    const std::size_t size = end > unacknowledged_ ? end - unacknowledged_ : 0;
    const bool fin = fin_queued_ && largest_ == send_end() && end == data_end();
    send_segment(unacknowledged_, size,
                 static_cast<unsigned char>(packet::ack | (fin ? packet::fin : 0)));
    return;
  }
  const std::uint64_t gone = std::min(p.acknowledged, data_end()) -
                             std::max<std::uint64_t>(std::min(unacknowledged_, data_end()), 1);
  out_at_ += gone;
  if (out_at_ == out_.size()) {
    out_.clear();
    out_at_ = 0;
  }
  const std::uint64_t step = p.acknowledged - unacknowledged_;
  unacknowledged_ = p.acknowledged;
  next_ = std::max(next_, unacknowledged_);
  peer_window_ = p.window;
  duplicates_ = 0;
  if (congestion_window_ < threshold_)
    congestion_window_ += std::min<std::uint64_t>(step, 2 * segment_);
  else
    congestion_window_ += std::max<std::uint64_t>(segment_ * segment_ / congestion_window_, 1);
  congestion_window_ = std::min<std::uint64_t>(congestion_window_, 4 << 20);
  measure(unacknowledged_);
  progress();
  if (was_full_ && 3 * unsent_room() >= send_room()) {
    was_full_ = false;
    notify(io_watch::writable);
  }
}

void tcp_model::take_data(packet& p) {
  const bool fin = (p.flags & packet::fin) != 0;
  if (p.data.empty() && !fin) {
    if (p.sequence < expected_) owe_acknowledgement();  // a probe, or an old segment
    return;
  }
  owe_acknowledgement();
  const std::uint64_t end = p.sequence + p.data.size();
  if (fin) fin_at_ = end;
  // The program will not read it: the peer has to know.
  if (program_closed_ && end > expected_ && !p.data.empty()) {
    send_reset();
    phase_ = phase::closed;
    leave_table();
    return;
  }
  if (p.sequence > expected_) {
    const std::size_t room = receive_room() - std::min(receive_room(), unread() + early_size_);
    if (p.data.size() <= room && early_.emplace(p.sequence, p.data).second)
      early_size_ += p.data.size();
    return send_acknowledgement();  // at once, so that the peer learns of the gap
  }
  accept_bytes(p);
}

void tcp_model::accept_bytes(packet& p) {
  const std::uint64_t before = expected_;
  const auto append = [this](std::uint64_t at, const std::string& data) {
    if (at + data.size() <= expected_) return;
    const std::size_t skipped = expected_ - at;
    const std::size_t room = receive_room() - std::min(receive_room(), unread());
    const std::size_t n = std::min(data.size() - skipped, room);
    in_.append(data, skipped, n);
    expected_ += n;
  };
  append(p.sequence, p.data);
  while (!early_.empty() && early_.begin()->first <= expected_) {
    const auto first = early_.begin();
    append(first->first, first->second);
    early_size_ -= first->second.size();
    early_.erase(first);
  }
  const bool ends = fin_at_ && expected_ == *fin_at_ && !in_ended_;
  if (ends) {
    in_ended_ = true;
    ++expected_;
  }
  if (expected_ != before) notify(io_watch::readable);
  if (ends && fin_queued_) notify(everything);
}

void tcp_model::was_reset() {
  if (phase_ == phase::syn_sent) return fail(ECONNREFUSED);
  fail(in_ended_ && !fin_queued_ ? EPIPE : ECONNRESET);
}

void tcp_model::unreachable(int why) {
  if (phase_ == phase::syn_sent) return fail(why);
  soft_error_ = why;
}

void tcp_model::fail(int why) {
  phase_ = phase::closed;
  error = why;
  leave_table();
  notify(everything);
}

void tcp_model::leave_table() {
  if (!std::exchange(in_table_, false)) return;
  ++generation_;
  timer_at_ = retransmit_at_ = ends_at_ = never;
  host.connections.erase({own, peer_});
}

/// Both directions have ended, and the program has closed the socket.
void tcp_model::end_if_done() {
  if (phase_ != phase::open || !program_closed_ || !is_fin_acknowledged()) return;
  if (!in_ended_) {  // the peer may go on to send, but not for long
    if (ends_at_ == never) ends_at_ = now() + time_wait;
    return;
  }
  if (!closed_first_) {
    if (owes_) send_acknowledgement();
    phase_ = phase::closed;
    return leave_table();
  }
  ends_at_ = now() + time_wait;
}

std::size_t tcp_model::window() const noexcept {
  const std::size_t used = unread() + early_size_;
  return used < receive_room() ? receive_room() - used : 0;
}

void tcp_model::send_segment(std::uint64_t sequence, std::size_t size, unsigned char flags) {
  packet p;
  p.flags = flags;
  p.from = own;
  p.to = peer_;
  p.sequence = sequence;
  p.acknowledged = (flags & packet::ack) ? expected_ : 0;
  // What was offered once stays so.
  offered_ = std::max<std::uint64_t>(offered_, expected_ + window());
  p.window = offered_ - expected_;
  if (size != 0) {
    const std::uint64_t base = std::max<std::uint64_t>(unacknowledged_, 1);
    p.data.assign(out_, out_at_ + (sequence - base), size);
  }
  owes_ = false;
  host.send(std::move(p));
}

void tcp_model::push() {
  if (phase_ != phase::open) return;
  while (next_ < send_end()) {
    std::size_t size = 0;
    if (next_ < data_end()) {
      const std::uint64_t limit = unacknowledged_ + std::min(congestion_window_, peer_window_);
      if (next_ >= limit) break;
      size = std::min<std::uint64_t>({segment_, data_end() - next_, limit - next_});
      // Not in small pieces, where a window opens slowly.
      if (size < segment_ && size < data_end() - next_ && in_flight()) break;
    }
    const bool fin = fin_queued_ && next_ + size == data_end();
    const std::uint64_t at = next_;
    if (!in_flight()) {
      stalled_since_ = now();
      retransmit_at_ = now() + wait_;
    }
    if (measured_at_ == never && next_ >= largest_) {
      measured_ = next_ + size + (fin ? 1 : 0);
      measured_at_ = now();
    }
    next_ += size + (fin ? 1 : 0);
    largest_ = std::max(largest_, next_);
    send_segment(at, size, static_cast<unsigned char>(packet::ack | (fin ? packet::fin : 0)));
  }
  // The window is full: asks from time to time, because the news that it opens may be lost.
  if (!in_flight() && next_ < send_end() && retransmit_at_ == never) {
    stalled_since_ = now();
    retransmit_at_ = now() + wait_;
  }
}

void tcp_model::owe_acknowledgement() {
  owes_ = true;
  push_later();
}

/// When the loops have run: what a program writes at one time goes in as few segments as fit.
void tcp_model::push_later() {
  if (std::exchange(pushes_, true)) return;
  host.in.owed.push_back(std::static_pointer_cast<timed>(shared_from_this()));
}

void tcp_model::settle() {
  pushes_ = false;
  push();
  if (owes_ && phase_ == phase::open) send_acknowledgement();
  owes_ = false;
  arm();
}

void tcp_model::send_reset() {
  push();  // what was sent before goes first
  packet p;
  p.flags = packet::reset | packet::ack;
  p.from = own;
  p.to = peer_;
  p.sequence = next_;
  p.acknowledged = expected_;
  host.send(std::move(p));
}

}  // namespace cosock::testing::detail
