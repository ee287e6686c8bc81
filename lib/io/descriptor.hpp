// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cosock/address.hpp>
#include <cosock/detail/medium.hpp>
#include <cosock/detail/source.hpp>

#include "core/reactor.hpp"
#include "io/blocking_calls.hpp"
#include "io/byte_counter.hpp"
#include "net/datagram.hpp"
#include "net/local_binding.hpp"

#include <sys/socket.h>
#include <sys/uio.h>

#include <memory>
#include <optional>

namespace cosock::detail {

/// A descriptor and its registration with the reactor, which lasts as long as it is open. The reactor
/// reports every edge, whether or not an operation waits, so waiting and cancelling cost no call into
/// it. After an exceptional event, an error or urgent data, a short read no longer proves that the
/// socket is drained: no second edge would come.
class descriptor final : public source, private loop_service, private io_watch {
 public:
  /// Registers `fd`, which is non-blocking and close-on-exec, and owns it from now on, even if this
  /// throws.
  static descriptor* open(scheduler& on, int fd, medium what, bool shared);

  /// A call moves no more: it goes on for as long as the peer keeps up, and nothing else runs
  /// meanwhile.
  static constexpr std::size_t most_bytes = 1 << 20;
  /// Of what a turn of the loop may do, 64 KiB count as much as one operation.
  void count_bytes(side which, std::size_t n) noexcept {
    on->budget -= static_cast<int>(n >> 16);
    if (counter_) [[unlikely]]
      (which == reading ? counter_->in : counter_->out) += n;
  }
  void count_into(byte_counter&) noexcept override;

  int fd() const noexcept { return fd_; }
  medium what() const noexcept { return what_; }
  bool is_open() const noexcept { return fd_ >= 0; }

  /// Ends what is pending with `closed`, closes, and destroys this.
  void close() noexcept;
  /// The same, but leaves the descriptor open and gives it to the caller.
  int release() noexcept;

  /// Makes it take datagram operations.
  void become_datagram(int family);
  datagram_state* datagrams() const noexcept { return datagrams_.get(); }

  /// Its stream is destroyed: closes, unless somebody keeps it to close it in order.
  void leave() noexcept;
  /// Ends the sending direction. Throws system_error.
  void end_sending();

  /// The other end of the connection, as accept(2) or connect(2) knew it, so that it stays known when
  /// the connection is lost.
  void set_peer(const endpoint& peer) noexcept { peer_ = peer; }
  const std::optional<endpoint>& peer() const noexcept { return peer_; }

  /// How bytes of medium::other and medium::terminal move. To be set before the first operation.
  void set_access(access how) noexcept { access_[reading] = access_[writing] = how; }
  /// What read(2) and write(2) have returned, with the rules of terminals applied.
  ssize_t check_read(ssize_t n) const noexcept;
  ssize_t check_write(ssize_t n) const noexcept;


  /// Drops this, what binding the socket left behind, before it closes.
  void take_binding(std::shared_ptr<local_binding> made) noexcept { binding_ = std::move(made); }

  /// The next message of a socket that has such, recvmsg(2) with MSG_TRUNC: gives its real length.
  /// Sets `end` where there is none any more, which an empty message is not.
  ssize_t take_message(iovec* pieces, std::size_t count, bool& end) noexcept;
  /// The same with these flags, and with control messages, if there is room for them.
  ssize_t take_message(msghdr&, int flags, bool& end) noexcept;

  /// Takes back the options that the library has set for itself. To be called before others get the
  /// descriptor.
  void take_options_back() noexcept;
  /// The descriptor for who may give it to others.
  int exposed_fd() noexcept {
    take_options_back();
    return fd_;
  }

  /// The failure for this error, which is remembered if it means that the connection is lost: the
  /// system tells that once, and calls it the end of the stream from then on.
  failure lost(int error) noexcept;
  /// For a receive that failed: whether the loss of the connection is news. It is remembered then.
  /// Sockets with messages report it in front of those that still wait, so the receive tries again.
  bool loses_connection(int error) noexcept;
  /// That failure; none while the connection is not known to be lost.
  failure broken() const noexcept;

  void arm(side) override;
  bool transfer(stream_operation&) override;
  bool transfer(message_operation&) override;
  bool is_ready(side) noexcept override;
  bool may_finish() noexcept override;
  bool leave_to(kept_source*) noexcept override;
  void close_left() noexcept override { close(); }

 private:
  void on_events(unsigned) noexcept override;
  /// Closes, and leaves this to its owner.
  void on_loop_shutdown() noexcept override;

  descriptor(scheduler& on, int fd, medium what, bool shared) noexcept;
  ~descriptor() {
    if (counter_) counter_->drop();
  }
  int detach() noexcept;
  void ask_for_stamps() noexcept;
  void ask_for_left() noexcept;
  bool is_on(int level, int name) const noexcept;
  bool set_on(int level, int name, bool on) noexcept;
  bool receive(stream_operation&);
  bool send(stream_operation&);
  bool transfer_rare(stream_operation&);
  bool receive_messages(stream_operation&);
  bool send_message(stream_operation&);
  ssize_t receive_scattered(stream_operation&, int& left) noexcept;
  ssize_t read_pieces(iovec* pieces, std::size_t count) noexcept;
  ssize_t send_gathered(stream_operation&) noexcept;
  ssize_t write_pieces(iovec* pieces, std::size_t count) noexcept;

  // descriptor_stream.cpp
  ssize_t read_shared(const iovec* pieces, std::size_t count) noexcept;
  ssize_t write_shared(const iovec* pieces, std::size_t count) noexcept;
  bool begin_blocking(side) noexcept;

  // datagram.cpp
  bool receive_message(message_operation&);
  bool receive_messages(message_operation&);
  bool receive_split(message_operation&);
  bool send_message(message_operation&);
  bool send_messages(message_operation&);
  bool message_failed(message_operation&, int error) noexcept;
  bool fill_joined();
  ssize_t receive_control(iovec* pieces, std::size_t count, name_buffer&, unsigned& name_size,
                          control_buffer&, std::size_t& control_size) noexcept;
  void describe_slot(batch_memory&, std::size_t) const noexcept;
  static bool refused_to_split(int error) noexcept;

  int fd_;
  int broken_ = 0;  // the error that ended the connection
  std::shared_ptr<local_binding> binding_;
  medium what_;
  bool left_ = false;       // with a keeper, shut down for sending
  bool shared_;             // others may hold the descriptor too
  bool drained_by_short_;   // a short read means that nothing is left
  bool asked_for_left_;     // TCP_INQ, where there is such a thing
  bool own_left_ = false;   // it is on because the library has asked
  bool has_stamps_ = false; // each message comes with one
  bool own_stamps_ = false; // because the library has asked
  access access_[2] = {access::no_wait, access::no_wait};
  std::unique_ptr<datagram_state> datagrams_;
  byte_counter* counter_ = nullptr;
  kept_source* keeper_ = nullptr;
  std::optional<endpoint> peer_;
  std::unique_ptr<blocking_calls> blocking_;
};

}  // namespace cosock::detail
