// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// A socket of a simulated host, as its descriptor sees it. A derived class for each kind models the
// behavior of the system. It belongs to the descriptor, and to the machine while it lives on after
// its descriptor is closed.

#include "core/reactor.hpp"
#include "testing/packet.hpp"

#include <poll.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <cerrno>
#include <map>
#include <memory>
#include <optional>
#include <utility>

namespace cosock::testing::detail {

class machine;

/// Has timers in the event queue of the simulation.
class timed {
 public:
  explicit timed(machine& on) noexcept : host(on) {}
  virtual ~timed() = default;
  /// Called with the generation of set_timer().
  virtual void on_time(std::uint64_t generation) = 0;
  /// The own port and that of the peer, which tell the sockets of a host from each other.
  virtual std::uint32_t ports() const noexcept { return 0; }
  /// Called when all loops have run.
  virtual void settle() {}

  machine& host;
};

/// The calls return a negative errno for an error.
class model_socket : public timed, public std::enable_shared_from_this<model_socket> {
 public:
  model_socket(machine& on, int family, int type) noexcept
      : timed(on), family(family), type(type) {}
  model_socket(const model_socket&) = delete;

  virtual int bind(const sockaddr*, socklen_t) { return -EOPNOTSUPP; }
  virtual int listen(int) { return -EOPNOTSUPP; }
  virtual int accept(sockaddr*, socklen_t*) { return -EOPNOTSUPP; }
  virtual int connect(const sockaddr*, socklen_t) { return -EOPNOTSUPP; }
  virtual int shutdown(int) { return -EOPNOTSUPP; }
  /// The last descriptor is closed.
  virtual void close() = 0;
  /// All is lost: sends nothing.
  virtual void vanish() noexcept = 0;
  virtual int getsockname(sockaddr*, socklen_t*) = 0;
  virtual int getpeername(sockaddr*, socklen_t*) { return -ENOTCONN; }
  virtual ssize_t receive(msghdr&, int flags) = 0;
  virtual ssize_t send(const msghdr&) = 0;
  /// As poll(2) reports it.
  virtual short state() const noexcept = 0;
  virtual bool is_listening() const noexcept { return false; }

  int getsockopt(int level, int option, void* value, socklen_t* size);
  int setsockopt(int level, int option, const void* value, socklen_t size);

  /// Reports a change: a combination of io_watch::event.
  void notify(unsigned events);
  /// The present state as events.
  unsigned events_now() const noexcept;
  int option(int level, int name) const noexcept;

  void on_time(std::uint64_t) override {}

  const int family;
  const int type;
  cosock::detail::io_watch* watch = nullptr;
  unsigned pending = 0;
  bool queued = false;
  bool is_bound = false;  // it is in a port table
  name own;               // as bound or connected
  int error = 0;          // SO_ERROR

 protected:
  /// An option that is no number: 0 or a negative errno; empty for any other option.
  virtual std::optional<int> set_structure(int, int, const void*, socklen_t) { return {}; }
  /// An option that is not stored: its value or a negative errno; empty for any other option.
  virtual std::optional<int> computed_option(int, int) const { return {}; }
  /// An option that is set, 0 or a negative errno.
  virtual int apply(int, int, int) { return 0; }

  /// Copies from memory into a message; the number of bytes that fit.
  static std::size_t put(const char* from, std::size_t size, msghdr& into) noexcept;
  static std::size_t size_of(const msghdr& m) noexcept;
  /// Appends at most `max` bytes.
  static void take(const msghdr& m, std::size_t max, std::string& into);

  /// Takes the options of a listening socket.
  void inherit(const model_socket& from) {
    options_ = from.options_;
    std::copy(std::begin(from.linger_), std::end(from.linger_), linger_);
    send_buffer_ = from.send_buffer_;
    receive_buffer_ = from.receive_buffer_;
  }

  std::size_t send_room() const noexcept { return static_cast<std::size_t>(send_buffer_) / 2; }
  std::size_t receive_room() const noexcept {
    return static_cast<std::size_t>(receive_buffer_) / 2;
  }

 private:
  std::map<std::pair<int, int>, int> options_;
  int linger_[2] = {0, 0};

 protected:
  // As getsockopt() reports them: twice what was set.
  int send_buffer_ = 512 * 1024;
  int receive_buffer_ = 512 * 1024;
  bool lingers_at_once() const noexcept { return linger_[0] != 0 && linger_[1] == 0; }
};

}  // namespace cosock::testing::detail
