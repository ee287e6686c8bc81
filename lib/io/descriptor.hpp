// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// The io_object behind sockets, pipes, terminals and files. Made by the classes of net and io,
// which point to it; its operations are those of stream_operation.hpp.

#include <cosock/detail/fd_kind.hpp>
#include <cosock/detail/stream_operation.hpp>

#include "core/failure.hpp"
#include "core/scheduler.hpp"
#include "io/blocking_calls.hpp"
#include "io/byte_counter.hpp"
#include "loop/system.hpp"

#include <poll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <memory>

namespace cosock::detail {

class connection_source;

/// An object that is destroyed before its descriptor is closed: the file of a local socket.
class descriptor_attachment {
 public:
  virtual ~descriptor_attachment() = default;
  /// Called if the descriptor is released to the program instead: the destructor does nothing then.
  virtual void forget() noexcept = 0;
};

/// A descriptor and its registration with the reactor, which lasts as long as it is open. The
/// reactor reports every edge, whether or not an operation waits, so a wait or a cancellation
/// usually makes no system call. After an exceptional event (an error, the end of the input, or urgent data)
/// TCP_INQ and SO_INQ no longer prove that the socket is drained: SO_INQ counts none of these, TCP_INQ only the
/// end, and there would be no second edge.
///
/// It owns the descriptor. The socket or stream that points to it calls close(), release() or
/// leave(), which destroy it, or pass it to a keeper. If the loop ends first, only the descriptor
/// is closed.
class descriptor : public io_object, private loop_service, protected io_watch {
 public:
  /// Registers `fd`, which is non-blocking and close-on-exec, and owns it from now on, even if this
  /// throws.
  static descriptor* open(scheduler& loop, int fd, fd_kind kind, bool shared) {
    return make<descriptor>(loop, fd, kind, shared);
  }

  /// The most that one system call moves. A call of a larger size would go on as long as the peer
  /// keeps up, and nothing else would run meanwhile.
  static constexpr std::size_t max_bytes = 1 << 20;
  /// Of the turn budget, 64 KiB take as much as one operation.
  void count_bytes(io_direction direction, std::size_t n) noexcept {
    loop->budget -= static_cast<int>(n >> 16);
    if (counter_) [[unlikely]]
      (direction == reading ? counter_->in : counter_->out) += n;
  }
  void count_into(byte_counter&) noexcept override;

  int fd() const noexcept { return fd_; }
  fd_kind kind() const noexcept { return kind_; }
  bool is_open() const noexcept { return fd_ >= 0; }

  /// Ends pending operations with `closed`, closes, and destroys this.
  void close() noexcept;
  /// Like close(), but returns the descriptor, open.
  int release() noexcept;

  /// Called when its stream is destroyed: closes, unless a keeper takes this object.
  void leave() noexcept;
  /// Ends the sending direction. Throws system_error.
  void end_sending();

  /// How bytes of fd_kind::other and fd_kind::terminal move. To be set before the first operation.
  void set_access(access how) noexcept { access_[reading] = access_[writing] = how; }
  /// Take the result of read(2) and write(2), with errno, and apply the rules of terminals to it.
  ssize_t check_read(ssize_t n) const noexcept;
  ssize_t check_write(ssize_t n) const noexcept;

  /// Of an acceptor that shares its connections with other loops; otherwise null.
  virtual connection_source* source() noexcept { return nullptr; }
  /// Copies the first bytes that wait in a stream socket, which stay there; as recv(2) with MSG_PEEK.
  ssize_t look(void* into, std::size_t size) noexcept;

  void attach(std::shared_ptr<descriptor_attachment> a) noexcept { attachment_ = std::move(a); }
  const std::shared_ptr<descriptor_attachment>& attachment() const noexcept { return attachment_; }

  /// Receives the next message, recvmsg(2) with MSG_TRUNC: returns its real length. Sets `end` at
  /// the end of the stream, but not for an empty message.
  ssize_t take_message(iovec* pieces, std::size_t count, bool& end) noexcept;
  /// The same with these flags, and with control messages, if there is room for them.
  ssize_t take_message(msghdr&, int flags, bool& end) noexcept;

  /// Resets the options that the library has set for itself. To be called before other code gets
  /// the descriptor: it would receive control messages that it has not asked for.
  void take_options_back() noexcept;
  /// To be called before a receive with room for descriptors: SO_INQ takes from this room, and the system marks
  /// messages that have no room for the number as incomplete.
  void expect_descriptors() noexcept {
    if (kind_ == fd_kind::local && (own_left_ || !asked_for_left_)) take_options_back();
  }
  /// The descriptor for code that may pass it on.
  int exposed_fd() noexcept {
    take_options_back();
    return fd_;
  }

  /// The failure for this error. If it means that the connection is lost, it is remembered: the
  /// system reports the loss once, and the end of the stream afterwards.
  failure lost(int error) noexcept;
  /// For a receive that failed: whether it is the first report of the loss of the connection, which
  /// is remembered. Sockets with messages report it before the messages that still wait, so the
  /// receive tries again.
  bool loses_connection(int error) noexcept;
  /// The remembered failure; empty while the connection is not known to be lost.
  failure broken() const noexcept;

