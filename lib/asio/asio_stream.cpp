// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// The part of asio_stream and async_stream that does not know the type of the stream: buffers,
// closing in the background, and error codes. It runs on the loop of the stream; handlers of Asio
// arrive there too.

#include <cosock/asio.hpp>

#include "core/scheduler.hpp"
#include "net/socket.hpp"

#include <linux/sockios.h>
#include <sys/ioctl.h>

#include <algorithm>
#include <cstring>
#include <memory>

namespace cosock::detail {

namespace {

// The time in which a closed stream may send the rest: seconds in all, and seconds without
// progress. After that the wait for the end of a TLS peer has the default limits of finish().
constexpr int longest_farewell = 60;
constexpr int longest_pause = 5;
constexpr std::int64_t one_second = 1'000'000'000;
constexpr finish_options discarding = {};

constexpr std::size_t max_pieces = 64;

/// Moves bytes between a buffer and the memory of an operation. Done if this ends the operation.
template <class Copy>
step move_bytes(stream_operation& op, std::size_t max_bytes, std::size_t& moved,
                Copy copy) noexcept {
  moved = 0;
  if (op.contiguous()) {
    moved = std::min(op.left(), max_bytes);
    copy(op.data(), moved);
  } else {
    piece pieces[max_pieces];
    const std::size_t count = op.pieces(pieces, max_pieces);
    for (std::size_t i = 0; i != count && moved != max_bytes; ++i) {
      const std::size_t n = std::min(pieces[i].size, max_bytes - moved);
      copy(pieces[i].data, n);
      moved += n;
    }
  }
  return op.moved(moved);
}

}  // namespace

void raise_closed() { raise(closed_failure()); }

asio_stream_adapter::asio_stream_adapter()
    : loop_(&scheduler::required()), in_(new char[room_in]), out_(new char[room_out]) {
  loop = loop_;
  scheduler::get(*loop_).add_service(*this);
}

asio_stream_adapter::~asio_stream_adapter() = default;

step asio_stream_adapter::transfer(stream_operation& op) {
  return op.direction() == reading ? receive(op) : send(op);
}

step asio_stream_adapter::receive(stream_operation& op) noexcept {
  while (in_begin_ != in_end_) {
    std::size_t moved;
    const step reached =
        move_bytes(op, in_end_ - in_begin_, moved, [this](void* to, std::size_t n) {
          std::memcpy(to, in_.get() + in_begin_, n);
          in_begin_ += n;
        });
    if (reached == step::done) {
      is_ready(reading);
      return step::done;
    }
  }
  maybe_ready[reading] = true;
  if (in_failed_) return op.failed(in_failed_);
  if (in_ended_) {
    input_ended = true;
    return op.moved(0);
  }
  maybe_ready[reading] = false;
  return step::pending;
}

/// A send ends when its bytes are in the buffer. An error of the write that follows is reported by
/// the next operation.
step asio_stream_adapter::send(stream_operation& op) {
  for (;;) {
    if (out_failed_) return op.failed(out_failed_);
    if (farewell_ != farewell::none) return op.failed(system_failure(EPIPE));
    if (out_end_ == room_out) {
      maybe_ready[writing] = false;
      return step::pending;
    }
    std::size_t moved;
    const step reached =
        move_bytes(op, room_out - out_end_, moved, [this](void* from, std::size_t n) {
          std::memcpy(out_.get() + out_end_, from, n);
          out_end_ += n;
        });
    go_on_sending();
    if (reached == step::done) return step::done;
  }
}

bool asio_stream_adapter::is_ready(io_direction direction) noexcept {
  return maybe_ready[direction] = direction == reading
                                      ? in_begin_ != in_end_ || in_ended_ || in_failed_
                                      : out_end_ != room_out || out_failed_;
}

bool asio_stream_adapter::is_flushed(failure& why) noexcept {
  if (out_failed_) {
    why = out_failed_;
    return true;
  }
  if (!writes_ && out_begin_ == out_end_ &&
      (farewell_ == farewell::none || farewell_ == farewell::done))
    return true;
  maybe_ready[writing] = false;
  return false;
}

bool asio_stream_adapter::may_finish() noexcept {
  return !input_ended && !in_failed_ && !out_failed_;
}

void asio_stream_adapter::arm(io_direction direction) {
  // A read begins only when a task waits for input: other input stays in the system, which slows
  // the peer down. Writes go on by themselves.
  if (direction == writing || reads_) return;
  reads_ = true;
  start_read(in_.get(), room_in);
}

void asio_stream_adapter::has_read(const boost::system::error_code& ec, bool end_of_stream,
                                   std::size_t bytes) noexcept {
  reads_ = false;
  if (closing_) {
    in_ended_ = in_ended_ || end_of_stream || ec;
    if (discarding_) discard(bytes);
    return;
  }
  in_begin_ = 0;
  in_end_ = bytes;
  if (end_of_stream)
    in_ended_ = true;
  else if (ec)
    in_failed_ = to_failure(ec);
  if (bytes == 0 && !ec)  // not the end of the stream
    arm(reading);
  else
    ready(reading);
}

void asio_stream_adapter::go_on_sending() noexcept {
  if (writes_) return;  // Asio's streams allow one write at a time; has_written() comes back here
  if (out_begin_ != out_end_) {
    writes_ = true;
    return start_write(out_.get() + out_begin_, out_end_ - out_begin_);
  }
  out_begin_ = out_end_ = 0;
  if (farewell_ == farewell::wanted) {
    farewell_ = farewell::begun;
    return start_shutdown();
  }
  if (closing_ && farewell_ != farewell::begun) all_sent();
}

/// The second half of closing. A TLS peer may send data that the program did not ask for, such as
/// session tickets. A connection that is closed with unread input is reset, and the peer may lose
/// data.
void asio_stream_adapter::all_sent() noexcept {
  if (!waits_for_peer() || in_ended_ || input_ended || in_failed_) return finish_closing();
  discarding_ = true;
  start_timer(*loop_, later(current_time(*loop_), discarding.timeout.count()));
  if (!reads_) discard(0);
}

void asio_stream_adapter::discard(std::size_t bytes) noexcept {
  discarded_ += bytes;
  if (in_ended_ || discarded_ > discarding.max_discard) return finish_closing();
  reads_ = true;
  start_read(in_.get(), room_in);
}

/// Called each second while it closes. Progress is a write that has completed, or bytes that the
/// peer has acknowledged.
void asio_stream_adapter::expire() noexcept {
  if (discarding_) return finish_closing();
  const int undelivered = this->undelivered();
  const bool moves = written_ != written_before_ || undelivered != undelivered_before_;
  written_before_ = written_;
  undelivered_before_ = undelivered;
  idle_seconds_ = moves ? 0 : idle_seconds_ + 1;
  if (++seconds_ == longest_farewell || idle_seconds_ == longest_pause) return finish_closing();
  start_timer(*loop_, later(current_time(*loop_), one_second));
}

void asio_stream_adapter::has_written(const boost::system::error_code& ec,
                                      std::size_t bytes) noexcept {
  writes_ = false;
  out_begin_ += bytes;
  written_ += bytes;
  if (ec) {
    out_failed_ = to_failure(ec);
    if (closing_) return finish_closing();
  } else {
    go_on_sending();
  }
  if (!closing_ && is_ready(writing)) ready(writing);
}

void asio_stream_adapter::ended_sending(const boost::system::error_code& ec) noexcept {
  farewell_ = farewell::done;
  if (ec) out_failed_ = to_failure(ec);
  if (closing_)
    ec ? finish_closing() : all_sent();
  else
    ready(writing);
}

void asio_stream_adapter::shutdown_send() {
  if (!loop) raise(closed_failure());
  if (waiter[writing]) raise(own_failure(error::busy));
  if (farewell_ != farewell::none) return;
  if (!half_closes())
    raise_as(system_failure(EOPNOTSUPP),
             "no half close: async_shutdown of this stream ends both directions, and would discard "
             "what still arrives; close() or finish() instead");
  farewell_ = farewell::wanted;
  needs_close_notify = false;
  go_on_sending();
  if (farewell_ == farewell::done && out_failed_) raise(out_failed_);
}

void asio_stream_adapter::leave(std::shared_ptr<asio_stream_adapter> self) noexcept {
  if (!loop || !keeper_ || !keeper_->keeps() || out_failed_ || !half_closes()) return close();
  abandon(closed_failure());
  try {
    shutdown_send();
  } catch (...) {
    return close();
  }
  self_ = std::move(self);
  std::exchange(keeper_, nullptr)->leave();
}

void asio_stream_adapter::close_left() noexcept {
  const std::shared_ptr<asio_stream_adapter> until_closed = std::move(self_);
  close();
}

void asio_stream_adapter::close() noexcept {
  if (keeper_) std::exchange(keeper_, nullptr)->forget();
  if (!loop) return;
  abandon(closed_failure());
  loop = nullptr;  // for the program it is closed; the rest is done in the background
  closing_ = true;
  if (out_failed_) return finish_closing();
  if (needs_close_notify && !in_failed_) farewell_ = farewell::wanted;
  go_on_sending();
  if (closed_) return;  // all was sent, and go_on_sending() has finished
  lingers_ = true;
  ++scheduler::get(*loop_).background_;
  if (!discarding_) start_timer(*loop_, later(current_time(*loop_), one_second));
}

void asio_stream_adapter::finish_closing() noexcept {
  if (std::exchange(closed_, true)) return;
  stop_timer();
  if (lingers_) --scheduler::get(*loop_).background_;
  loop_service::unlink();
  close_stream();
  scheduler::get(*loop_).on_object_closed();
}

/// The loop ends: there is no time to send the rest.
void asio_stream_adapter::on_loop_shutdown() noexcept {
  if (keeper_) std::exchange(keeper_, nullptr)->forget();
  if (loop) abandon(closed_failure());
  loop = nullptr;
  closing_ = closed_ = true;
  stop_timer();
  close_stream();
}

boost::system::error_code to_asio(const boost::system::error_code& ec) noexcept {
  if (ec == error::cancelled) return asio::error::operation_aborted;
  if (ec == error::end_of_stream) return asio::error::eof;
  if (ec == error::closed) return asio::error::bad_descriptor;
  return ec;
}

task<transferred> receive_for(byte_stream& from, buffer_array<mutable_buffer> into) {
  const auto buffers = into.get();
  const auto got = co_await as_result(from.receive(buffers));
  if (!got) co_return transferred{to_asio(got.error()), 0};
  if (*got == 0 && !buffers.empty()) co_return transferred{asio::error::eof, 0};
  co_return transferred{{}, *got};
}

task<transferred> send_for(byte_stream& to, buffer_array<const_buffer> from) {
  const auto buffers = from.get();
  const auto gone = co_await as_result(to.send_some(buffers));
  co_return transferred{gone ? boost::system::error_code() : to_asio(gone.error()),
                        gone ? *gone : 0};
}

// Sockets

int undelivered_bytes(int descriptor) noexcept {
  int bytes = 0;
  return ::ioctl(descriptor, SIOCOUTQ, &bytes) == 0 ? bytes : 0;
}

int family_of(int descriptor) {
  if (descriptor < 0) raise(closed_failure());
  int family = 0;
  get_socket_option(descriptor, SOL_SOCKET, SO_DOMAIN, &family, sizeof family);
  return family;
}

void set_socket_option(int descriptor, int level, int name, const void* data, std::size_t size) {
  if (::setsockopt(descriptor, level, name, data, static_cast<socklen_t>(size)) != 0)
    raise(system_failure(errno));
}

std::size_t get_socket_option(int descriptor, int level, int name, void* data, std::size_t size) {
  auto length = static_cast<socklen_t>(size);
  if (::getsockopt(descriptor, level, name, data, &length) != 0) raise(system_failure(errno));
  return length;
}

}  // namespace cosock::detail
