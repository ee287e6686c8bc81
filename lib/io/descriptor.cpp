// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// Reading, writing and closing descriptors, and when a descriptor counts as ready. Called by
// operations (transfer), by the reactor (on_events), and by the classes of sockets and streams
// (close, release).

#include "io/descriptor.hpp"

#include "io/receive_counted.hpp"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <memory>

namespace cosock::detail {

static_assert(sizeof(piece) == sizeof(iovec) && offsetof(piece, size) == offsetof(iovec, iov_len));

namespace {

// Of one call, which takes 1024 (UIO_MAXIOV). Fewer for bytes, which may go in several calls: the
// array is on the stack.
constexpr std::size_t max_pieces = 256;
constexpr std::size_t max_bytes = descriptor::max_bytes;

/// The pieces of an operation that one call moves, cut at max_bytes.
std::size_t pieces_of(const stream_operation& op, iovec* out) {
  const std::size_t count = op.pieces(reinterpret_cast<piece*>(out), max_pieces);
  std::size_t room = max_bytes;
  for (std::size_t i = 0; i != count; ++i) {
    if (out[i].iov_len >= room) {
      out[i].iov_len = room;
      return i + 1;
    }
    room -= out[i].iov_len;
  }
  return count;
}
iovec piece_of(const stream_operation& op) noexcept {
  return {op.data(), std::min(op.left(), max_bytes)};
}

}  // namespace

descriptor::descriptor(scheduler& loop, int fd, fd_kind kind, bool shared) noexcept
    : fd_(fd),
      kind_(kind <= fd_kind::socket && is_simulated(fd) ? fd_kind::simulated : kind),
      shared_(shared),
      trusts_inq_(kind_ <= fd_kind::local),
      asked_for_left_(kind_ > fd_kind::local || (kind_ == fd_kind::local && shared)) {
  this->loop = &loop;
  keeps_messages = kind == fd_kind::messages;
  loop.add_service(*this);
}

void descriptor::begin() {
  if (kind_ == fd_kind::file) {  // epoll refuses it, and it never blocks
    maybe_ready[reading] = true;
    return;
  }
  try {
    scheduler::get(*loop).watch(*this, fd_);
  } catch (...) {
    close();
    throw;
  }
  if (kind_ == fd_kind::messages && shared_) ask_for_stamps();
}

/// Sets TCP_INQ at the first wait, not before: a connection that is only passed on to another
/// process stays as it was. Sets SO_INQ at the first receive that finds nothing: before, it saves no call.
void descriptor::ask_for_left() noexcept {
  asked_for_left_ = true;
  if (kind_ == fd_kind::tcp) {
    if (shared_ && is_on(IPPROTO_TCP, TCP_INQ)) return;  // not ours to reset later
    own_left_ = set_on(IPPROTO_TCP, TCP_INQ, true);
  } else {
    own_left_ = has_local_inq() && set_on(SOL_SOCKET, local_inq, true);
  }
  // Linux before 4.18 has no TCP_INQ, and before 6.17 no SO_INQ.
  if (!own_left_) trusts_inq_ = false;
}

void descriptor::take_options_back() noexcept {
  shared_ = asked_for_stamps_ = true;
  if (std::exchange(own_stamps_, false)) {
    set_on(SOL_SOCKET, SO_TIMESTAMPNS, false);
    has_stamps_ = false;
  }
  const bool counted = std::exchange(own_left_, false);
  if (kind_ == fd_kind::local) {
    if (counted) set_on(SOL_SOCKET, local_inq, false);
    asked_for_left_ = true;  // for good: whoever receives descriptors needs the room
    trusts_inq_ = false;
  } else if (counted) {
    set_on(IPPROTO_TCP, TCP_INQ, false);
    asked_for_left_ = false;
  }
}

bool descriptor::is_on(int level, int name) const noexcept {
  int value = 0;
  socklen_t size = sizeof value;
  return system::getsockopt(fd_, level, name, &value, &size) == 0 && value != 0;
}
bool descriptor::set_on(int level, int name, bool enabled) noexcept {
  const int value = enabled;
  return system::setsockopt(fd_, level, name, &value, sizeof value) == 0;
}

void descriptor::on_events(unsigned events) noexcept {
  // Before ready(), which leads to a receive that relies on it.
  if (events & exceptional) trusts_inq_ = false;
  if ((events & writable) && watches_writable) ready(writing);
  if (events & readable) ready(reading);
}

void descriptor::arm(io_direction direction) {
  if (kind_ == fd_kind::file) {  // always ready
    ready(direction);
    return;
  }
  // Input is watched from the beginning, so there is nothing to do for the reactor.
  if (direction == reading) {
    if (!asked_for_left_ && kind_ == fd_kind::tcp) [[unlikely]]
      ask_for_left();
    return;
  }
  // Once for each descriptor, at the first send that would block. If there is room by now, the new
  // watch reports it.
  if (!watches_writable) scheduler::get(*loop).io().add_writable(*this);
}

void descriptor::count_into(byte_counter& counter) noexcept {
  byte_counter::replace(counter_, counter);
}

void descriptor::leave() noexcept {
  if (!keeper_ || !keeper_->keeps() || !may_finish()) return close();
  abandon(closed_failure());
  // Now, not when the keeper has time: the peer should learn of the end without delay.
  if (system::shutdown(fd_, SHUT_WR) != 0) return close();
  left_ = true;
  std::exchange(keeper_, nullptr)->leave();
}

bool descriptor::may_finish() noexcept {
  if (input_ended || broken_ || kind_ >= fd_kind::file) return false;
  if ((kind_ != fd_kind::tcp && kind_ != fd_kind::simulated) || left_) return true;
  // SO_LINGER with a time of 0: the program wants a reset.
  ::linger how = {};
  socklen_t size = sizeof how;
  return system::getsockopt(fd_, SOL_SOCKET, SO_LINGER, &how, &size) != 0 || !how.l_onoff ||
         how.l_linger != 0;
}

bool descriptor::leave_to(kept_io_object* keeper) noexcept {
  keeper_ = keeper;
  return true;
}

void descriptor::end_sending() {
  if (system::shutdown(fd_, SHUT_WR) != 0 && errno != ENOTCONN) raise(system_failure(errno));
}

// The order matters: abandon() and unwatch() need `loop`; the operations learn of the end before
// the descriptor goes; the file of a local socket is removed while the socket still listens; and
// the caller closes the number last, when the reactor has forgotten it.
int descriptor::detach() noexcept {
  if (keeper_) std::exchange(keeper_, nullptr)->forget();
  on_detach();
  abandon(closed_failure());
  blocking_.reset();
  attachment_.reset();
  loop_service::unlink();
  if (io_watch::linked()) scheduler::get(*loop).unwatch(*this);
  loop = nullptr;
  return std::exchange(fd_, -1);
}

void descriptor::close() noexcept {
  if (is_open()) {
    scheduler& owner = scheduler::get(*loop);  // detach() clears `loop`
    system::close(detach());
    owner.on_object_closed();
  }
  delete this;
}

int descriptor::release() noexcept {
  if (attachment_) attachment_->forget();
  int fd = -1;
  if (is_open()) {
    scheduler& owner = scheduler::get(*loop);
    take_options_back();
    on_release();
    fd = detach();
    owner.on_object_closed();
  }
  delete this;
  return fd;
}

void descriptor::on_loop_shutdown() noexcept {
  if (is_open()) system::close(detach());
}

bool descriptor::is_ready(io_direction direction) noexcept {
  if (blocking_ && access_[direction] == access::thread)
    return maybe_ready[direction] = blocking_->is_ready(direction);
  const short event = direction == reading ? POLLIN : POLLOUT;
  return maybe_ready[direction] = kind_ == fd_kind::file || poll_now(fd_, event) != 0;
}

peer_state descriptor::peer() noexcept {
  if (kind_ == fd_kind::file || kind_ == fd_kind::datagrams) return peer_state::unknown;
  if (broken_ || input_ended) return peer_state::closed;
  return poll_now(fd_, POLLRDHUP) != 0 ? peer_state::closed : peer_state::open;
}

step descriptor::transfer(stream_operation& op) {
  if (kind_ >= fd_kind::messages) [[unlikely]]
    return transfer_rare(op);
  return op.direction() == reading ? receive(op) : send(op);
}

step descriptor::transfer_rare(stream_operation& op) {
  if (kind_ == fd_kind::messages)
    return op.direction() == reading ? receive_messages(op) : send_message(op);
  if (kind_ == fd_kind::simulated) return transfer_simulated(op);
  if (op.direction() == reading) return receive(op);
  // A send may find that only a thread can go on.
  if (access_[writing] != access::thread && send(op) == step::done) return step::done;
  return access_[writing] == access::thread ? blocking_->send(op) : step::pending;
}

// A lost connection may still have bytes of the peer, for example an early answer. The system
// returns these first; then it reports the loss once, unless it has reported it to a send already;
// then an end.
step descriptor::receive(stream_operation& op) {
  do {
    int left = 1;  // unless the system says otherwise
    ssize_t n;
    if (op.contiguous()) [[likely]] {
      iovec one = piece_of(op);
      n = kind_ == fd_kind::tcp ? receive_counted(fd_, &one, 1, left) : read_left(&one, 1, left);
    } else {
      n = receive_scattered(op, left);
    }
    if (n < 0) {
      if (errno == EINTR) continue;
      if (errno != EAGAIN && errno != EWOULDBLOCK) return op.failed(lost(errno));
      if (kind_ == fd_kind::local && !asked_for_left_ && trusts_inq_) [[unlikely]]
        ask_for_left();
      maybe_ready[reading] = false;
      return step::pending;
    }
    if (n == 0) [[unlikely]] {
      if (broken_) return op.failed(system_failure(broken_));
      // There is no second edge for the end of the stream, so the next receive has to try.
      input_ended = maybe_ready[reading] = true;
      return op.moved(0);
    }
    maybe_ready[reading] = left != 0 || !trusts_inq_;
    count_bytes(reading, static_cast<std::size_t>(n));
    if (op.moved(static_cast<std::size_t>(n)) == step::done) return step::done;
  } while (maybe_ready[reading] && --loop->budget > 0);  // a fast peer must not starve other tasks
  return step::pending;
}

/// Apart from receive(), whose common case needs no array of pieces.
ssize_t descriptor::receive_scattered(stream_operation& op, int& left) noexcept {
  iovec many[max_pieces];
  const std::size_t count = pieces_of(op, many);
  return kind_ == fd_kind::tcp ? receive_counted(fd_, many, count, left)
                               : read_left(many, count, left);
}

ssize_t descriptor::read_left(iovec* pieces, std::size_t count, int& left) noexcept {
  return own_left_ ? receive_counted_local(fd_, pieces, count, left) : read_pieces(pieces, count);
}

step descriptor::send(stream_operation& op) {
  if (broken_) return op.failed(system_failure(broken_));
  for (;;) {
    ssize_t n;
    if (!op.contiguous()) {
      n = send_gathered(op);
    } else if (kind_ <= fd_kind::socket) {
      n = ::send(fd_, op.data(), std::min(op.left(), max_bytes), MSG_NOSIGNAL | MSG_DONTWAIT);
    } else {
      iovec one = piece_of(op);
      n = write_pieces(&one, 1);
    }
    if (n < 0) {
      if (errno == EINTR) continue;
      if (errno != EAGAIN && errno != EWOULDBLOCK) return op.failed(lost(errno));
      maybe_ready[writing] = false;
      return step::pending;
    }
    count_bytes(writing, static_cast<std::size_t>(n));
    if (op.moved(static_cast<std::size_t>(n)) == step::done) return step::done;
    if (--loop->budget <= 0) return step::pending;
  }
}

failure descriptor::lost(int error) noexcept {
  loses_connection(error);
  return system_failure(error);
}

bool descriptor::loses_connection(int error) noexcept {
  if (broken_ || kind_ == fd_kind::datagrams) return false;
  switch (error) {
    case ECONNABORTED:  // closed by the administrator (tcp_diag_destroy of the kernel)
    case ECONNRESET:
    case EHOSTDOWN:
    case EHOSTUNREACH:
    case ENETDOWN:
    case ENETRESET:
    case ENETUNREACH:
    case EPROTO:
    case ETIMEDOUT: broken_ = error; return true;
  }
  return false;
}

failure descriptor::broken() const noexcept {
  return broken_ ? system_failure(broken_) : failure{0, nullptr};
}

ssize_t descriptor::read_pieces(iovec* pieces, std::size_t count) noexcept {
  if (kind_ >= fd_kind::other) return read_shared(pieces, count);
  return ::readv(fd_, pieces, static_cast<int>(count));
}

ssize_t descriptor::send_gathered(stream_operation& op) noexcept {
  iovec many[max_pieces];
  return write_pieces(many, pieces_of(op, many));
}

ssize_t descriptor::write_pieces(iovec* pieces, std::size_t count) noexcept {
  if (kind_ == fd_kind::file) return ::writev(fd_, pieces, static_cast<int>(count));
  if (kind_ >= fd_kind::other) return write_shared(pieces, count);
  msghdr message = {};
  message.msg_iov = pieces;
  message.msg_iovlen = count;
  return ::sendmsg(fd_, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
}

}  // namespace cosock::detail
