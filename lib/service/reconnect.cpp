// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// reconnecting_client: attempts, backoff, and the decision whether to try again. It does not know
// the type of the connection, see detail/reconnect.hpp.

#include <cosock/reconnect.hpp>

#include "core/checkpoint.hpp"
#include "core/failure.hpp"
#include "core/random.hpp"
#include "core/scheduler.hpp"

#include <cosock/cancel.hpp>
#include <cosock/clock.hpp>
#include <cosock/time.hpp>

#include <algorithm>
#include <stdexcept>

namespace cosock {

using std::chrono::nanoseconds;

namespace {

/// Whether another attempt can help. Exceptions of the program are not retried.
bool may_pass(const std::exception_ptr& why) {
  try {
    std::rethrow_exception(why);
  } catch (const multiple_errors& several) {  // derived from system_error, so it comes first
    return std::all_of(several.errors().begin(), several.errors().end(), may_pass);
  } catch (const boost::system::system_error& e) {
    return !is_permanent(e.code());
  } catch (...) {
    return false;
  }
}

}  // namespace

detail::reconnect_session::~reconnect_session() = default;

reconnecting_client::reconnecting_client(const reconnecting_client_options& options)
    : options_(options), random_(options.seed) {}

void reconnecting_client::stop() noexcept {
  stopped_ = true;
  if (running_) running_->cancel();
}

task<> reconnecting_client::run_session(detail::reconnect_session& session) {
  if (running_) throw std::logic_error("cosock: a reconnecting_client holds one run() at a time");
  struct current_scope {
    explicit current_scope(cancel_scope*& at) noexcept : at(at) { at = &scope; }
    ~current_scope() { at = nullptr; }
    cancel_scope*& at;
    cancel_scope scope;
  } inside(running_);
  if (stopped_) inside.scope.cancel();
  if (!random_) random_ = detail::scheduler::required().io().random_number();
  failed_ = 0;
  waits_ = 0;
  try {
    co_await inside.scope.run(run_loop(session));
    co_return;
  } catch (const boost::system::system_error& e) {
    if (!stopped_ || e.code() != error::cancelled) throw;
  }
  co_await detail::checkpoint();  // stop() is no error, unless it was cancelled from outside too
}

task<> reconnecting_client::run_loop(detail::reconnect_session& session) {
  for (;;) {
    co_await detail::checkpoint();
    std::exception_ptr why;
    std::optional<clock::time_point> since;
    try {
      co_await session.connect();
      // Connecting may complete although it was cancelled.
      if (running_->is_cancelled()) detail::raise(detail::cancelled_failure());
      since = now();
      succeeded_ = false;
      const session_result next = co_await session.session();
      if (next == session_result::done) co_return;
      detail::raise_as(detail::own_failure(error::end_of_stream), "the connection has ended");
    } catch (...) {
      why = std::current_exception();
    }
    const bool success = since && (succeeded_ || now() - *since >= options_.stable);
    session.close();
    // Outside the catch block, where a coroutine cannot await; `why` is released before the wait.
    const nanoseconds delay = delay_after(std::exchange(why, nullptr), success);
    co_await sleep_for(delay);
  }
}

/// The time to wait before the next attempt. Rethrows `why` if there is no next attempt.
nanoseconds reconnecting_client::delay_after(const std::exception_ptr& why, bool success) {
  if (!may_pass(why)) std::rethrow_exception(why);
  if (running_->is_cancelled()) detail::raise(detail::cancelled_failure());
  if (success)
    failed_ = waits_ = 0;
  else if (++failed_ >= options_.max_attempts.value_or(SIZE_MAX))
    std::rethrow_exception(why);
  const nanoseconds delay = next_delay();
  const std::string text = error_message(why);
  options_.on_retry({detail::to_error_code(detail::failure_of(why)), text, delay, waits_});
  return delay;
}

/// A random time up to a limit that doubles with each failure ("full jitter"), so that the clients
/// of a server that has failed do not all return at the same time.
nanoseconds reconnecting_client::next_delay() noexcept {
  const std::int64_t base = options_.base.count();
  const std::int64_t cap = options_.cap.count();
  const std::size_t n = waits_++;
  if (base <= 0 || cap <= 0) return nanoseconds(0);
  const std::int64_t limit = n >= 63 || base > cap >> n ? cap : base << n;
  return nanoseconds(static_cast<std::int64_t>(detail::unit_of(detail::next_random(*random_)) *
                                               static_cast<double>(limit)));
}

}  // namespace cosock
