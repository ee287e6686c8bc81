// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// Streams in memory. Not custom streams: their ends move the bytes of an operation at once, for tests that
// move many messages.

#include <cosock/testing/memory_stream.hpp>

#include <cosock/error.hpp>

#include "core/scheduler.hpp"
#include "io/byte_counter.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <memory>
#include <stdexcept>

namespace cosock::testing {

namespace detail {

using cosock::detail::byte_counter;
using cosock::detail::failure;
using cosock::detail::io_direction;
using cosock::detail::piece;
using cosock::detail::reading;
using cosock::detail::scheduler;
using cosock::detail::step;
using cosock::detail::stream_operation;
using cosock::detail::writing;

namespace {

failure own(error e) noexcept { return {static_cast<int>(e), &cosock::detail::own_category()}; }
/// As the system reports it for a socket.
failure system(int number) noexcept { return {number, &boost::system::system_category()}; }

constexpr std::size_t no_limit = static_cast<std::size_t>(-1);
constexpr std::size_t max_pieces = 64;           // that are moved at a time
constexpr std::size_t lockstep_room = 64 << 10;  // for a receive that asks for more: in parts

scheduler& running() {
  if (scheduler* const current = scheduler::current()) return *current;
  throw std::logic_error("cosock: no loop runs on this thread; make streams inside a task");
}

}  // namespace

/// One end, with the bytes that are on their way to it. It is a part of the connection, so it stays where
/// it is when its stream is moved, and is closed when that is destroyed.
class memory_end final : public cosock::detail::io_object, private cosock::detail::loop_service {
 public:
  memory_end(scheduler& owner, const memory_options& options, bool lockstep, memory_end& peer)
      : peer_(peer),
        memory_(std::make_unique<char[]>(options.room)),
        room_(options.room),
        piece_(options.piece.value_or(no_limit)),
        largest_hand_over_(lockstep ? 0 : std::min(room_, piece_)),
        lockstep_(lockstep) {
    loop = &owner;
    maybe_ready[reading] = lockstep;  // its first receive says how much it wants
    owner.add_service(*this);
  }
  /// Its stream has released it, or there is none: the other end may not exist.
  ~memory_end() {
    if (counter_) counter_->drop();
  }

  std::size_t available() const noexcept { return end_ - begin_; }

  void arm(io_direction) override {}  // the other end reports what it changes
  bool is_ready(io_direction direction) noexcept override {
    return maybe_ready[direction] = direction == reading ? can_receive() : can_send();
  }
  void count_into(byte_counter& counter) noexcept override {
    byte_counter::replace(counter_, counter);
  }

  step transfer(stream_operation& op) override {
    return op.direction() == reading ? receive(op) : send(op);
  }

  void shutdown_send() {
    if (!loop) cosock::detail::raise(own(error::closed));
    if (waiter[writing]) cosock::detail::raise(own(error::busy));
    if (std::exchange(shut_, true)) return;
    peer_.end();
  }
  void close() noexcept {
    if (!loop) return;
    scheduler& owner = scheduler::get(*loop);
    loop_service::unlink();
    leave();
    owner.on_object_closed();
  }
  /// The stream is gone.
  void release() noexcept {
    close();
    if (counter_) std::exchange(counter_, nullptr)->drop();  // not later: it may be the last share
  }
  void abort() noexcept {
    if (!loop) return;
    reset_ = peer_.reset_ = true;
    close();
  }

 private:
  bool can_receive() const noexcept {
    return available() != 0 || ended_ || sender_waits_ || reset_;
  }
  bool can_send() const noexcept { return !peer_.loop || reset_ || peer_.room() != 0; }
  /// For more bytes to this end.
  std::size_t room() const noexcept {
    const std::size_t left = room_ - available();
    return lockstep_ ? std::min(left, wanted_) : left;
  }
  /// Reports a change that the other end has made. If the flag is set, nothing waits for it.
  void notice(io_direction direction) noexcept {
    if (!maybe_ready[direction]) ready(direction);
  }
  void count(std::uint64_t byte_counter::*which, std::size_t n) noexcept {
    if (counter_) [[unlikely]]
      counter_->*which += n;
  }

