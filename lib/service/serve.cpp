// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// serve(): accepting, limits, drain and counters, without the types of acceptor and handler, which
// are in detail/serve_state.hpp. Reports are in serve_reports.cpp. It runs on the loop of the task that awaits
// serve(), and owns no socket.

#include <cosock/serve.hpp>

#include "core/deadline.hpp"
#include "core/failure.hpp"
#include "core/scheduler.hpp"
#include "core/standard_numbers.hpp"
#include "io/byte_counter.hpp"

#include <cosock/time.hpp>

#include <dirent.h>
#include <sys/resource.h>

#include <algorithm>
#include <limits>
#include <new>
#include <stdexcept>
#include <string>

namespace cosock {

using detail::scheduler;

namespace {

constexpr std::chrono::nanoseconds first_delay = std::chrono::milliseconds(5);
constexpr std::chrono::nanoseconds last_delay = std::chrono::seconds(1);

std::size_t open_descriptors() noexcept {
  const detail::standard_numbers_occupied guard;
  std::size_t n = 0;
  if (DIR* const all = ::opendir("/proc/self/fd")) {
    while (::readdir(all)) ++n;
    ::closedir(all);
  }
  return n;
}

/// How many connections the limit of descriptors (RLIMIT_NOFILE) allows on this loop; at least one.
/// An eighth of the limit is kept free.
std::size_t room_for_connections() noexcept {
  rlimit limit;
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY)
    return std::numeric_limits<std::size_t>::max();
  const std::size_t used = open_descriptors() + limit.rlim_cur / 8;
  const std::size_t share = scheduler::required().siblings;
  return limit.rlim_cur > used ? std::max<std::size_t>((limit.rlim_cur - used) / share, 1) : 1;
}

/// What an error of accept() concerns. accept(2) also reports errors of the new connection, and
/// says to treat them like EAGAIN.
enum class accept_error_kind {
  connection,  // this connection only: the next accept may succeed
  room,        // descriptors or memory: try again after a pause
  passing,     // any other error: the same
  acceptor     // the acceptor: serve() ends
};

accept_error_kind kind_of_accept_error(const boost::system::error_code& e) noexcept {
  if (e.category() != boost::system::system_category()) return accept_error_kind::acceptor;
  switch (e.value()) {
    case ECONNABORTED:
    case ECONNRESET:
    case EHOSTDOWN:
    case EHOSTUNREACH:
    case EINTR:
    case ENETDOWN:
    case ENETUNREACH:
    case ENONET:
    case ENOPROTOOPT:
    case EPROTO:
    case ETIMEDOUT: return accept_error_kind::connection;
    case EMFILE:
    case ENFILE:
    case ENOBUFS:
    case ENOMEM:
    case ENOSPC: return accept_error_kind::room;
    case EBADF:
    case EFAULT:
    case EINVAL:
    case ENOSYS:
    case ENOTSOCK: return accept_error_kind::acceptor;
    default: return accept_error_kind::passing;  // EPERM, ENOSR
  }
}

/// The number of errors of single connections in a row that are skipped. After that they count as
/// lasting, and serve() pauses.
constexpr int max_skipped = 64;

/// A stream for finish(), around an object whose own stream the handler has destroyed. The
/// sending direction is shut down already.
class kept_stream final : public byte_stream {
 public:
  explicit kept_stream(detail::io_object*& left) noexcept
      : byte_stream(std::exchange(left, nullptr)) {}
  kept_stream(const kept_stream&) = delete;
  ~kept_stream() override { close(); }
  void shutdown_send() override {}
  void close() noexcept override {
    if (object_) std::exchange(object_, nullptr)->close_left();
  }
};

}  // namespace

void server_handle::stop() noexcept {
  if (std::exchange(stopping_, true)) return;
  draining_.set();
  if (state_) state_->stop();
}

serve_counters server_handle::counters() const noexcept {
  if (state_) state_->count_bytes();
  return counters_;
}

