// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// The bridge between this library and Boost.Asio, in both directions, and the one public header that
// includes Asio; cosock.hpp does not include it.
//
//   in a task            co_await socket.async_read_some(buffer, cosock::use_task)
//                        co_await cosock::await(an asio::awaitable)
//   in code of Asio's    cosock::spawn(context, task, token)
//   sockets              adopt(), release(), native()
//   streams              asio_stream: one of Asio's as a byte_stream; async_stream: the other way
//
// What runs where. A task runs on a loop, and everything in it on one thread at a time. A loop of this
// library's (run.hpp, loop.hpp) has an io_context of its own, whose executor is loop_executor(): objects
// of Asio's on it belong to the thread of the loop, and must be gone before the loop is. spawn() starts
// tasks in a context of the program's, which one thread, several, or a thread_pool may run: a strand
// keeps the tasks of one context apart from each other in time, and they share a loop, so sockets may
// pass between them. A strand given to spawn() is used as it is, and has a loop of its own, which costs
// four descriptors; loop_executor() is that strand in both cases. Such a loop runs while it has tasks,
// and they keep the run() of the context from returning; what is posted to it at other times waits for
// the next task. A context that is destroyed, or a loop,
// destroys its tasks where they stand; handlers that wait for them are then destroyed, not called.
//
// An operation awaited with use_task may be on any context: the task goes on on its own loop.
//
// A program that is compiled with hidden visibility, and links this library as a shared one, includes
// this header before any of Asio's: it makes visible what Asio keeps for each thread and for each
// service, of which the program and the library would have one each otherwise.

#include <cosock/detail/asio_async_stream.hpp>
#include <cosock/detail/asio_operation.hpp>
#include <cosock/detail/asio_sockets.hpp>
#include <cosock/detail/asio_spawn.hpp>
#include <cosock/detail/asio_stream.hpp>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>

namespace boost::beast {
enum class role_type;  // boost/beast/core/role.hpp, which only those who use Beast include
}

namespace cosock {

/// The executor of the loop that runs on this thread, for objects of Asio's that tasks of the loop
/// use: its io_context's, or the strand of the program's context in which the loop lives. Throws
/// std::logic_error if no loop runs here.
[[nodiscard]] COSOCK_API boost::asio::any_io_executor loop_executor();

/// The completion token with which a task awaits any asynchronous operation of Asio, Beast, or
/// anything built like them. The operation begins when it is awaited, and may be an operand of
/// with_timeout, as_result, when_any and so on.
///
/// Gives what the handler would get, without an error_code or exception_ptr in front: nothing, a
/// value, or a std::tuple. The error is thrown as boost::system::system_error; with a number of bytes
/// behind it that is not 0, as transfer_error, which tells it.
///
/// Cancelled: the operation is asked to stop (asio::cancellation_type::all, of which it takes what it
/// supports), and the task goes on when it has: with its result if it completed all the same, with
/// `error::cancelled` if it gave up. An operation that cannot be cancelled is waited for. After one
/// that only supports terminal cancellation, such as those of asio::ssl::stream, its object is fit
/// for being closed only.
///
/// Whatever the operation works on outlives the `co_await`. A task that is destroyed while it waits
/// cancels the operation and drops its result (where another thread runs the operation's context, its
/// buffers may still be in use then: let them outlive the task); one whose operation is destroyed
/// without completing, because that one's context was, gets operation_aborted.
struct use_task_t {
  constexpr use_task_t() = default;

