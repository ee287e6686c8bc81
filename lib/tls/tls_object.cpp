// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// The engine of a tls_stream: what OpenSSL reads and writes, and what the operations make of it. The
// transport is in tls_transport.cpp, the handshake in handshake.cpp.

#include "tls/tls_object.hpp"

#include "core/scheduler.hpp"

#include <algorithm>
#include <cstring>
#include <memory>

namespace cosock::detail {

// The engine

tls_object::tls_object(std::unique_ptr<byte_stream> transport, ssl_ptr ssl)
    : transport_(std::move(transport)), ssl_(std::move(ssl)) {
  io_object* const stream = stream_access::object_of(*transport_);
  if (!stream || !stream->loop) raise(closed_stream());
  BIO* const bio = not_null(new_transport_bio(*this));
  SSL_set_bio(ssl_.get(), bio, bio);
  loop = stream->loop;
  scheduler::get(*loop).add_service(*this);
}

tls_object::~tls_object() {
  close(true);
  in_watch_.stop();
  out_watch_.stop();
}

io_object* tls_object::below() const noexcept {
  io_object* const stream = transport_ ? stream_access::object_of(*transport_) : nullptr;
  return stream && stream->loop ? stream : nullptr;
}

// Receiving

bool tls_object::may_read_more() const noexcept {
  const io_object* const stream = below();
  return !stream || stream->maybe_ready[reading] || SSL_has_pending(ssl_.get()) == 1;
}

failure tls_object::failure_of_ssl() noexcept {
  // The last error: what other code has left in the queue of the thread is before it.
  const tls_errc code = code_of(ERR_peek_last_error());
  ERR_clear_error();
  needs_close_notify = false;
  return tls_failure(session_->alert ? code_of_alert(*session_->alert) : code);
}

std::size_t tls_object::read_record(void* into, std::size_t size, bool peek,
                                    failure& why) noexcept {
  if (failed_ || ended_) {
    why = failed_;
    return 0;
  }
  reads_left_ = max_reads;
  pauses_ = waits_for_room_ = false;
  std::size_t got = 0;
  const int result =
      peek ? SSL_peek_ex(ssl_.get(), into, size, &got) : SSL_read_ex(ssl_.get(), into, size, &got);
  if (!out_.empty()) [[unlikely]]
    keep_flushing();
  if (result == 1) {
    // A ticket makes OpenSSL allocate a buffer for an answer that does not follow.
    if (std::exchange(messages_, 0) != 0) [[unlikely]]
      SSL_free_buffers(ssl_.get());
    return got;
  }
  // By SSL_want(), not by SSL_get_error(), which looks into the queue of errors: that would have to be
  // cleared before each call.
  const int wanted = SSL_want(ssl_.get());
  if (messages_ > max_messages) {
    failed_ = tls_failure(tls_errc::too_many_messages);
    needs_close_notify = false;
  } else if (wanted == SSL_READING) {
    if (transport_ended_ && accept_truncation_)
      ended_ = true;
    else if (transport_ended_ && !in_failed_)
      in_failed_ = tls_failure(tls_errc::truncated);
  } else if (wanted == SSL_WRITING) {
    waits_for_room_ = true;
  } else if ((SSL_get_shutdown(ssl_.get()) & SSL_RECEIVED_SHUTDOWN) != 0 && !session_->alert) {
    ended_ = true;
  } else {
    failed_ = failure_of_ssl();
  }
  why = failed_ ? failed_ : in_failed_;
  return 0;
}

step tls_object::receive(stream_operation& op) noexcept {
  for (;;) {
    failure why = {0, nullptr};
    std::size_t got;
    step reached = step::pending;
    maybe_ready[reading] = true;
    if (op.contiguous()) [[likely]] {
      got = read_record(op.data(), op.left(), false, why);
    } else {
      // A record is the most that is read at once, so it is copied to several buffers.
      std::array<char, max_record> record;
      std::array<piece, 64> pieces;
      const std::size_t count = op.pieces(pieces.data(), pieces.size());
      std::size_t room = 0;
      for (std::size_t i = 0; i != count; ++i) room += pieces[i].size;
      got = read_record(record.data(), std::min(room, record.size()), false, why);
      std::size_t copied = 0;
      for (std::size_t i = 0; copied != got; ++i) {
        const std::size_t n = std::min(pieces[i].size, got - copied);
        std::memcpy(pieces[i].data, record.data() + copied, n);
        copied += n;
      }
    }
    if (got == 0) {
      if (why) return op.failed(why);
      if (ended_) {
        input_ended = true;
        return op.moved(0);
      }
      maybe_ready[reading] = pauses_;  // if it only paused, it continues in the next turn
      return step::pending;
    }
    maybe_ready[reading] = may_read_more();
    reached = op.moved(got);
    if (reached == step::done) return step::done;
    if (--loop->budget <= 0) {
      maybe_ready[reading] = true;
      return step::pending;
    }
  }
}

bool tls_object::is_ready(io_direction direction) noexcept {
  if (direction == writing) {
    io_object* const stream = below();
    const bool ends = !stream || shut_ || failed_;
    return maybe_ready[writing] = ends || (flush() && (out_failed_ || stream->is_ready(writing)));
  }
  char first;
  failure why = {0, nullptr};
  const bool found = read_record(&first, 1, true, why) != 0 || why || ended_;
  maybe_ready[reading] = found || pauses_;
  return found;
}

// Sending

/// The next bytes to send, at most a record: of one buffer in place, of several joined, because each
/// record costs a header, a tag and a call.
std::size_t tls_object::take_chunk(const stream_operation& op, std::array<char, max_record>& joined,
                                   const void*& chunk) const {
  if (op.contiguous()) {
    chunk = op.data();
    return std::min(op.left(), max_record);
  }
  std::array<piece, 64> pieces;
  const std::size_t count = op.pieces(pieces.data(), pieces.size());
  std::size_t size = 0;
  for (std::size_t i = 0; i != count && size != joined.size(); ++i) {
    const std::size_t n = std::min(pieces[i].size, joined.size() - size);
    std::memcpy(joined.data() + size, pieces[i].data, n);
    size += n;
  }
  chunk = joined.data();
  return size;
}

step tls_object::send(stream_operation& op) noexcept {
  std::array<char, max_record> joined;
  for (;;) {
    maybe_ready[writing] = true;
    if (!flush()) {
      maybe_ready[writing] = false;
      return step::pending;
    }
    if (out_failed_) return op.failed(out_failed_);
    if (failed_) return op.failed(failed_);
    if (shut_) return op.failed(system_code(EPIPE));
    const void* chunk = nullptr;
    const std::size_t size = take_chunk(op, joined, chunk);
    if (size == 0) return step::done;  // it waited for the rest of its last record
    const bool sends_tickets = owes_tickets_;
    if (sends_tickets) [[unlikely]]
      add_tickets();
    std::size_t written = 0;
    const int result = SSL_write_ex(ssl_.get(), chunk, size, &written);
    if (sends_tickets) [[unlikely]]
      SSL_free_buffers(ssl_.get());  // one for input was allocated for them
    if (result != 1) {
      failed_ = failure_of_ssl();
      return op.failed(failed_);
    }
    const step reached = op.moved(written);
    if (!out_.empty()) {
      // The rest leaves in the background, also if the operation is cancelled.
      maybe_ready[writing] = false;
      keep_flushing();
      if (op.requested() == stream_operation::kind::send_some) return step::done;
      return step::pending;
    }
    if (reached == step::done) return step::done;
    if (--loop->budget <= 0) return step::pending;
  }
}

void tls_object::count_message() noexcept {
  if (connected_) ++messages_;
}

/// Two for connections side by side; one in the place of a ticket that was used.
void tls_object::add_tickets() noexcept {
  owes_tickets_ = false;
  for (int i = SSL_session_reused(ssl_.get()); i < 2; ++i) SSL_new_session_ticket(ssl_.get());
}

// Ending

/// A server that has sent no data has sent no tickets either.
void tls_object::send_goodbye() noexcept {
  shut_ = true;
  needs_close_notify = false;
  clear_openssl_errors();
  if (owes_tickets_) {
    add_tickets();
    SSL_do_handshake(ssl_.get());
  }
  SSL_shutdown(ssl_.get());
}

void tls_object::end_sending() {
  if (!loop) raise(closed_stream());
  if (waiter[writing]) raise({static_cast<int>(error::busy), &own_category()});
  if (shut_) return;
  if (failed_) {
    shut_ = true;
    needs_close_notify = false;
    return;
  }
  send_goodbye();
  keep_flushing();
}

bool tls_object::is_flushed(failure& why) noexcept {
  const bool empty = flush();
  io_object* const stream = below();
  if (out_failed_) why = out_failed_;
  if (out_failed_ || !stream || (empty && stream->is_flushed(why))) return true;
  maybe_ready[writing] = false;
  keep_flushing();
  return false;
}

bool tls_object::may_finish() noexcept {
  return !ended_ && !failed_ && !in_failed_ && !out_failed_ && below();
}

void tls_object::count_into(byte_counter& counter) noexcept {
  if (io_object* const stream = below()) stream->count_into(counter);
}

/// Not after the other direction was cut or lost: what this side has sent may be incomplete for that
/// reason, and must not look as if it were complete.
void tls_object::say_goodbye() noexcept {
  // What is left of earlier records first, if it can leave at once: an alert or close_notify too.
  if (!flush() || !connected_ || shut_ || failed_ || in_failed_ || out_failed_) return;
  send_goodbye();
}

/// A connection that is closed with unread input is reset, and the peer may lose data that it has not
/// read: so tickets that nobody has read are taken from the transport. The limit is that of a peer that
/// still sends data, which nobody wants.
void tls_object::discard_waiting_input() noexcept {
  std::array<char, max_record> discarded;
  std::size_t got;
  reads_left_ = 4;
  while (read_transport(discarded.data(), discarded.size(), got) == 1) {
  }
}

void tls_object::close(bool keeps) noexcept {
  if (!loop) return;
  abandon(closed_stream());
  say_goodbye();
  if (connected_ && !keeps) discard_waiting_input();
  in_watch_.stop();
  out_watch_.stop();
  loop_service::unlink();
  loop = nullptr;
  if (session_) session_->engine = nullptr;
  ssl_.reset();
  out_ = {};
  if (keeps)
    transport_.reset();
  else
    transport_->close();
}

/// The transport has ended, or will end now: there is no time for a goodbye.
void tls_object::on_loop_shutdown() noexcept {
  abandon(closed_stream());
  in_watch_.stop();
  out_watch_.stop();
  loop = nullptr;
  if (session_) session_->engine = nullptr;
  ssl_.reset();
  out_ = {};
}

}  // namespace cosock::detail
