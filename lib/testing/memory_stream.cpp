// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#include <cosock/testing/memory_stream.hpp>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <stdexcept>

namespace cosock::testing {

namespace detail {

namespace {

using boost::system::error_code;

/// As the system reports it for a socket.
error_code system_error(int code) { return {code, boost::system::system_category()}; }

constexpr std::size_t no_limit = static_cast<std::size_t>(-1);
constexpr std::size_t lockstep_room = 64 << 10;  // for a receive that asks for more: in parts

/// The bytes that are on their way to one end.
struct direction {
  std::unique_ptr<char[]> memory;
  std::size_t begin = 0;
  std::size_t end = 0;
  // Of a lockstep pair: what the receiver has asked for and the sender has not sent.
  std::size_t wanted = 0;
  bool sender_waits = false;
  bool ended = false;  // no more bytes follow

  std::size_t size() const noexcept { return end - begin; }
};

}  // namespace

/// What the two ends share, so that each may be moved. It owns the bytes, and no stream.
class memory_connection {
 public:
  memory_connection(const memory_options& options, bool lockstep)
      : room_(options.room), piece_(options.piece.value_or(no_limit)), lockstep_(lockstep) {
    for (direction& to : to_) to.memory = std::make_unique<char[]>(room_);
  }

  static std::pair<memory_stream, memory_stream> connect(const memory_options& options,
                                                         bool lockstep) {
    if (options.room == 0)
      throw std::invalid_argument("memory_options::room is 0; it is at least 1");
    if (options.piece == std::size_t{0})
      throw std::invalid_argument("memory_options::piece is 0; it is at least 1, or std::nullopt");
    const auto both = std::make_shared<memory_connection>(options, lockstep);
    return {memory_stream(both, 0), memory_stream(both, 1)};
  }

  void attach(int side, memory_stream* stream) noexcept { ends_[side] = stream; }

  std::size_t receive(int side, std::span<const mutable_buffer> into, error_code& code) noexcept {
    direction& to = to_[side];
    if (to.size() == 0) return nothing_to_receive(side, into, code);
    std::size_t left = std::min(to.size(), piece_);
    std::size_t received = 0;
    for (const mutable_buffer& buffer : into) {
      const std::size_t n = std::min(buffer.size(), left);
      std::memcpy(buffer.data(), to.memory.get() + to.begin, n);
      to.begin += n;
      received += n;
      left -= n;
      if (left == 0) break;
    }
    if (to.begin == to.end) to.begin = to.end = 0;
    to.wanted = 0;
    if (ends_[1 - side]) ends_[1 - side]->notify_writable();
    return received;
  }

  std::size_t send(int side, std::span<const const_buffer> from, error_code& code) noexcept {
    memory_stream* const peer = ends_[1 - side];
    if (!peer || reset_) {
      code = system_error(reset_ ? ECONNRESET : EPIPE);
      return 0;
    }
    direction& to = to_[1 - side];
    std::size_t left = std::min(room_left(to), piece_);
    if (left == 0) {
      code = system_error(EAGAIN);
      if (lockstep_) {
        to.sender_waits = true;
        peer->notify_readable();
      }
      return 0;
    }
    if (to.begin != 0 && room_ - to.end < left) {
      std::memmove(to.memory.get(), to.memory.get() + to.begin, to.size());
      to.end -= to.begin;
      to.begin = 0;
    }
    std::size_t sent = 0;
    for (const const_buffer& buffer : from) {
      const std::size_t n = std::min(buffer.size(), left);
      std::memcpy(to.memory.get() + to.end, buffer.data(), n);
      to.end += n;
      sent += n;
      left -= n;
      if (left == 0) break;
    }
    if (lockstep_) {
      to.wanted -= sent;
      to.sender_waits = false;
    }
    peer->notify_readable();
    return sent;
  }