  /// An executor that makes use_task the default: `use_task_t::as_default_on_t<tcp::socket>`.
  template <class Executor>
  struct executor_with_default : Executor {
    /// What Asio looks for.
    using default_completion_token_type = use_task_t;
    /// Converts from what the executor itself converts from.
    executor_with_default(const Executor& of) noexcept : Executor(of) {}  // NOLINT: converts
    template <class Other>
      requires(!std::same_as<Other, executor_with_default> &&
               std::convertible_to<const Other&, Executor>)
    executor_with_default(const Other& of) noexcept : Executor(of) {}
  };
  /// The type of an object, a socket say, whose operations are awaited without naming a token.
  template <class Object>
  using as_default_on_t = typename Object::template rebind_executor<
      executor_with_default<typename Object::executor_type>>::other;
};
/// The token itself.
inline constexpr use_task_t use_task;

/// Awaits a coroutine of Asio's inside a task: it runs on the executor of the loop, and is cancelled
/// with the scope, as far as its cancellation state lets it be. Gives its value, or throws what left
/// it. To be called on the loop.
template <class T, class Executor>
[[nodiscard]] auto await(boost::asio::awaitable<T, Executor> of) {
  return boost::asio::co_spawn(loop_executor(), std::move(of), use_task);
}

/// Starts a task from code of Asio's: `work` is a task, or a function that returns one and takes
/// nothing, which is moved into the task and may capture. `where` is an io_context, a thread_pool, or
/// an executor of one, or of a loop; see above for what runs where. May be called by any thread; the
/// task does not begin inside the call.
///
/// The token's signature is void(std::exception_ptr), or void(std::exception_ptr, T) for task<T>,
/// where T has a default constructor. Any token will do: asio::use_awaitable, use_future, a function,
/// deferred; not asio::detached, with which errors would vanish. The handler is called through its
/// executor, by default `where`, and never inside the call, in a thread that runs `where` unless its
/// executor is of another context: no thread is started. So a future is ready when the run() of the
/// context returns. A result that is a socket of ours needs a handler on loop_executor(), because it
/// belongs to the loop. A cancellation through its slot, of any
/// type and emitted by any thread, cancels the scope around the task.
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

/// The same for a task that gives nothing and that nobody waits for: what leaves it is told to
/// `on_error` (serve.hpp), which prints it by default. A cancellation is no error.
template <class Where, class F>
void spawn(Where&& where, F&& work, error_observer on_error = {}) {
  spawn(where, std::forward<F>(work), detail::report_error{on_error});
}

/// Takes a socket or acceptor of Asio's over, with its connection, and gives ours: tcp, udp, local
/// stream, datagram and seqpacket (asio::generic). It belongs to the running loop. Operations that
/// are pending on it end with operation_aborted. Throws system_error, and closes it then.
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

/// Gives a socket or acceptor of ours, with its connection, to Asio: asio::ip::tcp::socket for
/// tcp_socket, and so on, on this executor. Operations that are pending on it end with
/// `error::closed`. Throws system_error, `error::closed` for one that is closed, and closes it then.
template <detail::has_counterpart Socket, class Executor>
[[nodiscard]] auto release(Socket&& from, const Executor& to) {
  static_assert(!std::is_lvalue_reference_v<Socket>, "release() takes the socket: use std::move");
  using of = detail::counterpart<std::remove_cvref_t<Socket>>;
  auto descriptor = unique_descriptor::adopt(from.release());
  const auto protocol = detail::protocol_of<typename of::protocol>(descriptor.get());
  typename of::template socket<Executor> given(to);
  given.assign(protocol, descriptor.get());
  static_cast<void>(descriptor.release());
  return given;
}
/// The same on the running loop.
template <detail::has_counterpart Socket>
[[nodiscard]] auto release(Socket&& from) {
  return release(std::forward<Socket>(from), loop_executor());
}

/// A view of a socket or acceptor of ours in Asio's terms, for what its own functions do not do:
/// native_handle(), protocol(), set_option() and get_option() with the option types of Asio. It is
/// no socket of Asio's: a descriptor can be registered with one reactor only once, so the two could
/// not wait for it side by side. Owns nothing; the socket outlives it. Throws `error::closed`.
template <detail::has_counterpart Socket>
[[nodiscard]] auto native(const Socket& of) {
  return detail::native_view<typename detail::counterpart<Socket>::protocol>(of.native_handle());
}

/// A byte_stream over any stream of Asio's: a socket, an asio::ssl::stream, a stream of Beast's. It
/// owns the stream, whose executor may be any, and belongs to the loop it is made on. No operation is
/// pending on the stream when it is given, and nobody else reads from or writes to it after; do a
/// TLS handshake before, or through next_layer().
///
/// It reads and writes through buffers of 16 and 32 KiB, so that a cancelled operation loses nothing.
/// What differs from a socket: a send is done when the buffer has taken it, an error shows at a later
/// operation; finish() waits until it is sent, and throws what kept it from that. close() goes on
/// sending in the background: until nothing has moved for 5 s, 60 s in all; run() and loop::run wait
/// for it, unless a cancellation ends the wait; one that is destroyed does not.
///
/// Over TLS shutdown_send() sends close_notify, and receiving goes on, where OpenSSL does the work.
/// close() sends it too, and then discards what arrives until the end of the peer, within the limits
/// of finish_options: a connection that is closed with unread input, such as session tickets, is
/// reset. For other streams with async_shutdown, close() awaits that, and shutdown_send() throws
/// operation_not_supported, because async_shutdown discards what the peer still sends.
template <class Stream>
class asio_stream final : public byte_stream {
  using pump = detail::asio_stream_adapter_of<Stream>;

