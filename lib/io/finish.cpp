// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// byte_stream::finish(): ends a connection in order, for each kind of stream. It uses only the
// interface of io_object. Called by programs and by serve().

#include <cosock/finish.hpp>

#include "core/checkpoint.hpp"
#include "core/failure.hpp"
#include "core/scheduler.hpp"

#include <cosock/cancel.hpp>
#include <cosock/task.hpp>

namespace cosock {

namespace {

/// Closes the stream, however finish() ends. input_ended is set, so that close() of an asio_stream
/// does not wait for the end of the peer in the background, after finish() has given that up.
struct closing {
  byte_stream& stream;
  ~closing() {
    if (detail::io_object* const s = detail::stream_access::object_of(stream))
      s->input_ended = true;
    stream.close();
  }
};

/// Begins a half close. False if the stream has no half close.
bool end_sending(byte_stream& stream) {
  try {
    stream.shutdown_send();
    return true;
  } catch (const boost::system::system_error& e) {
    if (e.code() != boost::system::errc::operation_not_supported) throw;
    return false;
  }
}

/// Receives until the end of the stream, and returns true; false if the input exceeds the limit.
task<bool> discard(byte_stream& from, std::size_t max_discard) {
  // Shared by all streams of the loop: nobody reads it, so they may overwrite each other.
  const mutable_buffer into = detail::scheduler::required().discarded();
  for (std::size_t all = 0; all <= max_discard;) {
    const auto got = co_await as_result(from.receive(into));
    if (got.has_error()) {
      // Only a socket with messages: the rest of the message is discarded by the system.
      if (got.error() != error::message_truncated) detail::raise(detail::to_failure(got.error()));
      all += into.size();
    } else if (*got == 0) {
      co_return true;
    } else {
      all += *got;
    }
  }
  co_return false;
}

/// The errors of this side. All others mean that the peer has gone.
bool is_own(const boost::system::error_code& code) noexcept {
  return code == error::busy || code == error::closed || code == error::cancelled;
}

task<bool> finish_in_order(byte_stream& stream, std::size_t max_discard, bool& sent) {
  // By reference: the stream may be closed or moved from while this waits.
  detail::io_object* const& object = detail::stream_access::object_of(stream);
  co_await detail::stream_flush_operation(object);
  const bool half_closes = end_sending(stream);
  if (half_closes) co_await detail::stream_flush_operation(object);  // of the end: close_notify
  sent = true;
  if (!half_closes) co_return false;
  co_return (object && object->input_ended) || co_await discard(stream, max_discard);
}

}  // namespace

task<bool> byte_stream::finish() { return finish(finish_options()); }

task<bool> byte_stream::finish(finish_options how) {
  if (!is_open()) detail::raise(detail::closed_failure());
  if (object_->is_busy()) detail::raise(detail::own_failure(error::busy));
  const bool ended = object_->input_ended;  // `closing` sets it
  // Asked now: the stream may be closed or moved from while this waits.
  const bool forgives = object_->forgives_lost_peer();
  // The stream stays open after the errors above, and is closed after a cancellation.
  const closing at_end{*this};
  co_await detail::checkpoint();
  if (how.timeout <= std::chrono::nanoseconds::zero()) co_return ended;
  // Nothing to send and nothing to wait for.
  if (!object_->needs_close_notify && !object_->may_finish()) {
    detail::failure lost;
    if (object_->is_flushed(lost)) {
      if (lost && ended && !forgives) detail::raise(lost);  // the peer waits for what cannot leave
      co_return ended;
    }
  }
  bool sent = false;
  try {
    co_return co_await with_timeout(how.timeout, finish_in_order(*this, how.max_discard, sent));
  } catch (const boost::system::system_error& e) {
    // If all data is sent, a peer that does not end its direction is no error.
    if (e.code() == error::timed_out ? !sent : !forgives || is_own(e.code())) throw;
  }
  co_return ended;
}

}  // namespace cosock