namespace detail {

serve_state::serve_state(server_handle& handle, const serve_options& options)
    : handle_(handle),
      options_(options),
      max_connections_(options.max_connections ? *options.max_connections : room_for_connections()),
      bytes_(new byte_counter) {
  const bool no_connections = max_connections_ == 0;
  if (handle.state_ || no_connections) {
    bytes_->drop();
    if (no_connections) throw std::invalid_argument("cosock: serve_options::max_connections is 0");
    throw std::logic_error("cosock: a server handle is for one serve()");
  }
  try {
    open_guards();
  } catch (...) {
    bytes_->drop();
    throw;
  }
  handle.state_ = this;
  if (handle.stopping_) accepting_.cancel();
}

serve_state::~serve_state() {
  report_rest();
  count_bytes();
  handle_.state_ = nullptr;
  bytes_->drop();
}

void serve_state::count_bytes() noexcept {
  handle_.counters_.bytes_in = bytes_->all_in();
  handle_.counters_.bytes_out = bytes_->all_out();
}

void serve_state::refuse_backlog() {
  throw std::logic_error("cosock: serve_options::backlog is for acceptors with set_backlog()");
}

void serve_state::stop() noexcept { accepting_.cancel(); }

serve_state::connection_guard::connection_guard(serve_state& server, const byte_stream& connection,
                                                peer_place&& place)
    : server_(&server), place_(std::move(place)) {
  serve_counters& counters = server.handle_.counters_;
  ++counters.accepted;
  counters.peak = std::max(counters.peak, ++counters.active);
  if (io_object* const s = stream_access::object_of(connection)) s->count_into(*server.bytes_);
  try {
    first_byte_ = server.watch_first_byte(connection);
  } catch (const std::bad_alloc&) {
    server.connection_ended();
    throw;
  }
}

void serve_state::connection_ended() noexcept {
  --handle_.counters_.active;
  room_.set();
}

event& serve_state::draining() noexcept { return handle_.draining_; }

bool serve_state::keeps() const noexcept { return options_.finish_timeout.count() > 0; }

bool serve_state::may_finish(const byte_stream& connection, kept_io_object& kept) const noexcept {
  if (!keeps()) return false;
  if (kept.left()) return true;
  io_object* const open = stream_access::object_of(connection);
  failure lost;
  return open && open->loop &&
         (!open->input_ended || open->needs_close_notify || !open->is_flushed(lost));
}

task<> serve_state::finish(byte_stream& connection, kept_io_object& kept) {
  const finish_options how{options_.finish_timeout, options_.max_discard};
  if (kept.left()) {
    kept_stream rest(kept.left());
    co_await rest.finish(how);
  } else {
    co_await connection.finish(how);
  }
}

bool serve_state::has_room() const noexcept { return handle_.counters_.active < max_connections_; }

void serve_state::accepted() noexcept {
  delay_ = first_delay;
  skipped_ = 0;
}

/// The awaitable around accepting and the handlers. A cancellation from outside does not pass: it
/// only cancels accepting, so that the handlers have the time of the drain.
class serve_state::stop_on_cancellation final : public awaiter_of<stop_on_cancellation>,
                                                public shield_scope {
 public:
  stop_on_cancellation(serve_state& server, task<> inside)
      : shield_scope(INT64_MAX), server_(server), inside_(operand(std::move(inside))) {}
  stop_on_cancellation(const stop_on_cancellation&) = delete;

  step start(std::coroutine_handle<> awaiting, cancel_node& outer) {
    cancelled_ = outer.cancelled;  // enter() calls cancel() then
    enter(outer);
    return inside_.start(awaiting, inner_);
  }
  void cancel() noexcept override {
    // After server_handle::stop() it is no error: serve() returns.
    if (!server_.handle_.stopping_) cancelled_ = true;
    server_.handle_.draining_.set();
    server_.accepting_.cancel();
  }
  void result() {
    leave();
    inside_.result();
    if (cancelled_) raise(cancelled_failure());
  }
  failure fail() noexcept {
    leave();
    const failure inside = inside_.fail();
    return !inside && cancelled_ ? cancelled_failure() : inside;
  }
  bool has_details() const noexcept { return detail::has_details(inside_); }

 private:
  serve_state& server_;
  bool cancelled_ = false;
  task_awaiter<void> inside_;
};

task<> serve_state::run() { co_await stop_on_cancellation(*this, accept_and_drain()); }

task<> serve_state::accept_and_drain() {
  std::exception_ptr failed;  // the acceptor
  try {
    co_await connections_.run(with_nursery([&](nursery& handlers) -> task<> {
      {
        // Before the drain, however accepting ends: clients must not wait in a backlog that is not
        // served.
        struct closing {
          serve_state& server;
          ~closing() { server.close(); }
        } const at_end{*this};
        try {
          co_await accepting_.run(accept_all(handlers));
        } catch (...) {
          const bool stopped =
              accepting_.is_cancelled() && is_cancelled(failure_of(std::current_exception()));
          if (!stopped) failed = std::current_exception();
        }
        accept_all_rest(handlers);
      }
      handle_.draining_.set();
      // The body of the nursery ends here; the nursery waits for the handlers until this deadline.
      connections_.set_deadline(deadline_after(options_.drain));
    }));
  } catch (const boost::system::system_error& e) {
    if (e.code() != error::timed_out) throw;
  }
  if (handle_.counters_.cut != 0 && options_.drain.count() > 0) report_cut();
  if (failed) std::rethrow_exception(failed);
}

/// Connections beyond max_connections are served too: they have their descriptors already.
void serve_state::accept_all_rest(nursery& handlers) noexcept {
  for (bool some = true; some;) {
    try {
      some = accept_rest(handlers);
    } catch (const boost::system::system_error& e) {
      some = kind_of_accept_error(e.code()) != accept_error_kind::acceptor;
      if (some) accept_failed(e.code().value());
    } catch (...) {
      accept_failed(ENOMEM);
    }
  }
}

task<> serve_state::accept_all(nursery& handlers) {
  if (options_.backlog) set_backlog(*options_.backlog);
  accepted();
  for (;;) {
    while (!has_room()) {
      room_.reset();
      co_await room_.wait();
    }
    accept_error_kind why;
    try {
      co_await accept_some(handlers);
      continue;
    } catch (const boost::system::system_error& e) {
      why = kind_of_accept_error(e.code());
      if (why == accept_error_kind::acceptor) throw;
      accept_failed(e.code().value());
    } catch (const std::bad_alloc&) {
      why = accept_error_kind::room;
      accept_failed(ENOMEM);
    }
    if (why == accept_error_kind::room) ++handle_.counters_.rejected;
    if (why == accept_error_kind::connection && ++skipped_ <= max_skipped) {
      co_await yield();  // other tasks run between many such errors
      continue;
    }
    // The end of a connection may free a descriptor, so it ends the pause.
    room_.reset();
    const auto connection_ended = co_await as_result(with_timeout(delay_, room_.wait()));
    if (!connection_ended && connection_ended.error() == error::cancelled)
      raise(cancelled_failure());
    delay_ = std::min(2 * delay_, last_delay);
  }
}

}  // namespace detail
}  // namespace cosock
