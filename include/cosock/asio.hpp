// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// The bridge between this library and Boost.Asio, in both directions, and the one public header that
// includes Asio; cosock.hpp does not include it.
//
//   in a task            co_await socket.async_read_some(buffer, cosock::use_task)
//                        co_await cosock::await(an asio::awaitable)
//   in Asio code         cosock::spawn(context, task, token)
//   sockets              adopt(), release(), native()
//   streams              asio_stream: an Asio stream as a byte_stream; async_stream: the reverse
//
// Threads and contexts. A task runs on a loop, on one thread at a time. A loop of this library
// (run.hpp, loop.hpp) has its own io_context, whose executor is loop_executor(): Asio objects on it
// belong to the thread of the loop, and must be destroyed before the loop. spawn() starts tasks in
// a context of the program, which one thread, several threads, or a thread_pool may run. The tasks
// of one context share a loop and a strand: they never run at the same time, and sockets may pass
// between them. If a strand is passed to spawn(), its tasks run on that strand, with a loop of
// their own (seven descriptors). loop_executor() is the strand in both cases. A loop of a context
// or a strand runs while it has tasks, and the tasks keep the run() of the context from returning;
// functions that are posted to it at other times wait for the next task. If a context or a loop is
// destroyed, its tasks are destroyed where they are suspended; handlers that wait for them are
// destroyed, not called.
//
// A task must not run an io_context of its own to wait for Asio operations, because that blocks the
// loop. It awaits the operations with use_task. They may be on any context: the task continues on
// its own loop.
//
// A program that is compiled with hidden visibility, and uses this library as a shared library, includes
// this header before any header of Asio: it makes the per-thread and per-service objects of Asio visible,
// so that the program and the library share them.

#include <cosock/detail/asio_async_stream.hpp>
#include <cosock/detail/asio_operation.hpp>
#include <cosock/detail/asio_sockets.hpp>
#include <cosock/detail/asio_spawn.hpp>
#include <cosock/detail/asio_stream.hpp>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>

#include <memory>

namespace boost::beast {
enum class role_type;  // boost/beast/core/role.hpp, which only those who use Beast include
}

namespace cosock {

/// Returns the executor of the loop that runs on this thread, for the Asio objects that tasks of the
/// loop use: that of its io_context, or the strand of an embedded loop. Throws std::logic_error if no
/// loop runs on this thread.
[[nodiscard]] COSOCK_API boost::asio::any_io_executor loop_executor();

/// The completion token with which a task awaits any asynchronous operation of Asio, Beast, or
/// anything built like them. The operation begins when it is awaited, and may be an operand of
/// with_timeout, as_result, when_any and so on.
///
/// Returns the arguments of the handler without a leading error_code or exception_ptr: nothing, a
/// value, or a std::tuple. The error is thrown as boost::system::system_error, or as transfer_error
/// if a number of bytes other than 0 follows it.
///
/// Cancelled: emits asio::cancellation_type::all, of which the operation handles the types that it
/// supports, and waits for its handler. Returns the result if the operation completed, and throws
/// `error::cancelled` if it was cancelled. An operation that cannot be cancelled is waited for.
/// After an operation that only supports terminal cancellation, such as those of asio::ssl::stream,
/// its object can only be closed.
///
/// The objects that the operation uses must outlive the `co_await`. A task that is destroyed while
/// it waits cancels the operation and discards its result. If another thread runs the context of
/// the operation, its buffers may still be in use then, so they must outlive the task. If the
/// operation is destroyed without completing, because its context is destroyed, it throws
/// operation_aborted.
struct use_task_t {
  constexpr use_task_t() = default;

