// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// The door to the socket calls of the system. Each function is the call of its name, and costs one
// comparison more; descriptors of a simulated network (cosock-testing) go to the simulation instead.
// The calls that move bytes of sockets are not here: descriptor::transfer_rare and
// simulated_datagrams have their own way to the simulation, so production pays nothing for them.

#include <cosock/detail/config.hpp>

#include "core/standard_numbers.hpp"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

namespace cosock::detail {

/// The socket calls on simulated descriptors. Each function returns what the system call of its name
/// does: -1 with errno for an error. None of them blocks. The descriptors belong to it.
class simulated_calls {
 public:
  virtual int bind(int fd, const sockaddr* name, socklen_t size) noexcept = 0;
  virtual int listen(int fd, int backlog) noexcept = 0;
  virtual int accept4(int fd, sockaddr* name, socklen_t* size) noexcept = 0;
  virtual int connect(int fd, const sockaddr* name, socklen_t size) noexcept = 0;
  virtual int shutdown(int fd, int how) noexcept = 0;
  virtual int close(int fd) noexcept = 0;
  virtual int getsockopt(int fd, int level, int name, void* value, socklen_t* size) noexcept = 0;
  virtual int setsockopt(int fd, int level, int name, const void* value,
                         socklen_t size) noexcept = 0;
  virtual int getsockname(int fd, sockaddr* name, socklen_t* size) noexcept = 0;
  virtual int getpeername(int fd, sockaddr* name, socklen_t* size) noexcept = 0;
  virtual short poll_now(int fd, short events) noexcept = 0;
  virtual ssize_t recvmsg(int fd, msghdr* message, int flags) noexcept = 0;
  virtual ssize_t sendmsg(int fd, const msghdr* message, int flags) noexcept = 0;

 protected:
  ~simulated_calls() = default;
};

/// Simulated descriptors have the numbers from this one on, real ones never do.
inline constexpr int first_simulated_number = 1 << 30;
inline bool is_simulated(int fd) noexcept { return fd >= first_simulated_number; }

/// The simulation of this thread. If there is none, each call fails with EBADF.
COSOCK_API simulated_calls& simulation() noexcept;
/// Sets it; null for none. Returns the one before, or null.
COSOCK_API simulated_calls* set_simulation(simulated_calls*) noexcept;

namespace system {

/// A new non-blocking socket, on the simulated host of the loop that runs on this thread if it has
/// one. -1 with errno if that fails.
COSOCK_API int socket(int domain, int type) noexcept;
/// The same for two local sockets that are connected to each other.
int socketpair(int type, int (&fds)[2]) noexcept;

inline int bind(int fd, const sockaddr* name, socklen_t size) noexcept {
  if (is_simulated(fd)) [[unlikely]]
    return simulation().bind(fd, name, size);
  return ::bind(fd, name, size);
}
inline int listen(int fd, int backlog) noexcept {
  if (is_simulated(fd)) [[unlikely]]
    return simulation().listen(fd, backlog);
  return ::listen(fd, backlog);
}
inline int accept4(int fd, sockaddr* name, socklen_t* size) noexcept {
  if (is_simulated(fd)) [[unlikely]]
    return simulation().accept4(fd, name, size);
  return above_standard(::accept4(fd, name, size, SOCK_NONBLOCK | SOCK_CLOEXEC));
}
inline int connect(int fd, const sockaddr* name, socklen_t size) noexcept {
  if (is_simulated(fd)) [[unlikely]]
    return simulation().connect(fd, name, size);
  return ::connect(fd, name, size);
}
inline int shutdown(int fd, int how) noexcept {
  if (is_simulated(fd)) [[unlikely]]
    return simulation().shutdown(fd, how);
  return ::shutdown(fd, how);
}
inline int close(int fd) noexcept {
  if (is_simulated(fd)) [[unlikely]]
    return simulation().close(fd);
  return ::close(fd);
}
inline int getsockopt(int fd, int level, int name, void* value, socklen_t* size) noexcept {
  if (is_simulated(fd)) [[unlikely]]
    return simulation().getsockopt(fd, level, name, value, size);
  return ::getsockopt(fd, level, name, value, size);
}
inline int setsockopt(int fd, int level, int name, const void* value, socklen_t size) noexcept {
  if (is_simulated(fd)) [[unlikely]]
    return simulation().setsockopt(fd, level, name, value, size);
  return ::setsockopt(fd, level, name, value, size);
}
inline int getsockname(int fd, sockaddr* name, socklen_t* size) noexcept {
  if (is_simulated(fd)) [[unlikely]]
    return simulation().getsockname(fd, name, size);
  return ::getsockname(fd, name, size);
}
inline int getpeername(int fd, sockaddr* name, socklen_t* size) noexcept {
  if (is_simulated(fd)) [[unlikely]]
    return simulation().getpeername(fd, name, size);
  return ::getpeername(fd, name, size);
}

}  // namespace system

/// The present state by poll(2): some of `events`, POLLHUP, POLLERR; or 0.
inline short poll_now(int fd, short events) noexcept {
  if (is_simulated(fd)) [[unlikely]]
    return simulation().poll_now(fd, events);
  pollfd asked = {fd, events, 0};
  return ::poll(&asked, 1, 0) > 0 ? asked.revents : short{0};
}

}  // namespace cosock::detail