  step receive(stream_operation& op) {
    for (;;) {
      if (available() == 0) {
        if (reset_) return op.failed(system(ECONNRESET));
        if (ended_) {
          input_ended = true;
          return op.moved(0);
        }
        maybe_ready[reading] = false;
        if (lockstep_) ask(op);
        return step::pending;
      }
      const std::size_t n = take(op, std::min(available(), piece_));
      // A lockstep pair needs the attempt of the next receive, which says how much it wants.
      maybe_ready[reading] = lockstep_ || can_receive();
      wanted_ = 0;
      peer_.notice(writing);
      count(&byte_counter::in, n);
      if (op.moved(n) == step::done) return step::done;
      if (--loop->budget <= 0) {
        maybe_ready[reading] = true;  // it continues in the next turn
        return step::pending;
      }
    }
  }

  step send(stream_operation& op) {
    for (;;) {
      if (const std::size_t n = peer_.hand_over(op)) {
        count(&byte_counter::out, n);
        if (op.moved(n) == step::done) return step::done;
        continue;  // the receive has ended, or wants more
      }
      if (shut_) return op.failed(system(EPIPE));
      if (reset_) return op.failed(system(ECONNRESET));
      if (!peer_.loop) return op.failed(system(EPIPE));
      const std::size_t room = std::min(peer_.room(), piece_);
      if (room == 0) {
        maybe_ready[writing] = false;
        if (lockstep_) {
          peer_.sender_waits_ = true;
          peer_.notice(reading);
        }
        return step::pending;
      }
      const std::size_t n = peer_.put(op, room);
      maybe_ready[writing] = true;
      peer_.notice(reading);
      count(&byte_counter::out, n);
      if (op.moved(n) == step::done) return step::done;
      if (--loop->budget <= 0) return step::pending;
    }
  }

  /// Moves bytes of a send into the receive that waits here, and ends it unless it wants more. Returns their
  /// number. 0: no such receive waits. If one does and is not ready, this end is open, and has no bytes.
  std::size_t hand_over(const stream_operation& from) {
    cosock::detail::io_operation* const waiting = waiter[reading];
    if (!waiting || waiting->linked()) return 0;
    stream_operation* const into = waiting->as_transfer();
    if (!into || !into->contiguous() || !from.contiguous()) return 0;
    const std::size_t n = std::min({from.left(), into->left(), largest_hand_over_});
    if (n == 0) [[unlikely]]
      return 0;
    std::memcpy(into->data(), from.data(), n);
    count(&byte_counter::in, n);
    if (into->moved(n) == step::done) into->end_with(failure());
    return n;
  }

  /// Moves bytes from here into the operation, at most `max`. Returns their number.
  std::size_t take(const stream_operation& op, std::size_t max) {
    std::size_t n;
    if (op.contiguous()) [[likely]] {
      n = std::min(op.left(), max);
      std::memcpy(op.data(), memory_.get() + begin_, n);
    } else {
      n = take_pieces(op, max);
    }
    begin_ += n;
    if (begin_ == end_) begin_ = end_ = 0;
    return n;
  }
  /// Moves bytes of the operation to here.
  std::size_t put(const stream_operation& op, std::size_t max) {
    if (room_ - end_ < max) make_contiguous();
    std::size_t n;
    if (op.contiguous()) [[likely]] {
      n = std::min(op.left(), max);
      std::memcpy(memory_.get() + end_, op.data(), n);
    } else {
      n = put_pieces(op, max);
    }
    end_ += n;
    if (lockstep_) [[unlikely]] {
      wanted_ -= n;
      sender_waits_ = false;
    }
    return n;
  }
  void make_contiguous() noexcept {
    std::memmove(memory_.get(), memory_.get() + begin_, available());
    end_ -= begin_;
    begin_ = 0;
  }
  [[gnu::noinline]] std::size_t take_pieces(const stream_operation& op, std::size_t max) const {
    return for_each_piece(op, max, [this](void* data, std::size_t at, std::size_t size) {
      std::memcpy(data, memory_.get() + begin_ + at, size);
    });
  }
  [[gnu::noinline]] std::size_t put_pieces(const stream_operation& op, std::size_t max) const {
    return for_each_piece(op, max, [this](const void* data, std::size_t at, std::size_t size) {
      std::memcpy(memory_.get() + end_ + at, data, size);
    });
  }
  template <class Move>
  static std::size_t for_each_piece(const stream_operation& op, std::size_t max, Move move) {
    std::array<piece, max_pieces> pieces;
    const std::size_t count = op.pieces(pieces.data(), pieces.size());
    std::size_t all = 0;
    for (std::size_t i = 0; i != count && all != max; ++i) {
      const std::size_t n = std::min(pieces[i].size, max - all);
      move(pieces[i].data, all, n);
      all += n;
    }
    return all;
  }