  bool can_receive(int side) const noexcept {
    const direction& to = to_[side];
    return to.size() != 0 || to.ended || to.sender_waits || reset_;
  }
  bool can_send(int side) const noexcept {
    return !ends_[1 - side] || reset_ || room_left(to_[1 - side]) != 0;
  }
  std::size_t available(int side) const noexcept { return to_[side].size(); }

  void end(int side) noexcept {
    to_[1 - side].ended = true;
    to_[1 - side].sender_waits = false;
    if (ends_[1 - side]) ends_[1 - side]->notify_readable();
  }
  /// The end of this side, or its destruction.
  void leave(int side) noexcept {
    ends_[side] = nullptr;
    end(side);
    if (ends_[1 - side]) ends_[1 - side]->notify_writable();
  }
  void reset() noexcept { reset_ = true; }

 private:
  std::size_t nothing_to_receive(int side, std::span<const mutable_buffer> into,
                                 error_code& code) noexcept {
    direction& to = to_[side];
    if (reset_) {
      code = system_error(ECONNRESET);
    } else if (!to.ended) {
      code = system_error(EAGAIN);
      if (lockstep_) {
        to.wanted = 0;
        for (const mutable_buffer& buffer : into)
          to.wanted = std::min(room_, to.wanted + std::min(room_, buffer.size()));
        if (ends_[1 - side]) ends_[1 - side]->notify_writable();
      }
    }
    return 0;
  }
  std::size_t room_left(const direction& to) const noexcept {
    const std::size_t room = room_ - to.size();
    return lockstep_ ? std::min(room, to.wanted) : room;
  }

  const std::size_t room_;
  const std::size_t piece_;
  const bool lockstep_;
  bool reset_ = false;
  memory_stream* ends_[2] = {};  // null: closed or destroyed
  direction to_[2];
};

}  // namespace detail

memory_stream::memory_stream(std::shared_ptr<detail::memory_connection> connection, int side)
    : connection_(std::move(connection)), side_(side) {
  connection_->attach(side_, this);
}
memory_stream::memory_stream(memory_stream&& other) noexcept
    : custom_stream(std::move(other)),
      connection_(std::move(other.connection_)),
      side_(other.side_) {
  if (connection_ && is_open()) connection_->attach(side_, this);
}
memory_stream& memory_stream::operator=(memory_stream&& other) noexcept {
  if (this == &other) return *this;
  custom_stream::operator=(std::move(other));
  connection_ = std::move(other.connection_);
  side_ = other.side_;
  if (connection_ && is_open()) connection_->attach(side_, this);
  return *this;
}
memory_stream::~memory_stream() {
  if (connection_ && is_open()) connection_->leave(side_);
}

void memory_stream::abort() noexcept {
  if (!is_open()) return;
  connection_->reset();
  close();
}

std::size_t memory_stream::available() const noexcept {
  return connection_ && is_open() ? connection_->available(side_) : 0;
}

std::size_t memory_stream::do_receive(std::span<const mutable_buffer> into,
                                      boost::system::error_code& error) noexcept {
  return connection_->receive(side_, into, error);
}
std::size_t memory_stream::do_send(std::span<const const_buffer> from,
                                   boost::system::error_code& error) noexcept {
  return connection_->send(side_, from, error);
}
void memory_stream::do_shutdown_send(boost::system::error_code&) noexcept {
  connection_->end(side_);
}
bool memory_stream::can_receive() noexcept { return connection_->can_receive(side_); }
bool memory_stream::can_send() noexcept { return connection_->can_send(side_); }
void memory_stream::on_close() noexcept { connection_->leave(side_); }

std::pair<memory_stream, memory_stream> memory_pair(const memory_options& options) {
  return detail::memory_connection::connect(options, false);
}
std::pair<memory_stream, memory_stream> lockstep_pair() {
  return detail::memory_connection::connect({.room = detail::lockstep_room}, true);
}

}  // namespace cosock::testing