 public:
  /// Closed.
  asio_stream() noexcept = default;
  explicit asio_stream(Stream&& of) : asio_stream(std::in_place, std::move(of)) {}
  /// Makes the stream from arguments.
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

  /// Ends the sending direction when all that was sent has gone; receiving goes on. Throws
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
  /// The stream, for its options. Not for one that is closed, or whose loop is gone.
  [[nodiscard]] Stream& next_layer() const noexcept { return *pump_->stream(); }

 private:
  void leave() noexcept {
    object_ = nullptr;
    if (pump* const open = pump_.get()) open->leave(std::move(pump_));
  }
  std::shared_ptr<pump> pump_;
};

/// A byte_stream as Asio and Beast want a stream: an AsyncReadStream and AsyncWriteStream, which may be
/// the lowest layer of others: asio::ssl::stream, boost::beast::websocket::stream, or one on the other.
/// Refers to the byte_stream, which outlives it and is closed by its owner; constructed on the loop of
/// the byte_stream, where its functions are to be called too. The end of the stream is
/// asio::error::eof, a cancellation (of the handler's slot, too) operation_aborted. An operation
/// transfers up to 16 buffers.
class async_stream {
 public:
  /// What Asio asks of a stream, and of the lowest of several layers, which has an executor.
  using executor_type = boost::asio::any_io_executor;
  using next_layer_type = byte_stream;
  using lowest_layer_type = async_stream;

  /// Throws std::logic_error if no loop runs here.
  explicit async_stream(byte_stream& of) : of_(&of), executor_(loop_executor()) {}

  /// Returns the executor of the loop.
  [[nodiscard]] executor_type get_executor() const noexcept { return executor_; }
  /// Returns the byte_stream, which is what boost::beast::get_lowest_layer returns too.
  [[nodiscard]] byte_stream& next_layer() const noexcept { return *of_; }
  /// Returns this stream.
  [[nodiscard]] async_stream& lowest_layer() noexcept { return *this; }
  [[nodiscard]] const async_stream& lowest_layer() const noexcept { return *this; }

  /// Receives as byte_stream::receive does. The signature is void(error_code, std::size_t).
  template <class Buffers, class Token>
  auto async_read_some(const Buffers& into, Token&& token) {
    return boost::asio::async_initiate<Token, void(boost::system::error_code, std::size_t)>(
        detail::transfer_initiation<true>{of_, executor_}, token, into);
  }
  /// Sends as byte_stream::send_some does. The signature is void(error_code, std::size_t).
  template <class Buffers, class Token>
  auto async_write_some(const Buffers& from, Token&& token) {
    return boost::asio::async_initiate<Token, void(boost::system::error_code, std::size_t)>(
        detail::transfer_initiation<false>{of_, executor_}, token, from);
  }

 private:
  byte_stream* of_;
  executor_type executor_;
};

/// Ends the connection under a WebSocket: Beast calls this at the end of websocket::stream's
/// async_close, and of its async_read when the peer closes; directly, or from the TLS layer between
/// (boost/beast/websocket/ssl.hpp, after close_notify). The server shuts down the sending direction and then
/// discards what arrives until the peer has done so too; the client waits for the server first (RFC
/// 6455 section 7.1.1). A stream that cannot shut down one direction is closed. The signature of the
/// handler is void(error_code). Errors: those of receiving and of shutdown_send. There is no limit:
/// set one around the operation, or websocket::stream_base::timeout. The owner still closes the
/// byte_stream.
template <std::derived_from<async_stream> Stream, class Handler>
void async_teardown(boost::beast::role_type role, Stream& stream, Handler&& handler) {
  detail::start_finish(stream.next_layer(), stream.get_executor(), detail::is_client<Stream>(role),
                       std::forward<Handler>(handler));
}

/// Closes the stream: Beast calls this when a limit of websocket::stream_base::timeout is exceeded.
inline void beast_close_socket(byte_stream& stream) noexcept { stream.close(); }

}  // namespace cosock
