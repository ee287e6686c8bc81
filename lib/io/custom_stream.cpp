// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#include <cosock/custom_stream.hpp>

#include "core/scoped_value.hpp"
#include "io/byte_counter.hpp"
#include "io/custom_base.hpp"
#include "loop/engine.hpp"

#include <array>
#include <memory>
#include <optional>

namespace cosock {

namespace detail {

/// The object of a custom_stream.
class custom_object final : public custom_base {
 public:
  custom_object(scheduler& owner, custom_stream& stream) noexcept
      : custom_base(owner), stream_(&stream) {}
  ~custom_object() {
    close(false);
    if (counter_) counter_->drop();
  }

  void attach(custom_stream& stream) noexcept { stream_ = &stream; }

  /// Inside a call of the derived class, whose operation cannot end yet, it is done after the call.
  void close(bool tell) noexcept {
    if (calling_)
      close_later_ = true;
    else
      close_now(tell);
  }

  void shutdown_send() {
    if (!loop) raise(closed_failure());
    if (waiter[writing]) raise(own_failure(error::busy));
    if (shut_) return;
    boost::system::error_code code;
    stream_->do_shutdown_send(code);
    if (code) raise(to_failure(code));
    shut_ = true;
  }

  bool is_ready(io_direction direction) noexcept override {
    if (!maybe_ready[direction]) return false;
    const scoped_value calling(calling_, std::optional(direction));
    maybe_ready[direction] = false;
    if (direction == reading ? stream_->can_receive() : stream_->can_send())
      maybe_ready[direction] = true;
    return maybe_ready[direction];
  }

  bool is_flushed(failure& why) noexcept override {
    const bool had_room = std::exchange(maybe_ready[writing], false);
    const scoped_value calling(calling_, std::optional(writing));
    boost::system::error_code code;
    const bool flushed = stream_->do_flush(code);
    if (code) why = to_failure(code);
    if (!flushed && !code) return false;
    if (had_room) maybe_ready[writing] = true;
    return true;
  }

  void count_into(byte_counter& counter) noexcept override {
    byte_counter::replace(counter_, counter);
  }

  step transfer(stream_operation& op) override {
    const io_direction direction = op.direction();
    for (;;) {
      if (direction == writing && shut_) return op.failed(system_failure(EPIPE));
      // Before the call, which may notify.
      maybe_ready[direction] = false;
      boost::system::error_code code;
      std::size_t size = 0;
      const std::size_t moved = call(op, size, code);
      if (close_later_) {
        // This operation ends here, not as one that waits.
        waiter[direction] = nullptr;
        close_later_ = false;
        close(true);
        return op.failed(closed_failure());
      }
      if (code && would_block(code)) return step::pending;
      maybe_ready[direction] = true;
      if (code) return op.failed(to_failure(code));
      const bool ends = moved == 0 && direction == reading;
      if (moved > size || (moved == 0 && !ends)) return op.failed(system_failure(EIO));
      if (ends) input_ended = true;
      if (counter_) (direction == reading ? counter_->in : counter_->out) += moved;
      if (op.moved(moved) == step::done) return step::done;
      if (--loop->budget <= 0) return step::pending;
    }
  }

 private:
  std::size_t call(stream_operation& op, std::size_t& size, boost::system::error_code& code) {
    const scoped_value calling(calling_, std::optional(op.direction()));
    return op.direction() == reading
               ? move<mutable_buffer>(op, size, code, &custom_stream::do_receive)
               : move<const_buffer>(op, size, code, &custom_stream::do_send);
  }

  /// Calls `function` with the buffers that are left of the operation, and stores their size.
  template <class Buffer, class Function>
  std::size_t move(stream_operation& op, std::size_t& size, boost::system::error_code& code,
                   Function function) {
    if (op.contiguous()) {
      const Buffer one(op.data(), size = op.left());
      return (stream_->*function)({&one, 1}, code);
    }
    std::array<piece, max_pieces> pieces;
    const std::size_t count = op.pieces(pieces.data(), max_pieces);
    std::array<Buffer, max_pieces> buffers;
    for (std::size_t i = 0; i != count; ++i) {
      buffers[i] = Buffer(pieces[i].data, pieces[i].size);
      size += pieces[i].size;
    }
    return (stream_->*function)({buffers.data(), count}, code);
  }

  void on_closed() noexcept override { stream_->on_close(); }

  custom_stream* stream_;
  byte_counter* counter_ = nullptr;
  bool close_later_ = false;
  bool shut_ = false;
};

}  // namespace detail

custom_stream::custom_stream()
    : custom_(std::make_unique<detail::custom_object>(detail::scheduler::required(), *this)) {
  object_ = custom_.get();
}
custom_stream::custom_stream(loop& loop)
    : custom_(std::make_unique<detail::custom_object>(detail::engine::get(loop), *this)) {
  object_ = custom_.get();
}

custom_stream::custom_stream(custom_stream&& other) noexcept
    : byte_stream(std::exchange(other.object_, nullptr)), custom_(std::move(other.custom_)) {
  if (custom_) custom_->attach(*this);
}

custom_stream& custom_stream::operator=(custom_stream&& other) noexcept {
  if (this != &other) {
    close();
    object_ = std::exchange(other.object_, nullptr);
    custom_ = std::move(other.custom_);
    if (custom_) custom_->attach(*this);
  }
  return *this;
}

custom_stream::~custom_stream() = default;

void custom_stream::shutdown_send() {
  if (!custom_) detail::raise(detail::closed_failure());
  custom_->shutdown_send();
}

void custom_stream::close() noexcept {
  if (custom_) custom_->close(true);
}

bool custom_stream::can_receive() noexcept { return true; }
bool custom_stream::can_send() noexcept { return true; }
bool custom_stream::do_flush(boost::system::error_code&) noexcept { return true; }
void custom_stream::on_close() noexcept {}

void custom_stream::notify_readable() noexcept {
  if (custom_) custom_->notify(detail::reading);
}
void custom_stream::notify_writable() noexcept {
  if (custom_) custom_->notify(detail::writing);
}

}  // namespace cosock
