// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cosock/connect.hpp>
#include <cosock/detail/chrono.hpp>
#include <cosock/detail/reconnect.hpp>
#include <cosock/duration.hpp>
#include <cosock/error.hpp>
#include <cosock/observer.hpp>

#include <string_view>

namespace cosock {

/// The result of a session. A session that returns task<> means `reconnect`.
enum class session_result { reconnect, done };

/// The argument of the observer, which is called before each wait.
struct retry_event {
  boost::system::error_code error;  ///< `end_of_stream` if the session returned
  std::string_view text;            ///< the text of the error; valid during the call
  std::chrono::nanoseconds delay;   ///< the duration of the wait
  std::size_t attempt;  ///< number of waits since the last success, with this one: from 1
};

/// How long a client waits between connections, and when it stops trying. The n-th wait since the last
/// success, from 1, is a uniformly distributed random number between 0 and min(cap, base * 2^(n-1))
/// ("full jitter"), so clients that lost the same server do not return at the same time.
struct reconnecting_client_options {
  time_span base = std::chrono::milliseconds(100);  ///< zero or less: no waits
  time_span cap = std::chrono::seconds(30);         ///< the longest wait; zero or less: no waits
  /// A connection that lasts this long is a success, however it ends: it resets the waits. A shorter
  /// one is a failed attempt, unless its session called succeeded(), so a server that accepts and
  /// closes at once is not flooded. Zero or less: every connection is a success.
  /// `unlimited`: only if the session calls succeeded().
  time_span stable = std::chrono::seconds(30);
  /// Give up after this many failures in a row; not set: never. 0 counts as 1.
  std::optional<std::size_t> max_attempts = std::nullopt;
  std::optional<std::uint64_t> seed =
      std::nullopt;  ///< of the waits, for tests; not set: a random one
  /// Called before each wait; its exceptions leave run().
  observer<const retry_event&> on_retry = {};
};

/// Connects, runs a session on the connection, and when that has ended, waits and connects again.
/// Owns no tasks outside of run(). Belongs to one loop, and must outlive its run().
class COSOCK_API reconnecting_client {
 public:
  /// Copies the options; the objects that they refer to must outlive the client.
  explicit reconnecting_client(const reconnecting_client_options& options = {});
  reconnecting_client(const reconnecting_client&) = delete;
  reconnecting_client& operator=(const reconnecting_client&) = delete;

  /// Repeats: calls `connect()`, a task or an operation whose result is a socket, then
  /// `session(socket&)`, which returns `task<>` or `task<session_result>`. The session is called for
  /// each new connection, so it is the place to log in or to subscribe again. Its socket is closed
  /// when it ends.
  ///
  /// Returns when a session returns `session_result::done`, or after stop(). It connects again after a
  /// session that returns otherwise, and after a system_error of `connect` or the session, also
  /// `cancelled` if the session cancelled itself. Throws that error if is_permanent() is true for it
  /// (for multiple_errors: for any of them), or after `max_attempts` failures in a row
  /// (`end_of_stream` if the session returned); any other exception at once; std::logic_error if
  /// run() is active already. Cancelled: the connection is closed. Both functions are moved into the
  /// task.
  template <class Connect, class Session>
  task<> run(Connect connect, Session session) {
    detail::reconnect_session_of<Connect, Session> sessions(std::move(connect), std::move(session));
    co_await run_session(sessions);
  }
  /// Connects with cosock::connect(host, service), which looks up the name each time. The ranges of
  /// the filter in `how`, and its hook, must outlive the task.
  template <class Session>
  task<> run(std::string host, std::string service, Session session, connect_options how = {}) {
    return run([peer_host = std::move(host), peer_service = std::move(service),
                how] { return cosock::connect(peer_host, peer_service, how); },
               std::move(session));
  }
  template <class Session>
  task<> run(std::string host, std::uint16_t port, Session session, connect_options how = {}) {
    return run(std::move(host), std::to_string(port), std::move(session), how);
  }

  /// Makes the connection of the current session a success, however short it is and however it ends:
  /// the waits and the count of failures are reset. For a session that has logged in, or has done its
  /// work. Idempotent; no effect while no session runs.
  void succeeded() noexcept { succeeded_ = true; }

  /// Ends run(), the current one and later ones: its operation is cancelled, and run() returns
  /// normally. Cannot be undone. Idempotent.
  void stop() noexcept;
  /// Whether stop() was called.
  [[nodiscard]] bool is_stopped() const noexcept { return stopped_; }

 private:
  task<> run_session(detail::reconnect_session&);
  task<> run_loop(detail::reconnect_session&);
  std::chrono::nanoseconds delay_after(const std::exception_ptr& why, bool success);
  std::chrono::nanoseconds next_delay() noexcept;
  reconnecting_client_options options_;
  std::optional<std::uint64_t> random_;  // that of the options, or of the loop at the first run()
  std::size_t failed_ = 0;               // attempts in a row
  std::size_t waits_ = 0;                // in a row
  cancel_scope* running_ = nullptr;
  bool stopped_ = false;
  bool succeeded_ = false;  // the session that runs
};

}  // namespace cosock
