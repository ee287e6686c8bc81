// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cosock/connect.hpp>
#include <cosock/detail/reconnect.hpp>
#include <cosock/error.hpp>

#include <chrono>
#include <string_view>

namespace cosock {

/// What a session that returns asks for. One that returns nothing asks to reconnect.
enum class session_result { reconnect, done };

/// What an observer is told before each wait.
struct retry_event {
  boost::system::error_code error;  ///< `end_of_stream` where the session returned
  std::string_view text;            ///< what the error says; valid during the call
  std::chrono::nanoseconds delay;   ///< how long the wait will be
  std::size_t attempt;              ///< which wait in a row it is; 1 after a success
};

/// A reference to something to call with a retry_event: a function, a lambda that captures
/// nothing, or an object, which it does not own and which outlives it. Empty by default.
class retry_observer {
 public:
  /// What it can call without referring to an object.
  using function = void (*)(const retry_event&);
  constexpr retry_observer() noexcept = default;
  /// Keeps the address of a function, or that of an object.
  template <class F>
    requires(!std::same_as<std::remove_cvref_t<F>, retry_observer> &&
             std::invocable<F&, const retry_event&> &&
             (std::is_lvalue_reference_v<F> || std::convertible_to<F, function>))
  retry_observer(F&& of) noexcept {
    if constexpr (std::convertible_to<F, function>) {
      function_ = of;
    } else {
      object_ = __builtin_addressof(of);
      call_ = [](const void* object, const retry_event& notice) {
        (*static_cast<std::remove_reference_t<F>*>(const_cast<void*>(object)))(notice);
      };
    }
  }
  /// Calls it, if there is something to call.
  void operator()(const retry_event& notice) const {
    if (function_) function_(notice);
    if (call_) call_(object_, notice);
  }

 private:
  function function_ = nullptr;
  const void* object_ = nullptr;
  void (*call_)(const void*, const retry_event&) = nullptr;
};

/// Where a client takes the time from, and how it waits: for tests that want to do neither.
class COSOCK_API backoff_clock {
 public:
  virtual ~backoff_clock();
  /// A time that never goes back.
  [[nodiscard]] virtual std::chrono::steady_clock::time_point now() = 0;
  /// Waits. A cancellation ends it; an error that leaves it ends the client's run().
  virtual task<> sleep_for(std::chrono::nanoseconds) = 0;
};

/// How a client waits between connections, and when it gives up. The n-th wait in a row, from 0, is
/// random, evenly between 0 and min(cap, base * 2^n) ("full jitter"): clients that lost the same
/// server do not return all at once.
struct reconnect_options {
  time_span base = std::chrono::milliseconds(100);  ///< zero or less: no waits
  time_span cap = std::chrono::seconds(30);  ///< no wait is longer; zero or less: no waits
  /// A connection that lasted this long was a success, whatever its end: the waits begin again from
  /// the first. A shorter one was an attempt that failed, unless its session called succeeded(): a
  /// server that accepts and closes at once is not pressed. Zero or less: every connection is a
  /// success. nanoseconds::max(): only those whose session says so.
  time_span stable = std::chrono::seconds(30);
  std::size_t max_attempts = 0;  ///< give up when this many have failed in a row; 0: never
  std::uint64_t seed = 0;        ///< of the waits, for tests; 0: different each time
  retry_observer on_retry = {};  ///< called before each wait; what it throws leaves run()
  backoff_clock* clock = nullptr;  ///< null: the real one. It outlives the client
};

/// Keeps a connection up: connects, runs a session on it, and when that has ended, waits and
/// connects again. Owns no tasks beyond run(). Belongs to one loop, and outlives its run().
class COSOCK_API reconnecting_client {
 public:
  /// Does nothing before run(). What `options` refers to outlives the client.
  explicit reconnecting_client(const reconnect_options& options = {});
  reconnecting_client(const reconnecting_client&) = delete;
  reconnecting_client& operator=(const reconnecting_client&) = delete;

  /// Calls `connect()`, which returns a task or an operation that gives a socket, then
  /// `session(socket&)`, which returns `task<>` or `task<session_result>`, and so on. The session is
  /// called for each new connection: it is the place to log in, or to subscribe, again. Its socket
  /// is closed as soon as it has ended.
  ///
  /// Returns when a session gives `session_result::done`, or after stop(). A session that returns
  /// otherwise, and a system_error that leaves it or `connect`, lead to the next connection;
  /// `cancelled` too, if the session cancelled itself. Throws that error if is_permanent() (of
  /// multiple_errors, any), or if `max_attempts` in a row have failed (`end_of_stream` where the session
  /// returned); other exceptions, at once; std::logic_error if it runs already. Cancelled: the
  /// connection is closed. Both functions are moved into the task.
  template <class Connect, class Session>
  task<> run(Connect connect, Session session) {
    detail::reconnect_session_of<Connect, Session> reconnect_session(std::move(connect), std::move(session));
    co_await run_session(reconnect_session);
  }
  /// The same with cosock::connect(host, service), the name being looked up each time.
  template <class Session>
  task<> run(std::string host, std::string service, Session session, connect_options how = {}) {
    return run([peer_host = std::move(host), peer_service = std::move(service), how] {
      return cosock::connect(peer_host, peer_service, how);
    }, std::move(session));
  }
  template <class Session>
  task<> run(std::string host, std::uint16_t port, Session session, connect_options how = {}) {
    return run(std::move(host), std::to_string(port), std::move(session), how);
  }

  /// Counts the connection whose session runs now as a success, however short it is and whatever its
  /// end: the next wait is the first again, and the attempts that failed before are forgotten. For a
  /// session that has done its work, or has logged in. Idempotent; no effect while no session runs.
  void succeeded() noexcept { succeeded_ = true; }

  /// Ends run(), now or later: what it is doing is cancelled, and run() returns normally. For good;
  /// idempotent.
  void stop() noexcept;
  /// Whether stop() was called.
  [[nodiscard]] bool is_stopped() const noexcept { return stopped_; }

 private:
  task<> run_session(detail::reconnect_session&);
  task<> run_loop(detail::reconnect_session&);
  std::chrono::nanoseconds delay_after(const std::exception_ptr& why, bool success);
  std::chrono::nanoseconds next_delay() noexcept;
  reconnect_options options_;
  std::uint64_t random_;
  std::size_t failed_ = 0;  // attempts in a row
  std::size_t waits_ = 0;   // in a row
  cancel_scope* running_ = nullptr;
  bool stopped_ = false;
  bool succeeded_ = false;  // the session that runs
};

}  // namespace cosock
