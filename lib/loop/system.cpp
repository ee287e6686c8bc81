// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// The simulation of this thread, and new sockets: of the system, or of the simulated host of the
// running loop.

#include "loop/system.hpp"

#include "core/scheduler.hpp"
#include "loop/simulated_host.hpp"

#include <cerrno>
#include <utility>

namespace cosock::detail {

namespace {

/// Knows no descriptor: one that has outlived its network.
class no_simulation final : public simulated_calls {
  static int fail() noexcept {
    errno = EBADF;
    return -1;
  }
  int bind(int, const sockaddr*, socklen_t) noexcept override { return fail(); }
  int listen(int, int) noexcept override { return fail(); }
  int accept4(int, sockaddr*, socklen_t*) noexcept override { return fail(); }
  int connect(int, const sockaddr*, socklen_t) noexcept override { return fail(); }
  int shutdown(int, int) noexcept override { return fail(); }
  int close(int) noexcept override { return fail(); }
  int getsockopt(int, int, int, void*, socklen_t*) noexcept override { return fail(); }
  int setsockopt(int, int, int, const void*, socklen_t) noexcept override { return fail(); }
  int getsockname(int, sockaddr*, socklen_t*) noexcept override { return fail(); }
  int getpeername(int, sockaddr*, socklen_t*) noexcept override { return fail(); }
  short poll_now(int, short) noexcept override { return POLLNVAL; }
  ssize_t recvmsg(int, msghdr*, int) noexcept override { return fail(); }
  ssize_t sendmsg(int, const msghdr*, int) noexcept override { return fail(); }
};

constinit no_simulation none;
constinit thread_local simulated_calls* simulation_of_thread = nullptr;

simulated_host* host() noexcept {
  const scheduler* const s = scheduler::current();
  return s ? s->host : nullptr;
}

}  // namespace

simulated_calls& simulation() noexcept {
  return simulation_of_thread ? *simulation_of_thread : none;
}
simulated_calls* set_simulation(simulated_calls* s) noexcept {
  return std::exchange(simulation_of_thread, s);
}

int system::socket(int domain, int type) noexcept {
  if (simulated_host* const h = host()) [[unlikely]]
    return h->socket(domain, type);
  return above_standard(::socket(domain, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
}

int system::socketpair(int type, int (&fds)[2]) noexcept {
  if (simulated_host* const h = host()) [[unlikely]]
    return h->socketpair(type, fds);
  return ::socketpair(AF_UNIX, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds);
}

}  // namespace cosock::detail