  void arm(io_direction) override;
  step transfer(stream_operation&) final;
  step transfer_with_descriptors(stream_operation&, passed_descriptors&) final;
  bool is_ready(io_direction) noexcept override;
  peer_state peer() noexcept final;
  bool may_finish() noexcept final;
  bool leave_to(kept_io_object*) noexcept final;
  void close_left() noexcept final { close(); }

 protected:
  descriptor(scheduler& loop, int fd, fd_kind kind, bool shared) noexcept;
  virtual ~descriptor() {
    if (counter_) counter_->drop();
  }
  /// The implementation of open(), for derived classes too. `rest`: further arguments of the
  /// constructor.
  template <class D, class... Rest>
  static D* make(scheduler& loop, int fd, fd_kind kind, bool shared, Rest... rest) {
    D* made;
    try {
      made = new D(loop, fd, kind, shared, rest...);
    } catch (...) {
      system::close(fd);
      throw;
    }
    made->begin();
    return made;
  }
  void on_events(unsigned) noexcept override;
  bool is_awaited() const noexcept override { return is_busy(); }
  void describe(wait_report& to, io_direction direction) const override {
    to.descriptor(fd_, direction == reading, kind_ == fd_kind::tcp);
  }
  /// Called when it leaves its loop: it is being closed, or the loop ends.
  virtual void on_detach() noexcept {}
  /// Its descriptor is about to be given to the caller of release().
  virtual void on_release() noexcept {}

 private:
  /// Registers it with the reactor. If that fails, closes it.
  void begin();
  /// Closes the descriptor. The socket still points to this object, and destroys it.
  void on_loop_shutdown() noexcept final;
  int detach() noexcept;
  void ask_for_stamps() noexcept;
  void ask_for_left() noexcept;
  bool is_on(int level, int name) const noexcept;
  bool set_on(int level, int name, bool enabled) noexcept;
  step receive(stream_operation&);
  step send(stream_operation&);
  step transfer_rare(stream_operation&);
  step receive_messages(stream_operation&);
  ssize_t take_bytes(iovec* pieces, std::size_t count, bool& end) noexcept;
  step send_message(stream_operation&);
  ssize_t receive_scattered(stream_operation&, int& left) noexcept;
  ssize_t read_left(iovec* pieces, std::size_t count, int& left) noexcept;
  ssize_t read_pieces(iovec* pieces, std::size_t count) noexcept;
  ssize_t send_gathered(stream_operation&) noexcept;
  ssize_t write_pieces(iovec* pieces, std::size_t count) noexcept;

  // simulated.cpp
  step transfer_simulated(stream_operation&);
  ssize_t receive_simulated(msghdr&, int flags, bool& end) noexcept;

  // passed_descriptors.cpp
  ssize_t peek(void* into, std::size_t size, bool& with_descriptors) noexcept;
  ssize_t receive_passed(void* into, std::size_t size, bool with_descriptors, passed_descriptors&,
                         bool& end) noexcept;

  // descriptor_stream.cpp
  ssize_t read_shared(const iovec* pieces, std::size_t count) noexcept;
  ssize_t write_shared(const iovec* pieces, std::size_t count) noexcept;
  bool begin_blocking(io_direction) noexcept;

  int fd_;
  int broken_ = 0;  // the error that ended the connection
  std::shared_ptr<descriptor_attachment> attachment_;
  fd_kind kind_;
  bool left_ = false;      // a keeper has it, and it is shut down for sending
  bool shared_;            // other code may hold the descriptor too, or has seen its number
  bool trusts_inq_;        // 0 by TCP_INQ or SO_INQ proves that no edge is missed
  bool asked_for_left_;    // TCP_INQ or SO_INQ was set or tried, or the kind has neither
  bool own_left_ = false;  // the library has set it
  bool asked_for_stamps_ = false;
  bool has_stamps_ = false;  // each message comes with a time stamp
  bool own_stamps_ = false;  // the library has set SO_TIMESTAMPNS
  access access_[2] = {access::no_wait, access::no_wait};
  byte_counter* counter_ = nullptr;
  kept_io_object* keeper_ = nullptr;
  std::unique_ptr<blocking_calls> blocking_;
};

/// The descriptor of a socket, acceptor or stream that consists of one; null if it is closed.
inline descriptor* descriptor_of(io_object* object) noexcept {
  return static_cast<descriptor*>(object);
}

/// The descriptor; throws `closed` if there is none.
inline int handle_of(const io_object* object) {
  if (!object || !object->loop) raise(closed_failure());
  return static_cast<const descriptor*>(object)->fd();
}

/// Ends the sending direction of a connection.
inline void shut_down_sending(io_object* object) {
  handle_of(object);
  if (object->waiter[writing]) raise(own_failure(error::busy));
  descriptor_of(object)->end_sending();
}

}  // namespace cosock::detail