  /// An executor that makes use_task the default: `use_task_t::as_default_on_t<tcp::socket>`.
  template <class Executor>
  struct executor_with_default : Executor {
    /// The name that Asio looks for.
    using default_completion_token_type = use_task_t;
    /// Converts from the executor, and from the types that convert to it.
    executor_with_default(const Executor& executor) noexcept : Executor(executor) {}  // NOLINT
    template <class Other>
      requires(!std::same_as<Other, executor_with_default> &&
               std::convertible_to<const Other&, Executor>)
    executor_with_default(const Other& other) noexcept : Executor(other) {}
  };
  /// The type of an object, for example a socket, whose operations have this token as their default.
  template <class Object>
  using as_default_on_t = typename Object::template rebind_executor<
      executor_with_default<typename Object::executor_type>>::other;
};
/// The token itself.
inline constexpr use_task_t use_task;

/// Awaits an Asio coroutine inside a task. It runs on the executor of the loop, and is cancelled with
/// the scope if its cancellation state allows that. Returns its value, or throws its exception. Called
/// on the loop.
template <class T, class Executor>
[[nodiscard]] auto await(boost::asio::awaitable<T, Executor> coroutine) {
  return boost::asio::co_spawn(loop_executor(), std::move(coroutine), use_task);
}

/// Starts a task from Asio code. `work` is a task, or a function without arguments that returns a task;
/// the function is moved into the task and may capture. `where` is an io_context, a thread_pool, or an
/// executor of one of them or of a loop; see "Threads and contexts" above. May be called by any thread.
/// The task does not begin inside the call.
///
/// The signature of the token is void(std::exception_ptr), or void(std::exception_ptr, T) for task<T>
/// with a default constructible T. The token may be asio::use_awaitable, use_future, a function,
/// deferred and others; not asio::detached, which would discard errors. The handler is called through
/// its executor, by default `where`, never inside the call, and by a thread that runs `where` unless
/// its executor belongs to another context. No thread is started, so a future is ready when the run()
/// of the context returns. If the result is a socket of this library, the handler needs
/// loop_executor() as its executor, because the socket belongs to the loop. A cancellation through the
/// slot of the handler, of any type and from any thread, cancels the scope around the task.
template <class Where, class F, class Token>
  requires(!std::same_as<std::remove_cvref_t<Token>, error_observer>)
auto spawn(Where&& where, F&& work, Token&& token) {
  auto function = detail::as_function(std::forward<F>(work));
  using returned = std::invoke_result_t<decltype(function)&>;
  static_assert(detail::is_task<returned>,
                "spawn() takes a cosock::task, or a function without arguments that returns one");
  static_assert(!detail::is_detached<Token>,
                "with asio::detached an error would vanish: leave out the token and errors are "
                "printed, or give a cosock::error_observer");
  return boost::asio::async_initiate<Token, detail::spawn_signature<typename returned::value_type>>(
      detail::spawn_initiation(), token, detail::executor_of(where), std::move(function));
}

/// Starts a task without a result, and without a handler. `on_error` (serve.hpp) is called with an
/// exception that leaves it, and prints it by default. A cancellation is not an error.
template <class Where, class F>
void spawn(Where&& where, F&& work, error_observer on_error = {}) {
  spawn(where, std::forward<F>(work), detail::report_error{on_error});
}

/// Takes over an Asio socket or acceptor, with its connection, and returns the type of this library
/// for it: tcp, udp, and local stream, datagram and seqpacket sockets (the last of protocol
/// asio::generic::seq_packet_protocol). It belongs to the running loop. Operations that are pending
/// on the Asio socket end with operation_aborted. Throws system_error; the connection is closed
/// then.
template <class Protocol, class Executor>
[[nodiscard]] auto adopt(boost::asio::basic_stream_socket<Protocol, Executor>&& from) {
  return detail::counterpart_of<Protocol>::stream::adopt(from.release());
}
template <class Protocol, class Executor>
[[nodiscard]] auto adopt(boost::asio::basic_seq_packet_socket<Protocol, Executor>&& from) {
  return detail::counterpart_of<Protocol>::stream::adopt(from.release());
}
template <class Protocol, class Executor>
[[nodiscard]] auto adopt(boost::asio::basic_socket_acceptor<Protocol, Executor>&& from) {
  return detail::counterpart_of<Protocol>::acceptor::adopt(from.release());
}
template <class Protocol, class Executor>
[[nodiscard]] auto adopt(boost::asio::basic_datagram_socket<Protocol, Executor>&& from) {
  return detail::counterpart_of<Protocol>::datagram::adopt(from.release());
}

/// Returns an Asio socket or acceptor, on this executor, that takes over one of this library with its
/// connection: asio::ip::tcp::socket for tcp_socket, and so on. Pending operations end with
/// `error::closed`. Throws system_error, `error::closed` for a closed socket; the connection is closed
/// then.
template <detail::has_counterpart Socket, class Executor>
[[nodiscard]] auto release(Socket&& from, const Executor& executor) {
  static_assert(!std::is_lvalue_reference_v<Socket>, "release() takes the socket: use std::move");
  using asio_types = detail::counterpart<std::remove_cvref_t<Socket>>;
  auto descriptor = unique_descriptor::adopt(from.release());
  const auto protocol = detail::protocol_of<typename asio_types::protocol>(descriptor.get());
  typename asio_types::template socket<Executor> socket(executor);
  socket.assign(protocol, descriptor.get());
  static_cast<void>(descriptor.release());
  return socket;
}
/// Returns an Asio socket or acceptor on the executor of the running loop.
template <detail::has_counterpart Socket>
[[nodiscard]] auto release(Socket&& from) {
  return release(std::forward<Socket>(from), loop_executor());
}

/// A view of a socket or acceptor of this library with the interface of Asio for options:
/// native_handle(), protocol(), set_option() and get_option() with the option types of Asio. It is
/// not an Asio socket, because two objects cannot wait for one descriptor. Owns nothing; the socket
/// must outlive it. Throws `error::closed`.
template <detail::has_counterpart Socket>
[[nodiscard]] auto native(const Socket& socket) {
  return detail::native_view<typename detail::counterpart<Socket>::protocol>(
      socket.native_handle());
}

/// A byte_stream over any Asio stream: a socket, an asio::ssl::stream, a Beast stream. It owns the
/// stream, which may have any executor, and belongs to the loop on which it is made. No operation
/// is pending on the stream when it is passed, and only this object uses it afterwards. A TLS
/// handshake is done before that, or through next_layer() before the first receive or send.
///
/// It reads through a buffer of 16 KiB and writes through one of 32 KiB, so a cancelled operation
/// loses no data. It differs from a socket in this: a send completes when the data is in the
/// buffer, and an error of sending is thrown by a later operation; finish() waits until all is
/// sent, and throws the error. close() continues to send in the background, until no byte was sent
/// for 5 s, at most for 60 s. run() and loop::run wait for that, unless a cancellation ends the
/// wait; the destructor of a loop does not.
///
/// Over TLS of OpenSSL, shutdown_send() sends close_notify, and receiving goes on. close() sends it
/// too, and then discards input until the end of the peer, within the limits of finish_options,
/// because a connection that is closed with unread input, such as session tickets, is reset. For other
/// streams with async_shutdown, close() awaits that, and shutdown_send() throws
/// operation_not_supported, because async_shutdown discards the input.
template <class Stream>
class asio_stream final : public byte_stream {
  using pump = detail::asio_stream_adapter_of<Stream>;

