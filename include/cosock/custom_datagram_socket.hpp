// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cosock/datagram.hpp>
#include <cosock/error.hpp>

#include <memory>
#include <span>

namespace cosock {

class loop;

namespace detail {

class custom_datagram_object;

/// The functions of a custom_datagram_socket, without the type of its endpoints.
class COSOCK_API datagram_source {
 public:
  virtual std::size_t receive_one(std::span<const mutable_buffer> into, void* from,
                                  packet_info& info, boost::system::error_code& error) noexcept = 0;
  virtual void send_one(std::span<const const_buffer> from, const void* to,
                        const packet_info* source, boost::system::error_code& error) noexcept = 0;
  virtual void closed() noexcept = 0;
  /// Stores an endpoint as the name of a received datagram. Returns its size.
  virtual unsigned encode(void* name) const noexcept = 0;

  bool continues_batch = false;  // set for each call
  // Each operation begins with a call, even if the one before had to wait.
  bool attempts_first = false;

 protected:
  ~datagram_source() = default;
};

/// Owns the object. Apart from the template, so that its code is in the library.
class COSOCK_API custom_datagram_handle {
 public:
  custom_datagram_handle(loop* loop, datagram_source& source);
  custom_datagram_handle(custom_datagram_handle&&) noexcept;
  custom_datagram_handle& operator=(custom_datagram_handle&&) noexcept;
  ~custom_datagram_handle();
  io_object* get() const noexcept;
  void attach(datagram_source& source) noexcept;
  void close() noexcept;
  void notify(io_direction direction) noexcept;

 private:
  std::unique_ptr<custom_datagram_object> object_;
};

}  // namespace detail

/// Base class for datagram sockets that a program implements, as custom_stream is for streams: a
/// simulated network, or datagrams inside another protocol. The derived class implements do_receive()
/// and do_send(), which never wait; this class makes the operations of datagram_socket from them.
/// The datagrams of a batch are received and sent one by one; received ones have no packet_info.
///
/// Belongs to one loop, and only its thread may call the functions. May be moved while operations are
/// pending. The virtual functions must not destroy, move or close the socket. They may call
/// notify_readable() and notify_writable().
template <class Endpoint>
class custom_datagram_socket : public datagram_socket<Endpoint>, private detail::datagram_source {
 public:
  /// Pending operations end with `error::closed`. Does not call on_close(): the derived class is
  /// destroyed already.
  ~custom_datagram_socket() override = default;
  /// Closes the socket, and calls on_close() the first time.
  void close() noexcept final { handle_.close(); }

 protected:
  /// An open socket on the running loop. Throws std::logic_error if no loop runs on this thread.
  custom_datagram_socket() : handle_(nullptr, *this) { this->object_ = handle_.get(); }
  /// An open socket on this loop, which need not be running.
  explicit custom_datagram_socket(loop& loop) : handle_(&loop, *this) {
    this->object_ = handle_.get();
  }
  custom_datagram_socket(custom_datagram_socket&& other) noexcept
      : datagram_socket<Endpoint>(std::exchange(other.object_, nullptr)),
        handle_(std::move(other.handle_)) {
    handle_.attach(*this);
  }
  /// Closes this socket first.
  custom_datagram_socket& operator=(custom_datagram_socket&& other) noexcept {
    if (this != &other) {
      close();
      this->object_ = std::exchange(other.object_, nullptr);
      handle_ = std::move(other.handle_);
      handle_.attach(*this);
    }
    return *this;
  }

  /// Receives one datagram without waiting: copies the part that fits into the buffers, one after the
  /// other, and sets `from` to the sender. May fill `info`. Returns the whole length of the datagram in
  /// bytes. On an error, sets `error`. The error errc::operation_would_block means that no datagram has
  /// arrived: the derived class must call notify_readable() when one has arrived.
  virtual std::size_t do_receive(std::span<const mutable_buffer> into, Endpoint& from,
                                 packet_info& info, boost::system::error_code& error) noexcept = 0;
  /// Sends the bytes of all buffers, at most 64, as one datagram without waiting: to `to`, or, if `to` is
  /// null, to the peer to which the socket is connected. `source` is null, or as in send_to(). On an
  /// error, sets `error`. The error errc::operation_would_block means that there is no room: the derived
  /// class must call notify_writable() when there is room.
  virtual void do_send(std::span<const const_buffer> from, const Endpoint* to,
                       const packet_info* source, boost::system::error_code& error) noexcept = 0;
  /// Called when the socket is closed, by close() or because its loop is destroyed.
  virtual void on_close() noexcept {}

  /// From now on each operation begins with a call of do_receive() or do_send(). Otherwise, after one of these
  /// has had no result, an operation waits for notify_readable() or notify_writable() first.
  void attempt_first() noexcept { this->attempts_first = true; }
  /// In do_receive() and do_send(): whether the call is for the second or a later datagram of a batch.
  [[nodiscard]] bool is_later_in_batch() const noexcept { return this->continues_batch; }

  /// Reports that do_receive(), or do_send(), can be called again. May be called at any time. Operations
  /// continue later, not inside the call.
  void notify_readable() noexcept { handle_.notify(detail::reading); }
  void notify_writable() noexcept { handle_.notify(detail::writing); }

 private:
  std::size_t receive_one(std::span<const mutable_buffer> into, void* from, packet_info& info,
                          boost::system::error_code& error) noexcept final {
    last_sender_ = Endpoint();
    const std::size_t length = do_receive(into, last_sender_, info, error);
    if (from) *static_cast<Endpoint*>(from) = last_sender_;
    return length;
  }
  void send_one(std::span<const const_buffer> from, const void* to, const packet_info* source,
                boost::system::error_code& error) noexcept final {
    do_send(from, static_cast<const Endpoint*>(to), source, error);
  }
  void closed() noexcept final { on_close(); }
  unsigned encode(void* name) const noexcept final {
    return detail::sockaddr_traits<Endpoint>::codec.encode(&last_sender_, name, false);
  }

  detail::custom_datagram_handle handle_;
  Endpoint last_sender_;
};

}  // namespace cosock
