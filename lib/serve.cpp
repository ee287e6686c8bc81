// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#include <cosock/serve.hpp>

#include "detail/byte_counter.hpp"
#include "detail/deadline.hpp"
#include "detail/engine.hpp"
#include "detail/print.hpp"
#include "detail/system.hpp"

#include <cosock/time.hpp>

#include <dirent.h>
#include <sys/resource.h>

#include <algorithm>
#include <limits>
#include <new>
#include <stdexcept>

namespace cosock {

using detail::engine;

namespace {

constexpr std::chrono::nanoseconds first_delay = std::chrono::milliseconds(5);
constexpr std::chrono::nanoseconds last_delay = std::chrono::seconds(1);

std::size_t open_descriptors() noexcept {
  std::size_t n = 0;
  if (DIR* const all = ::opendir("/proc/self/fd")) {
    while (::readdir(all)) ++n;
    ::closedir(all);
  }
  return n;
}

/// How many connections the limit of descriptors has room for on this loop; always one.
std::size_t room_for_connections() noexcept {
  rlimit limit;
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY)
    return std::numeric_limits<std::size_t>::max();
  const std::size_t used = open_descriptors() + limit.rlim_cur / 8;
  const std::size_t share = engine::required().siblings;
  return limit.rlim_cur > used ? std::max<std::size_t>((limit.rlim_cur - used) / share, 1) : 1;
}

/// Errors of accept() that are about a connection that has died while it waited.
bool has_died(const boost::system::error_code& e) noexcept {
  return e.category() == boost::system::system_category() &&
         (e.value() == ECONNABORTED || e.value() == EPROTO);
}

/// Errors of accept() that may pass.
bool lacks_room(const boost::system::error_code& e) noexcept {
  if (e.category() != boost::system::system_category()) return false;
  const int n = e.value();
  return n == EMFILE || n == ENFILE || n == ENOBUFS || n == ENOMEM || n == ENOSPC;
}

}  // namespace

void error_observer::operator()(const std::exception_ptr& error) const {
  if (call_)
    call_(of_, error);
  else if (function_)
    function_(error);
  else
    detail::print_error(error);
}

void server::stop() noexcept {
  if (std::exchange(stopping_, true)) return;
  if (serving_) serving_->stop();
}

serve_counters server::counters() const noexcept {
  if (serving_) serving_->count_bytes();
  return counters_;
}

namespace detail {

serving::serving(server& handle, const serve_options& options)
    : handle_(handle),
      options_(options),
      most_(options.max_connections ? options.max_connections : room_for_connections()),
      bytes_(new byte_counter) {
  if (handle.serving_) {
    bytes_->drop();
    throw std::logic_error("cosock: a server handle is for one serve()");
  }
  handle.serving_ = this;
  if (handle.stopping_) accepting_.cancel();
}

serving::~serving() {
  count_bytes();
  handle_.serving_ = nullptr;
  bytes_->drop();
}

void serving::count_bytes() noexcept {
  handle_.counters_.bytes_in = bytes_->in;
  handle_.counters_.bytes_out = bytes_->out;
}

void serving::refuse_backlog() {
  throw std::logic_error("cosock: serve_options::backlog is for acceptors with set_backlog()");
}

void serving::stop() noexcept { accepting_.cancel(); }

serving::ticket::ticket(serving& of, const byte_stream& connection) noexcept : of_(&of) {
  serve_counters& all = of.handle_.counters_;
  ++all.accepted;
  all.peak = std::max(all.peak, ++all.active);
  if (source* const s = stream_access::source_of(connection)) s->count_into(*of.bytes_);
}

void serving::ended() noexcept {
  --handle_.counters_.active;
  room_.set();
}

void serving::handler_failed() noexcept {
  const std::exception_ptr e = std::current_exception();
  if (is_cancelled(failure_of(e))) return;
  ++handle_.counters_.failed;
  options_.on_error(e);
}

task<> serving::run() {
  co_await with_nursery([this](nursery& outer) -> task<> {
    outer.start([this] { return host(); });
    // Whatever ends the accepting: nobody waits in a backlog that nobody serves.
    struct ending {
      serving& of;
      ~ending() {
        of.close();
        of.stopping_.set();
      }
    } const at_end{*this};
    co_await hosting_.wait();
    try {
      co_await accepting_.run(accept_all());
    } catch (const boost::system::system_error& e) {
      if (e.code() != error::cancelled || !handle_.stopping_) throw;
    }
  });
}

/// The place where handlers run: out of reach for cancellations from outside, so that they have their
/// time to end.
task<> serving::host() {
  try {
    co_await shielded(connections_.run(with_nursery([this](nursery& handlers) -> task<> {
      handlers_ = &handlers;
      hosting_.set();
      co_await stopping_.wait();
      connections_.set_deadline(deadline_after(options_.drain));
    })));
  } catch (const boost::system::system_error& e) {
    if (e.code() != error::timed_out) throw;
  }
}

task<> serving::accept_all() {
  if (options_.backlog) set_backlog(options_.backlog);
  std::chrono::nanoseconds delay = first_delay;
  for (;;) {
    while (handle_.counters_.active >= most_) {
      room_.reset();
      co_await room_.wait();
    }
    bool no_room = false;
    bool died = false;
    try {
      co_await accept_one(*handlers_);
      delay = first_delay;
    } catch (const boost::system::system_error& e) {
      died = has_died(e.code());
      no_room = lacks_room(e.code());
      if (!died && !no_room) throw;
    } catch (const std::bad_alloc&) {
      no_room = true;
    }
    if (died) co_await yield();  // there may be many
    if (!no_room) continue;
    ++handle_.counters_.rejected;
    room_.reset();
    const auto ended = co_await as_result(with_timeout(delay, room_.wait()));
    if (!ended && ended.error() == error::cancelled) raise(cancelled_failure());
    delay = std::min(2 * delay, last_delay);
  }
}

}  // namespace detail
}  // namespace cosock
