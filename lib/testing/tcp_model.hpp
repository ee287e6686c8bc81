// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// A simulated TCP socket: a reliable byte stream over links that lose, delay and reorder. As much of
// RFC 9293 as a program can observe: handshake, windows, retransmission with back-off, slow start,
// half close, reset, probes of idle and of full peers. The calls are in tcp_socket.cpp, the protocol
// is in tcp_protocol.cpp.

#include "testing/event_queue.hpp"
#include "testing/model_socket.hpp"

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>

namespace cosock::testing::detail {

class tcp_model final : public model_socket {
 public:
  tcp_model(machine& on, int family) noexcept;

  int bind(const sockaddr*, socklen_t) override;
  int listen(int backlog) override;
  int accept(sockaddr*, socklen_t*) override;
  int connect(const sockaddr*, socklen_t) override;
  int shutdown(int how) override;
  void close() override;
  void vanish() noexcept override;
  int getsockname(sockaddr*, socklen_t*) override;
  int getpeername(sockaddr*, socklen_t*) override;
  ssize_t receive(msghdr&, int flags) override;
  ssize_t send(const msghdr&) override;
  short state() const noexcept override;

  bool is_listening() const noexcept override { return phase_ == phase::listening; }
  /// A segment for this connection, or for this listening socket.
  void arrived(packet&);
  /// A router answers that the peer cannot be reached.
  void unreachable(int why);
  /// The answer to a segment that belongs to no connection.
  static void refuse(machine& on, const packet&);

  void on_time(std::uint64_t generation) override;
  void settle() override;
  std::uint32_t ports() const noexcept override {
    return std::uint32_t{own.port} << 16 | peer_.port;
  }

 private:
  enum class phase : unsigned char { fresh, listening, syn_sent, syn_received, open, closed };

  int apply(int level, int option, int value) override;

  // tcp_protocol.cpp
  void begin(name own_name, name peer_name);
  void connection_asked_for(packet&);
  bool established(packet&);
  void take_acknowledgement(const packet&);
  void take_data(packet&);
  void accept_bytes(packet&);
  void was_reset();
  void fail(int why);
  void leave_table();
  void end_if_done();
  void push();
  void send_segment(std::uint64_t sequence, std::size_t size, unsigned char flags);
  void send_acknowledgement() { send_segment(next_, 0, packet::ack); }
  void owe_acknowledgement();
  void push_later();
  void send_reset();
  std::size_t window() const noexcept;
  std::uint64_t data_end() const noexcept { return 1 + written_; }
  std::uint64_t send_end() const noexcept { return data_end() + (fin_queued_ ? 1 : 0); }
  bool in_flight() const noexcept { return unacknowledged_ < largest_; }
  bool is_fin_acknowledged() const noexcept { return fin_queued_ && unacknowledged_ == send_end(); }
  std::size_t unread() const noexcept { return in_.size() - in_at_; }
  std::size_t unsent_room() const noexcept;
  void measure(std::uint64_t acknowledged);
  void progress();
  std::int64_t deadline() const noexcept;
  std::int64_t keep_alive_at() const noexcept;
  void arm();
  void retransmit();
  bool gives_up() const noexcept;
  std::int64_t now() const noexcept;

  phase phase_ = phase::fresh;
  name peer_;
  // Listening.
  std::size_t backlog_ = 0;
  std::deque<std::shared_ptr<tcp_model>> accepted_;
  std::weak_ptr<tcp_model> listener_;
  // Sending. Sequence numbers are 64 bits wide and begin at 0, which is the SYN.
  std::string out_;
  std::size_t out_at_ = 0;     // what is before it is acknowledged
  std::uint64_t written_ = 0;  // bytes that the program has sent
  std::uint64_t unacknowledged_ = 0;
  std::uint64_t next_ = 0;
  std::uint64_t largest_ = 0;  // the largest next_
  std::uint64_t peer_window_ = 0;
  std::uint64_t congestion_window_ = 0;
  std::uint64_t threshold_ = UINT64_MAX;
  unsigned duplicates_ = 0;
  bool fin_queued_ = false;
  bool was_full_ = false;
  // Receiving.
  std::string in_;
  std::size_t in_at_ = 0;
  std::uint64_t expected_ = 0;
  std::map<std::uint64_t, std::string> early_;
  std::size_t early_size_ = 0;
  std::optional<std::uint64_t> fin_at_;
  std::uint64_t offered_ = 0;  // up to here the peer may send
  bool in_ended_ = false;
  bool owes_ = false;    // an acknowledgement
  bool pushes_ = false;  // in settle()
  bool closed_first_ = false;
  bool program_closed_ = false;
  bool in_table_ = false;
  bool reset_reported_ = false;
  bool receives_no_more_ = false;
  // Time.
  std::int64_t wait_ = 0;        // until the next retransmission
  std::int64_t round_trip_ = 0;  // smoothed; 0: not measured
  std::int64_t variation_ = 0;
  std::uint64_t measured_ = 0;  // acknowledging this ends the measurement
  std::int64_t measured_at_ = never;
  std::int64_t retransmit_at_ = never;
  std::int64_t stalled_since_ = never;
  std::int64_t heard_at_ = 0;
  std::int64_t ends_at_ = never;
  unsigned retries_ = 0;
  unsigned probes_ = 0;
  int soft_error_ = 0;
  std::int64_t timer_at_ = never;
  std::uint64_t generation_ = 0;
  std::size_t segment_ = 1460;
  // Options, as the protocol wants them.
  bool keeps_alive_ = false;
  std::int64_t user_timeout_ = 0;
};

}  // namespace cosock::testing::detail
