// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// outbox: a queue of messages that one task, run(), writes to a stream. It does not own the stream.
// Senders are operations that wait in the lists of the outbox; all is on one loop.

#include <cosock/outbox.hpp>

#include "core/deadline.hpp"
#include "core/failure.hpp"

#include <algorithm>
#include <span>
#include <stdexcept>

namespace cosock {

namespace {

/// The limit for several messages in one call. A single message may be larger.
constexpr std::size_t max_bytes_written = 256 << 10;

}  // namespace

/// However run() ends, also if its frame is destroyed, no sender waits without end.
struct outbox::run_end {
  ~run_end() {
    if (owner.giving_up_) owner.stream_.close();
    owner.break_with(detail::closed_failure());
  }
  outbox& owner;
};

outbox::outbox(byte_stream& stream, const outbox_options& options)
    : stream_(stream),
      options_(options),
      close_message_(options.close_message),
      queue_("outbox_options::max_messages", std::max<std::size_t>(options.max_messages, 1)),
      writing_("messages of one write", max_written) {
  options_.max_messages = std::max<std::size_t>(options.max_messages, 1);
}

outbox::~outbox() = default;

task<> outbox::run() {
  if (std::exchange(started_, true)) throw std::logic_error("cosock: outbox::run() runs once");
  const run_end at_end{*this};
  co_await writing_time_.run(write_all());
}

task<> outbox::write_all() {
  while (!broken_) {
    work_.reset();
    const std::span<const const_buffer> batch(batch_.data(), begin_batch());
    if (!batch.empty()) {
      const auto sent = co_await as_result(stream_.send(batch));
      if (!sent) fail(detail::to_failure(sent.error()));
      writing_.clear();  // only now: the batch refers to these messages
    }
    const bool ends = batch.empty() && closed_;
    if (ends || flush_is_due()) {
      // The stream may have a buffer of its own, as an asio_stream does: a flush includes it.
      const auto& object = detail::stream_access::object_of(stream_);
      if (object) {
        const auto flushed = co_await as_result(detail::stream_flush_operation(object));
        if (!flushed) fail(detail::to_failure(flushed.error()));
      }
      complete_flushes();
    }
    if (ends) co_return;
    if (batch.empty() && queue_.size() == 0) co_await work_.wait();
  }
  // A slow consumer: errors of the farewell are not reported, `broken_` is.
  if (giving_up_ && co_await as_result(stream_.send(close_message_)))
    static_cast<void>(co_await as_result(stream_.finish()));
  detail::raise(broken_);
}

/// Ends run() with this error, or with an earlier one, which is the cause. A cancellation is not
/// kept for senders: run_end ends them with `closed`.
void outbox::fail(detail::failure why) {
  if (!broken_ && !detail::is_cancelled(why)) break_with(why);
  detail::raise(broken_ ? broken_ : why);
}

bool outbox::flush_is_due() noexcept {
  return !flushes_.empty() &&
         static_cast<detail::outbox_flush_operation&>(flushes_.first()).until_ <= gone();
}

void outbox::close() noexcept {
  closed_ = true;
  senders_.close_all();
  work_.set();
}

/// An empty outbox takes a message of any size: otherwise a large one could never be sent.
bool outbox::has_room(std::size_t bytes) const noexcept {
  return messages() == 0 || (messages() < options_.max_messages && bytes_ < options_.max_bytes &&
                             bytes <= options_.max_bytes - bytes_);
}

/// False if the sender has to wait: there is no room, or earlier senders wait.
bool outbox::queue(detail::message& message) noexcept {
  const std::size_t size = message.text().size();
  if (options_.policy == overflow_policy::drop_oldest)
    while (!has_room(size)) drop_oldest();
  if (!senders_.empty() || !has_room(size)) return false;
  queue_.push(std::move(message));
  bytes_ += size;
  ++queued_;
  work_.set();
  return true;
}

bool outbox::try_queue(detail::message message) {
  if (refusal()) return false;
  if (queue(message)) return true;
  if (options_.policy == overflow_policy::close) give_up();
  return false;
}

/// Queues the messages of waiting senders while there is room, in their order.
void outbox::admit() noexcept {
  while (!senders_.empty()) {
    auto& next = static_cast<detail::outbox_send_operation&>(senders_.first());
    const std::size_t size = next.message_.text().size();
    if (!has_room(size)) return;
    queue_.push(std::move(next.message_));
    bytes_ += size;
    ++queued_;
    next.complete();
  }
}

std::size_t outbox::begin_batch() noexcept {
  std::size_t total = 0;
  before_ = queued_ - queue_.size();
  const detail::io_object* const object = detail::stream_access::object_of(stream_);
  // A socket with messages would send a batch as one message.
  const std::size_t limit = object && object->keeps_messages ? 1 : max_written;
  while (queue_.size() != 0 && writing_.size() != limit) {
    const std::size_t size = queue_[0].text().size();
    if (total != 0 && total + size > max_bytes_written) break;
    writing_.push(queue_.pop());
    batch_[writing_.size() - 1] = const_buffer(writing_[writing_.size() - 1].text());
    total += size;
  }
  bytes_ -= total;
  admit();
  return writing_.size();
}

void outbox::drop_oldest() noexcept {
  bytes_ -= queue_[0].text().size();
  queue_.drop();
  ++dropped_;
  started_ ? work_.set() : complete_flushes();
}

void outbox::complete_flushes() noexcept {
  while (!flushes_.empty()) {
    auto& next = static_cast<detail::outbox_flush_operation&>(flushes_.first());
    if (next.until_ > gone()) return;
    next.complete();
  }
}

void outbox::break_with(detail::failure why) noexcept {
  if (broken_) return;
  broken_ = why;
  work_.set();
  for (detail::wait_list* all : {&senders_, &flushes_})
    while (!all->empty()) all->first().complete(why);
}

/// The policy `close`: the peer is too slow. To interrupt the write in progress would cut a
/// message, so it gets the time limit, together with the close_message behind it.
void outbox::give_up() noexcept {
  break_with(detail::own_failure(error::slow_consumer));
  giving_up_ = started_ && !close_message_.empty();
  if (!giving_up_) return stream_.close();
  queue_.clear();
  bytes_ = 0;
  writing_time_.set_deadline(detail::deadline_after(options_.close_timeout));
}

detail::failure outbox::refusal() const noexcept {
  return broken_ ? broken_ : closed_ ? detail::closed_failure() : detail::failure();
}

namespace detail {

step outbox_send_operation::start(std::coroutine_handle<> awaiting, cancel_node& parent) {
  if (!enter(awaiting, parent)) return complete_or_yield();
  if (const failure why = outbox_.refusal()) return fail_with(why);
  if (outbox_.queue(message_)) return complete_or_yield();
  if (outbox_.options_.policy == overflow_policy::wait) return wait_in(outbox_.senders_.end());
  outbox_.give_up();
  return fail_with(outbox_.broken_);
}

/// A smaller message behind it may fit.
void outbox_send_operation::cancel() noexcept {
  if (completed_) return;
  complete(cancelled_failure());
  outbox_.admit();
}

void outbox_send_operation::leave() noexcept {
  if (completed_) return;
  unlink();
  outbox_.admit();
}

step outbox_flush_operation::start(std::coroutine_handle<> awaiting, cancel_node& parent) {
  if (!enter(awaiting, parent)) return complete_or_yield();
  until_ = outbox_.queued_;
  if (outbox_.gone() >= until_) {
    // All messages are written; the buffer of the stream may not be.
    io_object* const object = stream_access::object_of(outbox_.stream_);
    failure lost;
    if (!object || !outbox_.started_ || outbox_.broken_ || object->is_flushed(lost))
      return lost ? fail_with(lost) : complete_or_yield();
    outbox_.work_.set();
    return wait_in(outbox_.flushes_.end());
  }
  if (outbox_.broken_) return fail_with(outbox_.broken_);
  return wait_in(outbox_.flushes_.end());
}

}  // namespace detail
}  // namespace cosock