 public:
  /// Closed.
  asio_stream() noexcept = default;
  explicit asio_stream(Stream&& stream) : asio_stream(std::in_place, std::move(stream)) {}
  /// Constructs the Asio stream from the arguments.
  template <class... Args>
  explicit asio_stream(std::in_place_t, Args&&... args)
      : pump_(std::make_shared<pump>(std::in_place, std::forward<Args>(args)...)) {
    object_ = pump_.get();
  }
  asio_stream(asio_stream&& other) noexcept
      : byte_stream(std::exchange(other.object_, nullptr)), pump_(std::move(other.pump_)) {}
  asio_stream& operator=(asio_stream&& other) noexcept {
    if (this != &other) {
      leave();
      pump_ = std::move(other.pump_);
      object_ = std::exchange(other.object_, nullptr);
    }
    return *this;
  }
  ~asio_stream() override { leave(); }

  /// Ends the sending direction when the buffered data is sent; receiving goes on. Throws
  /// operation_not_supported, with the reason, for a stream that has neither a socket nor TLS of
  /// OpenSSL.
  void shutdown_send() override {
    if (!pump_) detail::raise_closed();
    pump_->shutdown_send();
  }
  void close() noexcept override {
    object_ = nullptr;
    if (const auto open = std::move(pump_)) open->close();
  }
  /// The Asio stream, for its options. Must not be called when closed, or after the end of the loop.
  [[nodiscard]] Stream& next_layer() const noexcept { return *pump_->stream(); }

