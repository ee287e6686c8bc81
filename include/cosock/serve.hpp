// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cosock/address.hpp>
#include <cosock/address_range.hpp>
#include <cosock/detail/serve_state.hpp>
#include <cosock/duration.hpp>
#include <cosock/finish.hpp>
#include <cosock/observer.hpp>
#include <cosock/rate_limit.hpp>

#include <cstdint>
#include <optional>
#include <span>

namespace cosock {

/// A reference to a function that is called with errors: `void(const std::exception_ptr&)`. A
/// function, a function pointer and a lambda without captures are copied; any other function object
/// must outlive it.
class error_observer : public observer<const std::exception_ptr&, std::string_view> {
 public:
  using observer::observer;
  /// Calls the function. By default prints `program: source: message` to standard error.
  COSOCK_API void operator()(const std::exception_ptr& error, std::string_view source = {}) const;
};

/// How connections are served. The defaults protect the process.
struct serve_options {
  /// The largest number of connections that are served at once. Further connections wait in the
  /// backlog. Not set: the limit of open descriptors, minus those that are open and an eighth for other
  /// uses, divided by the number of loops (loops.hpp). 0 throws std::invalid_argument.
  std::optional<std::size_t> max_connections = std::nullopt;
  /// The number of connections that may wait to be accepted; the system may reduce it (listen(2)). Not
  /// set: that of the acceptor. A number requires an acceptor with set_backlog().
  std::optional<int> backlog = std::nullopt;
  /// How long handlers may continue after the server stops, before they are cancelled. Zero or less:
  /// cancelled at once; `unlimited`: never. If handlers are cancelled after that time, `on_error` is
  /// called once, with `error::timed_out` and their number in what().
  time_span drain = std::chrono::seconds(10);
  /// The time limit for ending a connection that its handler leaves open, see byte_stream::finish().
  /// Zero or less: it is closed at once.
  time_span finish_timeout = std::chrono::seconds(2);
  /// Bytes of input that byte_stream::finish() discards; after more the connection is closed.
  std::size_t max_discard = 256 << 10;
  /// Called once for each exception that leaves a handler, once for each code of accept() after
  /// which serving continues, and with `error::address_denied` and the peer in what() for each
  /// connection that `filter` does not permit. A function with a second argument, a std::string_view,
  /// receives the source of the error: `connection from ADDRESS` for a handler's, for a local socket
  /// with the process of the peer; otherwise empty. Must not throw.
  error_observer on_error = {};
  /// The largest number of errors that are reported to `on_error` in one second. The others are
  /// counted, and their number is reported as a std::runtime_error before the next error, and when the
  /// server ends. std::nullopt: no limit; 0: no reports.
  std::optional<std::uint32_t> max_reports = 10;
  /// Serve permitted peers only. A connection of another peer is closed when it is accepted; no handler
  /// is called for it. It is closed too if its remote_endpoint() throws. Local sockets have no
  /// addresses, and are all served; for streams of other types without remote_endpoint(), serve()
  /// throws std::logic_error. The ranges outlive the call of serve().
  address_filter filter = {};
  /// The largest number of connections of one peer that this server serves at once: of an IPv4 address, or
  /// of the first 64 bits of an IPv6 address. Others are closed when they are accepted. Not set: no
  /// limit. 0 throws std::invalid_argument. For streams without addresses, as for `filter`.
  std::optional<std::size_t> max_per_peer = std::nullopt;
  /// Peers that `max_per_peer` does not count. Proxies that behind_proxy() trusts need not be here. A
  /// handler that learns the source of a connection otherwise calls connection::count_for(). The ranges outlive the call
  /// of serve().
  std::span<const address_range> not_counted = {};
  /// The largest number of connections that are accepted in a second, of which 50 ms at once. The others
  /// wait in the backlog. Not set: no limit. 0 throws std::invalid_argument.
  std::optional<std::uint32_t> accept_rate = std::nullopt;
  /// How long a connection may take to its first byte, which may be one of a handshake. After that its
  /// handler is cancelled, and the connection is closed at once. Not for streams that the handler
  /// releases before. Zero or less throws std::invalid_argument.
  time_span first_byte = unlimited;
  /// `on_error` is called for a peer that exceeds `max_per_peer` or `first_byte` once in this time, with
  /// connection_refused or `error::timed_out`, and the address in what().
  time_span report_period = std::chrono::minutes(1);
};

/// Counters of a server, from its start.
struct serve_counters {
  std::uint64_t accepted = 0;  ///< connections
  std::uint64_t failed = 0;    ///< connections whose handler ended with an error
  std::uint64_t cut = 0;       ///< connections whose handler was cancelled: after the drain time
  std::uint64_t denied = 0;    ///< connections that the filter did not permit; not in `accepted`
  std::uint64_t refused =
      0;  ///< connections above `max_per_peer`; not in `accepted`, except by count_for()
  std::uint64_t silent = 0;         ///< connections without a byte within `first_byte`
  std::uint64_t rejected = 0;       ///< errors of accept() because the system had no room
  std::uint64_t accept_errors = 0;  ///< all errors of accept() after which serving continued
  std::uint64_t unreported = 0;     ///< errors that `max_reports` left out
  std::size_t active = 0;           ///< connections that are being served
  std::size_t peak = 0;             ///< largest number of them at the same time
  std::uint64_t bytes_in = 0;       ///< bytes received over all connections
  std::uint64_t bytes_out = 0;      ///< bytes sent over all connections
};

/// Stops a server, and returns its counters. Belongs to the loop of the server, is for one serve()
/// only, and must outlive it.
class COSOCK_API server_handle {
 public:
  server_handle() noexcept = default;
  server_handle(const server_handle&) = delete;
  server_handle& operator=(const server_handle&) = delete;

