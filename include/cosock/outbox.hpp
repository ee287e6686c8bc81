// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cosock/cancel.hpp>
#include <cosock/detail/ring.hpp>
#include <cosock/detail/waiter.hpp>
#include <cosock/duration.hpp>
#include <cosock/stream.hpp>
#include <cosock/sync.hpp>
#include <cosock/task.hpp>

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace cosock {

class outbox;

/// The policy for a message that does not fit into an outbox.
enum class overflow_policy : unsigned char {
  wait,         ///< its sender waits
  drop_oldest,  ///< the oldest messages are discarded
  close,        ///< the stream is closed: its peer is too slow
};

/// The limits of an outbox, and its policy when they are reached.
struct outbox_options {
  std::size_t max_messages = 128;   ///< messages that wait to be written; 0 counts as 1
  std::size_t max_bytes = 1 << 18;  ///< bytes of all messages; a larger message waits alone
  overflow_policy policy = overflow_policy::wait;  ///< for a message that does not fit
  /// Text that is sent before the stream is closed under the policy `close`. Queued messages are
  /// discarded; the write in progress and this text are sent, and the stream ends in order
  /// (byte_stream::finish(), with its default limits), all within close_timeout. Receiving goes on
  /// in the meantime; while a receive is pending, the end of the peer is not waited for. Copied.
  /// Empty: closed at once.
  std::string_view close_message = {};
  time_span close_timeout = std::chrono::seconds(5);  ///< zero or less: closed at once
};

namespace detail {

/// The bytes of a message: the outbox's own, or shared with others.
struct message {
  explicit message(std::string&& text) noexcept : own(std::move(text)) {}
  explicit message(std::shared_ptr<const std::string>&& text) noexcept : shared(std::move(text)) {}
  const std::string& text() const noexcept { return shared ? *shared : own; }
  std::string own;
  std::shared_ptr<const std::string> shared;
};

class COSOCK_AWAITABLE outbox_send_operation final : public awaiter_of<outbox_send_operation>,
                                                     public waiter {
 public:
  outbox_send_operation(outbox& outbox, message&& text) noexcept
      : outbox_(outbox), message_(std::move(text)) {}
  outbox_send_operation(outbox_send_operation&& other) noexcept
      : waiter(), outbox_(other.outbox_), message_(std::move(other.message_)) {}
  ~outbox_send_operation() {
    if (scope_) leave();
  }
  step start(std::coroutine_handle<> awaiting, cancel_node& parent);
  void cancel() noexcept override;
  void result() {
    if (failure_) raise(failure_);
  }
  failure fail() noexcept { return failure_; }
  void describe_operation(wait_report& to) const override { to.operation("outbox::send()"); }

 private:
  friend class cosock::outbox;
  void leave() noexcept;
  outbox& outbox_;
  message message_;
};

class COSOCK_AWAITABLE outbox_flush_operation final : public awaiter_of<outbox_flush_operation>,
                                                      public waiter {
 public:
  explicit outbox_flush_operation(outbox& outbox) noexcept : outbox_(outbox) {}
  outbox_flush_operation(outbox_flush_operation&& other) noexcept
      : waiter(), outbox_(other.outbox_) {}
  step start(std::coroutine_handle<> awaiting, cancel_node& parent);
  void result() {
    if (failure_) raise(failure_);
  }
  failure fail() noexcept { return failure_; }
  void describe_operation(wait_report& to) const override { to.operation("outbox::flush()"); }

 private:
  friend class cosock::outbox;
  outbox& outbox_;
  std::uint64_t until_ = 0;
};

}  // namespace detail

/// A bounded queue of messages in front of a stream. Any number of tasks of the loop send; one
/// task, run(), writes many messages with one system call. Messages stay whole and keep their
/// order; on a sequenced-packet socket each message is a packet. The policy says what happens when
/// the peer does not keep up.
///
/// It does not own the stream. Start run() in a nursery that contains the senders, and send on the
/// stream through the outbox only:
///
///     outbox out(socket);  // before with_nursery
///     nursery.start([&] { return out.run(); });
///     co_await out.send("hello\n");
///
/// When the stream fails, run() throws its error, and so does every send, including pending ones.
class COSOCK_API outbox {
 public:
  /// Allocates the queue; the bytes of the messages are allocated by the senders. The stream must
  /// outlive the outbox. Throws std::invalid_argument for more `max_messages` than memory can hold
  /// (PTRDIFF_MAX bytes), std::bad_alloc.
  explicit outbox(byte_stream& stream, const outbox_options& options = {});
  outbox(const outbox&) = delete;
  outbox& operator=(const outbox&) = delete;
  /// Must not be called while run() runs. Pending sends end with `error::closed`; queued messages
  /// are not sent.
  ~outbox();

  /// Queues a message. Completes when the message is queued, not when it is written: see flush().
  /// Waits for room under the policy `wait`, first come, first served. Throws the error that ended
  /// run(); `error::closed` after close(), or if run() was cancelled; `error::slow_consumer` under
  /// the policy `close`, which closes the stream, after it has sent `close_message`. Cancelled
  /// (`error::cancelled`): the message was not queued. Pass a non-null shared_ptr to share one
  /// message among peers without copying.
  detail::outbox_send_operation send(std::string message) {
    return {*this, detail::message(std::move(message))};
  }
  detail::outbox_send_operation send(std::shared_ptr<const std::string> message) {
    return {*this, detail::message(std::move(message))};
  }
  /// Queues a message if there is room. Returns false if it is full, or if send() would throw.
  /// Under the policy `close`, no room also closes the stream, as in send().
  bool try_send(std::string message) { return try_queue(detail::message(std::move(message))); }
  bool try_send(std::shared_ptr<const std::string> message) {
    return try_queue(detail::message(std::move(message)));
  }

  /// Waits until all messages that were queued before have been written to the stream or discarded,
  /// and have left the buffer of the stream, if it has one (asio_stream). Throws the errors of
  /// send() for a stream that failed; `error::cancelled`.
  detail::outbox_flush_operation flush() noexcept { return detail::outbox_flush_operation(*this); }

  /// Writes queued messages. Returns after close(), when all messages have left the stream. Throws
  /// the errors of the stream's send, and `error::slow_consumer`. Cancelled: a message may have
  /// been sent in part, and nothing more is sent; use with_grace (cancel.hpp) to send the rest.
  /// Throws std::logic_error for a second call.
  task<> run();

  /// Accepts no more messages: queued ones are written, then run() returns. Sends that wait for
  /// room end with `error::closed`. Leaves the stream open. Idempotent.
  void close() noexcept;

  /// The number of messages, and of their bytes, that wait to be written. Messages that are being
  /// written do not count.
  [[nodiscard]] std::size_t messages() const noexcept { return queue_.size(); }
  [[nodiscard]] std::size_t bytes() const noexcept { return bytes_; }
  /// The number of messages that were discarded under the policy drop_oldest.
  [[nodiscard]] std::uint64_t dropped() const noexcept { return dropped_; }

 private:
  friend class detail::outbox_send_operation;
  friend class detail::outbox_flush_operation;
  struct run_end;
  static constexpr std::size_t max_written = 32;  // messages with one call

  bool has_room(std::size_t bytes) const noexcept;
  bool queue(detail::message& message) noexcept;
  bool try_queue(detail::message message);
  void admit() noexcept;
  std::size_t begin_batch() noexcept;
  void drop_oldest() noexcept;
  /// How many, from the first one on, are written or dropped.
  std::uint64_t gone() const noexcept {
    return writing_.size() != 0 ? before_ : queued_ - queue_.size();
  }
  bool flush_is_due() noexcept;
  void complete_flushes() noexcept;
  [[noreturn]] void fail(detail::failure why);
  void break_with(detail::failure why) noexcept;
  void give_up() noexcept;
  task<> write_all();
  detail::failure refusal() const noexcept;

  byte_stream& stream_;
  outbox_options options_;
  std::string close_message_;
  detail::ring<detail::message> queue_;
  detail::ring<detail::message> writing_;
  std::size_t bytes_ = 0;
  std::uint64_t queued_ = 0;  // messages, ever
  std::uint64_t before_ = 0;  // of them, before those being written
  std::uint64_t dropped_ = 0;
  std::array<const_buffer, max_written> batch_;
  event work_;
  cancel_scope writing_time_;
  detail::wait_list senders_;
  detail::wait_list flushes_;
  detail::failure broken_;
  bool started_ = false;
  bool closed_ = false;
  bool giving_up_ = false;  // the last words are to be written, and then the stream is closed
};

}  // namespace cosock
