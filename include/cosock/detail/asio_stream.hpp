// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// The parts of asio_stream (asio.hpp): an io_object over a stream of Asio, such as ssl::stream. An
// io_object is asked whether it is ready; a stream of Asio completes operations. Two buffers lie
// between.

#include <cosock/descriptors.hpp>
#include <cosock/detail/asio_loop_executor.hpp>
#include <cosock/detail/timer.hpp>
#include <cosock/finish.hpp>

#include <boost/asio/buffer.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/socket_base.hpp>
#include <boost/system/error_code.hpp>

#include <concepts>
#include <memory>

namespace cosock::detail {

/// Two buffers between a stream of Asio and the operations of cosock. Asio reads into one and
/// writes from the other. So a cancelled operation neither loses bytes that Asio has read, nor
/// leaves Asio with memory of the program that is gone. After close() it goes on in the background
/// until all is sent.
class COSOCK_API asio_stream_adapter : public io_object, private loop_service, private timer {
 public:
  asio_stream_adapter();
  virtual ~asio_stream_adapter();

  void shutdown_send();
  void close() noexcept;
  /// Called when the asio_stream is destroyed: closes, unless a keeper takes this object.
  void leave(std::shared_ptr<asio_stream_adapter> self) noexcept;

  void arm(io_direction) override;
  step transfer(stream_operation&) override;
  bool is_ready(io_direction) noexcept override;
  bool is_flushed(failure&) noexcept override;
  bool may_finish() noexcept override;
  bool leave_to(kept_io_object* keeper) noexcept override {
    keeper_ = keeper;
    return true;
  }
  void close_left() noexcept override;

 protected:
  static constexpr std::size_t room_in = 16 << 10;
  static constexpr std::size_t room_out = 32 << 10;

  virtual void start_read(char* into, std::size_t size) = 0;
  virtual void start_write(const char* from, std::size_t size) = 0;
  /// Ends the sending direction. Calls ended_sending() when done, perhaps before it returns.
  virtual void start_shutdown() = 0;
  /// Whether receiving goes on after start_shutdown().
  virtual bool half_closes() const noexcept = 0;
  /// Whether closing includes waiting for the end of the peer.
  virtual bool waits_for_peer() const noexcept = 0;
  /// The number of bytes that the system has not delivered yet; 0 if it is not a socket.
  virtual int undelivered() const noexcept = 0;
  /// Closes the lowest layer, and releases the stream.
  virtual void close_stream() noexcept = 0;

  // Called on the loop when an operation of the stream has completed.
  void has_read(const boost::system::error_code&, bool end_of_stream, std::size_t bytes) noexcept;
  void has_written(const boost::system::error_code&, std::size_t bytes) noexcept;
  void ended_sending(const boost::system::error_code&) noexcept;

 private:
  void on_loop_shutdown() noexcept override;
  void expire() noexcept override;
  step receive(stream_operation&) noexcept;
  step send(stream_operation&);
  void go_on_sending() noexcept;
  void all_sent() noexcept;
  void discard(std::size_t bytes) noexcept;
  void finish_closing() noexcept;