  /// Closes the acceptor; serve() returns when all handlers have ended. Handlers that still run
  /// after the drain time are cancelled. Before serve() begins, it makes serve() return at once.
  /// Idempotent.
  void stop() noexcept;
  /// Whether stop() was called.
  [[nodiscard]] bool is_stopping() const noexcept { return stopping_; }
  /// Waits until the server accepts no more connections and drains: after stop(), after a
  /// cancellation, or after an error of the acceptor. A handler that has nothing to do for its
  /// connection ends then, instead of at the end of the drain time. Completes at once from then on.
  /// The handle must outlive the `co_await`. Cancelled: no effect.
  detail::event_wait_operation draining() noexcept { return draining_.wait(); }
  /// Whether draining() would not wait.
  [[nodiscard]] bool is_draining() const noexcept { return draining_.is_set(); }
  /// A snapshot of the counters; after serve() has returned, the final ones.
  [[nodiscard]] serve_counters counters() const noexcept;

 private:
  friend class detail::serve_state;
  detail::serve_state* state_ = nullptr;
  serve_counters counters_;
  event draining_;
  bool stopping_ = false;
};

namespace detail {

template <class Acceptor, class Handler>
task<> serve_with(Acceptor& acceptor, Handler handler, server_handle& handle,
                  serve_options options) {
  serve_run<Acceptor, Handler> all(acceptor, handler, handle, options);
  co_await all.run();
}
template <class Acceptor, class Handler>
task<> serve_alone(Acceptor& acceptor, Handler handler, serve_options options) {
  server_handle handle;
  serve_run<Acceptor, Handler> all(acceptor, handler, handle, options);
  co_await all.run();
}

}  // namespace detail

/// Accepts connections until it is stopped, and runs `handler` for each of them concurrently.
///
/// `handler` takes the stream, by value or by reference, and optionally a `const connection&`
/// (connection.hpp) as second argument, and returns task<>. It is also called for a connection that
/// the peer has reset. `on_error` is called with an exception that leaves the handler; the other
/// connections are not affected. A cancellation is not an error.
///
/// A connection that the handler leaves open, even if it moved the stream and destroyed it there,
/// is ended in order as by byte_stream::finish(): the sending direction is shut down, input is
/// discarded within `finish_timeout` and `max_discard`, and the stream is closed. This is also done
/// after an error of the handler, because its last data may be a reply. Until then the connection
/// counts in `max_connections`. A connection is closed at once if the end of the data of the peer
/// was received, if it is lost, if the handler closes it, and when the drain time has passed. A
/// stream that the handler moved elsewhere is not touched.
///
/// server_handle::stop(), or the cancellation of the scope, stops the server: the acceptor closes
/// at once, the handlers may continue for `drain`, and are then cancelled and awaited. After stop()
/// it returns; after a cancellation it throws `error::cancelled`. Connections that other loops have passed to
/// the acceptor are served too (tcp_acceptor::accept_rest()), also beyond `max_connections`.
///
/// An error of accept() that concerns one connection (ECONNABORTED, EPROTO, ECONNRESET, ETIMEDOUT
/// and the other network errors of accept(2)) is skipped. After a temporary error, for example if
/// the process or the system has no descriptors or memory (EMFILE, ENFILE, ENOBUFS, ENOMEM), or if
/// a rule forbids a connection (EPERM), it tries again when a connection has ended, or after 5 ms,
/// doubled up to 1 s. An error of the acceptor itself (EBADF, EINVAL, ENOTSOCK, EFAULT, ENOSYS, and
/// every error without a code of the system, such as `error::closed`), or of set_backlog(), stops
/// the server as stop() does, and is thrown.
///
/// A peer that the filter of the options does not permit has passed the handshake of TCP before its
/// connection is closed, so it can see that the port is open.
///
/// `acceptor` must outlive the `co_await`. It may have any type with accept() and close() as in
/// tcp_acceptor, and with set_backlog() if the option `backlog` is used (std::logic_error
/// otherwise). If it has accept_rest() as in tcp_acceptor, that is called before close().
template <class Acceptor, class Handler>
task<> serve(Acceptor& acceptor, Handler&& handler, server_handle& handle,
             serve_options options = {}) {
  detail::check_temporary_lambda<Handler>();
  return detail::serve_with<Acceptor, std::decay_t<Handler>>(
      acceptor, std::forward<Handler>(handler), handle, options);
}
template <class Acceptor, class Handler>
task<> serve(Acceptor& acceptor, Handler&& handler, serve_options options = {}) {
  detail::check_temporary_lambda<Handler>();
  return detail::serve_alone<Acceptor, std::decay_t<Handler>>(
      acceptor, std::forward<Handler>(handler), options);
}

}  // namespace cosock
