// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cosock/address.hpp>
#include <cosock/detail/serve_state.hpp>
#include <cosock/duration.hpp>
#include <cosock/finish.hpp>

#include <cstdint>
#include <optional>

namespace cosock {

/// A function that is told of errors. Refers to what it is made from, which outlives it, unless that
/// is a function pointer or a lambda without captures.
class error_observer {
 public:
  /// Prints `program: message` to standard error.
  constexpr error_observer() noexcept = default;
  /// Calls an object.
  template <class F>
    requires(std::invocable<F&, const std::exception_ptr&> &&
             !std::same_as<std::remove_cv_t<F>, error_observer>)
  constexpr error_observer(F& of) noexcept
      : of_(const_cast<void*>(static_cast<const void*>(&of))),
        call_([](void* f, const std::exception_ptr& e) { (*static_cast<F*>(f))(e); }) {}
  /// Calls a function.
  template <class F>
    requires(std::convertible_to<F, void (*)(const std::exception_ptr&)> &&
             !std::is_lvalue_reference_v<F>)
  constexpr error_observer(F&& function) noexcept : function_(function) {}

  /// Tells it.
  COSOCK_API void operator()(const std::exception_ptr& error) const;

 private:
  void* of_ = nullptr;
  void (*call_)(void*, const std::exception_ptr&) = nullptr;
  void (*function_)(const std::exception_ptr&) = nullptr;
};

/// How connections are served. The defaults protect the process.
struct serve_options {
  /// How many connections are served at once; when there are so many, the rest wait in the backlog.
  /// 0: what the limit of open descriptors allows, less those that are open and an eighth for other
  /// uses; of that each of several loops (loops.hpp) takes its share.
  std::size_t max_connections = 0;
  /// How many connections may wait to be accepted; the system may cut it (listen(2)). 0: as the
  /// acceptor was opened. Another number needs an acceptor that has set_backlog().
  int backlog = 0;
  /// How long handlers may go on when the server stops; then they are cancelled. Zero or less: at
  /// once; std::chrono::nanoseconds::max(): never.
  time_span drain = std::chrono::seconds(10);
  /// How long a connection that a handler has left open may take to end in order, see
  /// byte_stream::finish(). Zero or less: it is closed at once.
  time_span finish_timeout = std::chrono::seconds(2);
  /// Bytes of the peer that are discarded meanwhile; after more the connection is closed.
  std::size_t max_discard = 256 << 10;
  /// Called for each error that leaves a handler, and for errors of accept() after which serving
  /// goes on, once for each code. Must not throw.
  error_observer on_error = {};
  /// How many errors a second `on_error` is called for. The others are counted, and their number is
  /// reported to it, as a std::runtime_error, before the next error and when the server ends.
  /// std::nullopt: every error; 0: no error.
  std::optional<std::uint32_t> max_reports = 10;
};

/// What a server has done so far.
struct serve_counters {
  std::uint64_t accepted = 0;   ///< connections
  std::uint64_t failed = 0;     ///< of which the handler ended with an error
  std::uint64_t rejected = 0;   ///< tries to accept for which the system had no room
  std::uint64_t accept_errors = 0;  ///< all errors of accept() after which it went on
  std::uint64_t unreported = 0;     ///< errors that were not reported
  std::size_t active = 0;       ///< connections that are being served
  std::size_t peak = 0;         ///< the most there were at once
  std::uint64_t bytes_in = 0;   ///< received over all connections
  std::uint64_t bytes_out = 0;  ///< sent
};

/// The handle of a server: stops it, and tells what it does. Outlives the serve() it is given to, and
/// belongs to its loop. For one serve() only.
class COSOCK_API server_handle {
 public:
  server_handle() noexcept = default;
  server_handle(const server_handle&) = delete;
  server_handle& operator=(const server_handle&) = delete;

  /// Closes the acceptor, and gives the handlers their time to end: serve() then returns. Idempotent;
  /// before serve() begins it has that return at once.
  void stop() noexcept;
  /// Whether stop() was called.
  [[nodiscard]] bool is_stopping() const noexcept { return stopping_; }
  /// The figures of this moment; after serve() has returned, the last ones.
  [[nodiscard]] serve_counters counters() const noexcept;

 private:
  friend class detail::serve_state;
  detail::serve_state* state_ = nullptr;
  serve_counters counters_;
  bool stopping_ = false;
};

/// Accepts connections until it is stopped, and runs `handler` for each, side by side.
///
/// `handler` is called with the stream, by value or by reference, and with a `const connection&`
/// (connection.hpp) as a second argument if it takes one, and returns task<>. A connection that was
/// reset before reaches it too. `on_error` is called with what leaves a handler, which costs only its
/// connection; a cancellation is no error.
///
/// A connection that the handler has left open, also one that was moved and destroyed inside the
/// handler, ends in order, as byte_stream::finish() does: it is shut down, what still arrives is
/// discarded within `finish_timeout` and `max_discard`, and it is closed. An error of the handler
/// makes no difference: what it sent last may be an answer. Until the connection is closed it counts
/// in `max_connections`. Closed at once are a connection whose end was received or that is lost, one
/// that the handler closes itself, and all when the drain is over. A stream that the handler gave
/// away is not touched.
///
/// Stopping is server::stop(), or the cancellation of the scope: the acceptor closes at once, the
/// handlers go on for `drain`, are then cancelled, and awaited. After stop() it returns, after a
/// cancellation it throws `error::cancelled`.
///
/// An error of accept() that is about one connection (ECONNABORTED, EPROTO, ECONNRESET, ETIMEDOUT
/// and the other network errors of accept(2)) is skipped. After any other that may pass, it tries
/// again when a connection has ended, or after 5 ms, doubling to 1 s: where the process or the system
/// has no descriptors or memory (EMFILE, ENFILE, ENOBUFS, ENOMEM), where a rule forbids a connection
/// (EPERM), and so on. An error of the acceptor itself (EBADF, EINVAL, ENOTSOCK, EFAULT, ENOSYS,
/// `error::closed`), or of set_backlog(), stops it in the same way as stop() and is thrown.
///
/// `acceptor` outlives the call; any type will do that has accept() and close() as tcp_acceptor, and
/// set_backlog(), if a backlog is asked for (std::logic_error).
template <class Acceptor, class Handler>
task<> serve(Acceptor& acceptor, Handler handler, server_handle& handle, serve_options options = {}) {
  detail::serve_run<Acceptor, Handler> all(acceptor, handler, handle, options);
  co_await all.run();
}
template <class Acceptor, class Handler>
task<> serve(Acceptor& acceptor, Handler handler, serve_options options = {}) {
  server_handle handle;
  detail::serve_run<Acceptor, Handler> all(acceptor, handler, handle, options);
  co_await all.run();
}

}  // namespace cosock