  /// A receive of a lockstep pair finds nothing.
  [[gnu::noinline]] void ask(const stream_operation& op) {
    wanted_ = 0;
    if (op.contiguous()) {
      wanted_ = std::min(room_, op.left());
    } else {
      std::array<piece, max_pieces> pieces;
      const std::size_t count = op.pieces(pieces.data(), pieces.size());
      for (std::size_t i = 0; i != count; ++i)
        wanted_ = std::min(room_, wanted_ + std::min(room_, pieces[i].size));
    }
    peer_.notice(writing);
  }

  /// No more bytes follow.
  void end() noexcept {
    ended_ = true;
    sender_waits_ = false;
    notice(reading);
  }
  void leave() noexcept {
    abandon(own(error::closed));
    loop = nullptr;
    peer_.end();
    peer_.notice(writing);
  }
  void on_loop_shutdown() noexcept override { leave(); }

  memory_end& peer_;
  std::unique_ptr<char[]> memory_;
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
  const std::size_t room_;
  const std::size_t piece_;
  // 0 for a lockstep pair, which counts what a receive has asked for.
  const std::size_t largest_hand_over_;
  std::size_t wanted_ = 0;  // of a lockstep pair: what a receive has asked for and was not sent
  const bool lockstep_;
  bool sender_waits_ = false;  // of a lockstep pair
  bool ended_ = false;
  bool shut_ = false;
  bool reset_ = false;
  byte_counter* counter_ = nullptr;
};

/// Both ends, which live as long as one of the streams.
class memory_connection {
 public:
  memory_connection(const memory_options& options, bool lockstep)
      : ends_{{running(), options, lockstep, ends_[1]}, {running(), options, lockstep, ends_[0]}} {}

  static std::pair<memory_stream, memory_stream> connect(const memory_options& options,
                                                         bool lockstep) {
    if (options.room == 0)
      throw std::invalid_argument("memory_options::room is 0; it is at least 1");
    if (options.piece == std::size_t{0})
      throw std::invalid_argument("memory_options::piece is 0; it is at least 1, or std::nullopt");
    const auto both = std::make_shared<memory_connection>(options, lockstep);
    return {memory_stream(std::shared_ptr<memory_end>(both, &both->ends_[0])),
            memory_stream(std::shared_ptr<memory_end>(both, &both->ends_[1]))};
  }

 private:
  memory_end ends_[2];
};

}  // namespace detail

memory_stream::memory_stream(std::shared_ptr<detail::memory_end> end) noexcept
    : byte_stream(end.get()), end_(std::move(end)) {}
memory_stream::memory_stream(memory_stream&& other) noexcept
    : byte_stream(std::exchange(other.object_, nullptr)), end_(std::move(other.end_)) {}
memory_stream& memory_stream::operator=(memory_stream&& other) noexcept {
  if (this == &other) return *this;
  if (end_) end_->release();
  object_ = std::exchange(other.object_, nullptr);
  end_ = std::move(other.end_);
  return *this;
}
memory_stream::~memory_stream() {
  if (end_) end_->release();
}

void memory_stream::shutdown_send() {
  if (!end_) cosock::detail::raise(detail::own(error::closed));
  end_->shutdown_send();
}
void memory_stream::close() noexcept {
  if (end_) end_->close();
}
void memory_stream::abort() noexcept {
  if (end_) end_->abort();
}
std::size_t memory_stream::available() const noexcept { return is_open() ? end_->available() : 0; }

std::pair<memory_stream, memory_stream> memory_pair(const memory_options& options) {
  return detail::memory_connection::connect(options, false);
}
std::pair<memory_stream, memory_stream> lockstep_pair() {
  return detail::memory_connection::connect({.room = detail::lockstep_room}, true);
}

}  // namespace cosock::testing