  loop_state* loop_;  // stays set after close(), when io_object::loop is null
  kept_io_object* keeper_ = nullptr;
  std::shared_ptr<asio_stream_adapter> self_;  // while a keeper has this object
  std::unique_ptr<char[]> in_;
  std::unique_ptr<char[]> out_;
  std::size_t in_begin_ = 0;
  std::size_t in_end_ = 0;
  std::size_t out_begin_ = 0;
  std::size_t out_end_ = 0;
  failure in_failed_ = {0, nullptr};
  failure out_failed_ = {0, nullptr};
  bool in_ended_ = false;
  bool reads_ = false;
  bool writes_ = false;
  enum class farewell : unsigned char { none, wanted, begun, done } farewell_ = farewell::none;
  bool closing_ = false;
  bool discarding_ = false;  // closing, and all is sent
  bool lingers_ = false;     // closing in the background, counted in scheduler::background_
  bool closed_ = false;
  std::uint64_t written_ = 0;
  // While it is closing: the bytes discarded; the progress at the last look, and how long it lasts.
  std::size_t discarded_ = 0;
  std::uint64_t written_before_ = 0;
  int undelivered_before_ = 0;
  int seconds_ = 0;
  int idle_seconds_ = 0;
};

[[noreturn]] COSOCK_API void raise_closed();

/// The bytes that a socket still has to deliver (SIOCOUTQ); 0 if the system does not know.
COSOCK_API int undelivered_bytes(int descriptor) noexcept;

/// The same for the socket at the bottom of a stream.
template <class Stream>
int undelivered_at_the_bottom(Stream& s) noexcept {
  if constexpr (requires { s.next_layer(); })
    return undelivered_at_the_bottom(s.next_layer());
  else if constexpr (requires { s.socket().native_handle(); })
    return undelivered_bytes(s.socket().native_handle());
  else if constexpr (requires { undelivered_bytes(s.native_handle()); })
    return undelivered_bytes(s.native_handle());
  else
    return 0;
}

/// A TLS stream of OpenSSL. Its functions are found by argument-dependent look-up, so this header
/// does not include OpenSSL.
template <class Stream>
concept does_openssl = requires(Stream& s) {
  SSL_set_shutdown(s.native_handle(), SSL_get_shutdown(s.native_handle()));
};

/// Closes the socket at the bottom of a stream.
template <class Stream>
void close_lowest(Stream& s) {
  boost::system::error_code ec;
  // close() of an Asio socket relies on the system to end its registration with epoll, which lasts
  // as long as a duplicate is open, in a child process for example. release() ends it.
  if constexpr (requires {
                  { s.release(ec) } -> std::same_as<int>;
                })
    unique_descriptor::adopt(s.release(ec)).close();
  else if constexpr (requires { s.close(ec); })
    s.close(ec);
  else if constexpr (requires { s.next_layer(); })
    close_lowest(s.next_layer());
  else
    s.close();
}

template <class Stream>
class asio_stream_adapter_of final
    : public asio_stream_adapter,
      public std::enable_shared_from_this<asio_stream_adapter_of<Stream>> {
 public:
  template <class... Args>
  explicit asio_stream_adapter_of(std::in_place_t, Args&&... args)
      : stream_(std::make_shared<Stream>(std::forward<Args>(args)...)) {
    needs_close_notify = is_secure;
  }
  Stream* stream() const noexcept { return stream_.get(); }

 private:
  /// A handler for the stream. It keeps the buffers and the stream alive while Asio uses them, also
  /// after close_stream(). Its executor is the loop, so no lock is needed.
  template <class F>
  struct handler {
    std::shared_ptr<asio_stream_adapter_of> pump;
    std::shared_ptr<Stream> stream;
    loop_executor_impl home;
    F function;
    void operator()(const boost::system::error_code& ec, std::size_t bytes = 0) {
      function(*pump, ec, bytes);
    }
    using executor_type = loop_executor_impl;
    executor_type get_executor() const noexcept { return home; }
    using allocator_type = frame_allocator<void>;
    allocator_type get_allocator() const noexcept { return {}; }
  };
  template <class F>
  handler<F> make_handler(F f) {
    return handler<F>{this->shared_from_this(), stream_, executor_impl_, f};
  }

  void start_read(char* into, std::size_t size) override {
    stream_->async_read_some(
        asio::buffer(into, size),
        make_handler([](asio_stream_adapter_of& p, const boost::system::error_code& ec,
                        std::size_t n) { p.has_read(ec, ec == asio::error::eof, n); }));
  }
  void start_write(const char* from, std::size_t size) override {
    stream_->async_write_some(
        asio::buffer(from, size),
        make_handler([](asio_stream_adapter_of& p, const boost::system::error_code& ec,
                        std::size_t n) { p.has_written(ec, n); }));
  }
  static constexpr bool is_secure =
      requires(Stream& s) { s.async_shutdown([](const boost::system::error_code&) {}); };
  static constexpr bool is_openssl = is_secure && does_openssl<Stream>;
  void start_shutdown() override {
    if constexpr (is_secure) {
      const auto say_end = [this] {
        stream_->async_shutdown(
            make_handler([](asio_stream_adapter_of& p, const boost::system::error_code& ec,
                            std::size_t) { p.ended_sending(ec); }));
      };
      if constexpr (is_openssl) {
        // async_shutdown would also wait for the end of the peer, and discard the input before it.
        // If the end seems to have arrived when it begins, it only sends ours. So the flag is set
        // for the call.
        constexpr int received = 2;  // SSL_RECEIVED_SHUTDOWN
        auto* const ssl = stream_->native_handle();
        const int before = SSL_get_shutdown(ssl) & received;
        SSL_set_shutdown(ssl, SSL_get_shutdown(ssl) | received);
        say_end();
        SSL_set_shutdown(ssl, (SSL_get_shutdown(ssl) & ~received) | before);
      } else {
        say_end();
      }
    } else {
      boost::system::error_code ec;
      if constexpr (requires { stream_->shutdown(asio::socket_base::shutdown_send, ec); })
        stream_->shutdown(asio::socket_base::shutdown_send, ec);
      else if constexpr (requires { stream_->socket(); })
        stream_->socket().shutdown(asio::socket_base::shutdown_send, ec);
      else
        ec = asio::error::operation_not_supported;
      if (ec == asio::error::not_connected) ec.clear();
      this->ended_sending(ec);
    }
  }
  bool half_closes() const noexcept override { return !is_secure || is_openssl; }
  bool waits_for_peer() const noexcept override { return is_openssl; }
  int undelivered() const noexcept override {
    return stream_ ? undelivered_at_the_bottom(*stream_) : 0;
  }
  void close_stream() noexcept override {
    if (!stream_) return;
    close_lowest(*stream_);
    stream_.reset();
  }

  std::shared_ptr<Stream> stream_;
  loop_executor_impl executor_impl_ = loop_executor_impl::current();
};

}  // namespace cosock::detail
