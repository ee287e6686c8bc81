// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// The socket calls on simulated TCP sockets, as tcp(7) describes them.

#include "testing/machine.hpp"
#include "testing/simulation.hpp"
#include "testing/tcp_model.hpp"

#include <netinet/tcp.h>

#include <algorithm>
#include <memory>

namespace cosock::testing::detail {

namespace {

constexpr std::int64_t second = 1'000'000'000;
/// The system keeps the end of a connection for so long.
constexpr std::int64_t time_wait = 60 * second;

}  // namespace

tcp_model::tcp_model(machine& on, int of_family) noexcept
    : model_socket(on, of_family, SOCK_STREAM) {}

int tcp_model::apply(int level, int name, int value) {
  if (level == SOL_SOCKET && name == SO_KEEPALIVE) keeps_alive_ = value != 0;
  if (level == IPPROTO_TCP && name == TCP_USER_TIMEOUT)
    user_timeout_ = std::int64_t{value} * 1'000'000;
  if (phase_ == phase::open) {
    if (level == SOL_SOCKET && name == SO_KEEPALIVE) heard_at_ = now();
    arm();
  }
  return 0;
}

int tcp_model::bind(const sockaddr* at, socklen_t size) {
  name wanted;
  if (!read_name(at, size, family, wanted)) return -EAFNOSUPPORT;
  if (phase_ != phase::fresh || is_bound) return -EINVAL;
  if (!wanted.is_any() && !host.is_own(wanted)) return -EADDRNOTAVAIL;
  own = wanted;
  return -host.bind(host.tcp_ports, *this, own);
}

int tcp_model::listen(int backlog) {
  if (phase_ != phase::fresh && phase_ != phase::listening) return -EINVAL;
  if (!is_bound) {
    own = any_name(family == AF_INET);
    if (const int failed = host.bind(host.tcp_ports, *this, own)) return -failed;
  }
  backlog_ = static_cast<std::size_t>(std::clamp(backlog, 0, 4096));
  phase_ = phase::listening;
  return 0;
}

int tcp_model::accept(sockaddr* at, socklen_t* size) {
  if (phase_ != phase::listening) return -EINVAL;
  if (accepted_.empty()) return -EAGAIN;
  if (!host.has_room()) return -EMFILE;
  const std::shared_ptr<tcp_model> first = std::move(accepted_.front());
  accepted_.pop_front();
  write_name(first->peer_, family, at, size);
  return host.open(first);
}

int tcp_model::connect(const sockaddr* to, socklen_t size) {
  name peer;
  if (!read_name(to, size, family, peer)) return -EAFNOSUPPORT;
  switch (phase_) {
    case phase::fresh: break;
    case phase::syn_sent: return -EALREADY;
    case phase::listening:
    case phase::closed: return -EINVAL;
    default: return -EISCONN;
  }
  if (peer.is_multicast()) return -ENETUNREACH;
  if (peer.is_any()) peer = name{loopback_name(peer.is_v4()).ip, peer.port};
  if (peer.is_v4() && family == AF_INET6 && option(IPPROTO_IPV6, IPV6_V6ONLY) != 0)
    return -ENETUNREACH;
  name source = own;
  if (!is_bound || own.is_any()) {
    if (!host.source_for(peer, source)) return -ENETUNREACH;
    source.port = own.port;
  }
  if (source.port == 0) source.port = host.port_to(source, peer);
  if (source.port == 0 || host.connections.contains({source, peer})) return -EADDRNOTAVAIL;
  begin(source, peer);
  phase_ = phase::syn_sent;
  offered_ = window();
  next_ = largest_ = 1;
  stalled_since_ = now();
  retransmit_at_ = now() + wait_;
  send_segment(0, 0, packet::syn);
  arm();
  return -EINPROGRESS;
}

int tcp_model::shutdown(int how) {
  if (phase_ == phase::listening) return -ENOTCONN;
  if (phase_ != phase::open && phase_ != phase::syn_received) return -ENOTCONN;
  if (how != SHUT_WR) receives_no_more_ = true;
  if (how == SHUT_RD || fin_queued_) return 0;
  fin_queued_ = true;
  closed_first_ = !in_ended_;
  push_later();
  notify(cosock::detail::io_watch::writable);
  return 0;
}

void tcp_model::close() {
  watch = nullptr;
  if (is_bound) machine::unbind(host.tcp_ports, *this, own.port);
  is_bound = false;
  program_closed_ = true;
  switch (phase_) {
    case phase::listening:
      for (const std::shared_ptr<tcp_model>& waiting : std::exchange(accepted_, {})) {
        waiting->send_reset();
        waiting->leave_table();
      }
      phase_ = phase::closed;
      return;
    case phase::open: break;
    default:
      if (phase_ == phase::syn_received) send_reset();
      phase_ = phase::closed;
      return leave_table();
  }
  // What was not read is lost, and the peer must hear of it (RFC 2525, section 2.17).
  if (unread() != 0 || lingers_at_once()) {
    send_reset();
    phase_ = phase::closed;
    return leave_table();
  }
  if (!fin_queued_) {
    fin_queued_ = true;
    closed_first_ = !in_ended_;
    push_later();
  }
  end_if_done();
  if (!in_table_) return;
  if (ends_at_ == never && is_fin_acknowledged()) ends_at_ = now() + time_wait;
  arm();
}

void tcp_model::vanish() noexcept {
  watch = nullptr;
  phase_ = phase::closed;
  in_table_ = false;
  ++generation_;
  timer_at_ = never;
  accepted_.clear();
}

int tcp_model::getsockname(sockaddr* at, socklen_t* size) {
  name shown = own;
  if (phase_ == phase::fresh && !is_bound) shown = name{any_name(family == AF_INET).ip, 0};
  write_name(shown, family, at, size);
  return 0;
}

int tcp_model::getpeername(sockaddr* at, socklen_t* size) {
  if (phase_ != phase::open) return -ENOTCONN;
  write_name(peer_, family, at, size);
  return 0;
}

ssize_t tcp_model::receive(msghdr& into, int flags) {
  into.msg_controllen = 0;
  into.msg_flags = 0;
  if (phase_ == phase::fresh || phase_ == phase::listening) return -ENOTCONN;
  if (unread() != 0) {
    const std::size_t n = put(in_.data() + in_at_, unread(), into);
    if ((flags & MSG_PEEK) != 0) return static_cast<ssize_t>(n);
    in_at_ += n;
    if (in_at_ == in_.size()) {
      in_.clear();
      in_at_ = 0;
    } else if (in_at_ > 64 * 1024) {
      in_.erase(0, in_at_);
      in_at_ = 0;
    }
    if (phase_ == phase::open && !in_ended_) {
      const std::size_t before = offered_ > expected_ ? offered_ - expected_ : 0;
      const std::size_t after = window();
      if (before < receive_room() / 2 && after >= 2 * before &&
          after - before >= std::min(segment_, receive_room() / 2))
        send_acknowledgement();
    }
    return static_cast<ssize_t>(n);
  }
  if (in_ended_) return 0;  // also if a reset has come behind the end
  if (error) return -std::exchange(error, 0);
  if (phase_ == phase::closed || receives_no_more_) return 0;
  return -EAGAIN;
}

ssize_t tcp_model::send(const msghdr& from) {
  if (error) return -std::exchange(error, 0);
  if (phase_ == phase::syn_sent || phase_ == phase::syn_received) return -EAGAIN;
  if (phase_ == phase::fresh || phase_ == phase::listening) return -EPIPE;
  if (phase_ == phase::closed || fin_queued_) return -EPIPE;
  const std::size_t wanted = size_of(from);
  const std::size_t n = std::min(wanted, unsent_room());
  if (n == 0 && wanted != 0) {
    was_full_ = true;
    return -EAGAIN;
  }
  if (out_at_ > 64 * 1024) {
    out_.erase(0, out_at_);
    out_at_ = 0;
  }
  take(from, n, out_);
  written_ += n;
  if (n < wanted) was_full_ = true;
  push_later();
  return static_cast<ssize_t>(n);
}

std::size_t tcp_model::unsent_room() const noexcept {
  const std::size_t used = out_.size() - out_at_;
  return used < send_room() ? send_room() - used : 0;
}

short tcp_model::state() const noexcept {
  int now = 0;
  switch (phase_) {
    case phase::listening: return accepted_.empty() ? 0 : POLLIN;
    case phase::fresh: return POLLOUT | POLLHUP;
    case phase::syn_sent:
    case phase::syn_received: return 0;
    case phase::closed: now = POLLIN | POLLOUT | POLLHUP | POLLRDHUP; break;
    case phase::open:
      if (unread() != 0 || in_ended_) now |= POLLIN;
      if (in_ended_) now |= POLLRDHUP;
      if (in_ended_ && fin_queued_) now |= POLLHUP;
      if (3 * unsent_room() >= send_room() || fin_queued_) now |= POLLOUT;
      break;
  }
  if (error) now |= POLLERR | POLLIN | POLLOUT;
  return static_cast<short>(now);
}

}  // namespace cosock::testing::detail
