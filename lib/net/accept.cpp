// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// Accepting connections, for every kind of acceptor, and checks of descriptors that the program
// passes in.

#include <cosock/detail/accept.hpp>

#include "net/socket.hpp"
#include "net/tcp_descriptor.hpp"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>

namespace cosock::detail {

unique_descriptor duplicate(int fd, int lowest) {
  auto made = unique_descriptor::adopt(::fcntl(fd, F_DUPFD_CLOEXEC, lowest));
  if (!made.is_open()) raise(system_failure(errno));
  return made;
}

void prepare_adopted(int fd, int type, int family) {
  if (get(fd, SOL_SOCKET, SO_TYPE) != type ||
      (family != AF_UNSPEC && get(fd, SOL_SOCKET, SO_DOMAIN) != family))
    raise(system_failure(EPROTOTYPE));
  if (is_simulated(fd)) return;
  const int flags = ::fcntl(fd, F_GETFL);
  if (flags < 0 || ::fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 ||
      ::fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
    raise(system_failure(errno));
}

void prepare_adopted_listener(int fd, int type, int family) {
  prepare_adopted(fd, type, family);
  if (!get(fd, SOL_SOCKET, SO_ACCEPTCONN)) raise(system_failure(EINVAL));
}

void basic_accept_operation::discard() noexcept {
  descriptor_of(std::exchange(accepted_, nullptr))->close();
}

step basic_accept_operation::start(std::coroutine_handle<> awaiting, cancel_node& parent) {
  return enter(awaiting, parent) ? launch(target_, reading) : complete_or_yield();
}

bool basic_accept_operation::accept_now() {
  if (!target_ || !target_->loop) raise(closed_failure());
  if (target_->waiter[reading]) raise(own_failure(error::busy));
  object_ = target_;
  const step reached = attempt();
  object_ = nullptr;
  if (failure_) raise(failure_);
  return reached == step::done;
}

step basic_accept_operation::attempt() {
  auto& from = static_cast<descriptor&>(*object_);  // not target_: the acceptor may have been moved
  for (;;) {
    system_address peer;
    const int fd = system::accept4(from.fd(), peer.get(), &peer.size);
    if (fd >= 0) {
      const int yes = 1;
      if (kind_ == fd_kind::tcp) system::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
      try {
        scheduler& loop = scheduler::get(*from.loop);
        if (kind_ == fd_kind::tcp) {
          tcp_descriptor* const made = tcp_descriptor::open(loop, fd, false);
          made->peer = peer.to_endpoint();
          if (peer_) *peer_ = *made->peer;
          accepted_ = made;
        } else {
          accepted_ = descriptor::open(loop, fd, kind_, false);
        }
      } catch (const boost::system::system_error& e) {
        failure_ = to_failure(e.code());
        return step::done;
      } catch (...) {
        failure_ = system_failure(ENOMEM);
        return step::done;
      }
      return step::done;
    }
    switch (errno) {
      case EAGAIN: from.maybe_ready[reading] = false; return step::pending;
      // The connection was lost in the backlog; accept(2) says to try again.
      case EINTR:
      case ECONNABORTED:
      case ECONNRESET:
      case EPROTO:
      case ENETDOWN:
      case ENOPROTOOPT:
      case EHOSTDOWN:
      case ENONET:
      case EHOSTUNREACH:
      case EOPNOTSUPP:
      case ENETUNREACH:
      case ETIMEDOUT:
        if (--from.loop->budget > 0) continue;
        from.maybe_ready[reading] = true;  // tries again in the next turn: there may be many
        return step::pending;
      default: failure_ = system_failure(errno); return step::done;
    }
  }
}

}  // namespace cosock::detail