 private:
  void leave() noexcept {
    object_ = nullptr;
    if (pump* const open = pump_.get()) open->leave(std::move(pump_));
  }
  std::shared_ptr<pump> pump_;
};

/// A view of a byte_stream with the interface of an Asio stream (AsyncReadStream and
/// AsyncWriteStream). It may be the lowest layer of asio::ssl::stream, of
/// boost::beast::websocket::stream, or of both. Refers to the byte_stream, which must outlive it
/// and is closed by its owner. It is constructed, and its functions are called, on the loop of the
/// byte_stream. The end of the stream is reported as asio::error::eof, a cancellation, also through
/// the slot of the handler, as operation_aborted. An operation transfers up to 16 buffers.
class async_stream {
 public:
  /// The types that Asio requires of a stream and of a lowest layer.
  using executor_type = boost::asio::any_io_executor;
  using next_layer_type = byte_stream;
  using lowest_layer_type = async_stream;

  /// Throws std::logic_error if no loop runs on this thread.
  explicit async_stream(byte_stream& stream) : stream_(&stream), executor_(loop_executor()) {}

  /// Returns the executor of the loop.
  [[nodiscard]] executor_type get_executor() const noexcept { return executor_; }
  /// Returns the byte_stream, as boost::beast::get_lowest_layer does.
  [[nodiscard]] byte_stream& next_layer() const noexcept { return *stream_; }
  /// Returns this stream.
  [[nodiscard]] async_stream& lowest_layer() noexcept { return *this; }
  [[nodiscard]] const async_stream& lowest_layer() const noexcept { return *this; }

  /// Receives as byte_stream::receive does. The signature is void(error_code, std::size_t).
  template <class Buffers, class Token>
  auto async_read_some(const Buffers& into, Token&& token) {
    return boost::asio::async_initiate<Token, void(boost::system::error_code, std::size_t)>(
        detail::transfer_initiation<true>{stream_, executor_}, token, into);
  }
  /// Sends as byte_stream::send_some does. The signature is void(error_code, std::size_t).
  template <class Buffers, class Token>
  auto async_write_some(const Buffers& from, Token&& token) {
    return boost::asio::async_initiate<Token, void(boost::system::error_code, std::size_t)>(
        detail::transfer_initiation<false>{stream_, executor_}, token, from);
  }

 private:
  byte_stream* stream_;
  executor_type executor_;
};

/// Ends the connection under a WebSocket. Beast calls this at the end of async_close of its
/// websocket::stream, and of async_read when the peer closes, directly or from a TLS layer in between
/// (boost/beast/websocket/ssl.hpp, after close_notify). The server shuts down the sending direction,
/// and then discards input until the end of the peer; the client waits for the server first (RFC 6455
/// section 7.1.1). A stream that cannot shut down one direction is closed. The signature of the handler
/// is void(error_code). Errors: those of receiving and of shutdown_send. There is no time limit: set one
/// around the operation, or websocket::stream_base::timeout. The owner still closes the byte_stream.
template <std::derived_from<async_stream> Stream, class Handler>
void async_teardown(boost::beast::role_type role, Stream& stream, Handler&& handler) {
  detail::start_finish(stream.next_layer(), stream.get_executor(), detail::is_client<Stream>(role),
                       std::forward<Handler>(handler));
}

/// Closes the stream: Beast calls this when a limit of websocket::stream_base::timeout is exceeded.
inline void beast_close_socket(byte_stream& stream) noexcept { stream.close(); }

}  // namespace cosock
