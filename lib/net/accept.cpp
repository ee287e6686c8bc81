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

/// For acceptors of several loops.
static void begin_accept(io_object* target) noexcept {
  if (!target || !target->loop) return;
  if (connection_source* const source = descriptor_of(target)->source()) source->begin_accept();
}

step basic_accept_operation::start(std::coroutine_handle<> awaiting, cancel_node& parent) {
  if (!enter(awaiting, parent)) return complete_or_yield();
  begin_accept(target_);
  return launch(target_, reading);
}

void basic_accept_operation::require_no_other() const {
  if (!target_ || !target_->loop) raise(closed_failure());
  if (target_->waiter[reading]) raise(own_failure(error::busy));
}

bool basic_accept_operation::accept_now() {
  require_no_other();
  begin_accept(target_);
  // Asks the system, also if the loop has not seen the event.
  if (connection_source* const source = descriptor_of(target_)->source())
    source->has_backlog = true;
  object_ = target_;
  const step reached = attempt();
  object_ = nullptr;
  if (failure_) raise(failure_);
  return reached == step::done;
}

bool basic_accept_operation::accept_rest() {
  require_no_other();
  connection_source* const source = descriptor_of(target_)->source();
  if (!source) return false;
  new_connection next = source->take_rest();
  if (next.fd < 0) return false;
  object_ = target_;
  open(next);
  object_ = nullptr;
  if (failure_) raise(failure_);
  return true;
}

step basic_accept_operation::open(new_connection& made) noexcept {
  auto& from = static_cast<descriptor&>(*object_);
  try {
    scheduler& loop = scheduler::get(*from.loop);
    if (kind_ == fd_kind::tcp) {
      tcp_descriptor* const opened = tcp_descriptor::open(loop, made.fd, false);
      opened->peer = made.peer;
      opened->count = std::exchange(made.count, nullptr);
      if (peer_) *peer_ = made.peer;
      accepted_ = opened;
    } else {
      accepted_ = descriptor::open(loop, made.fd, kind_, false);
    }
  } catch (const boost::system::system_error& e) {
    failure_ = to_failure(e.code());
  } catch (...) {
    failure_ = system_failure(ENOMEM);
  }
  if (made.count) made.count->drop();  // it could not be opened
  return step::done;
}

new_connection accept_tcp(int listening) noexcept {
  system_address peer;
  new_connection accepted;
  accepted.fd = system::accept4(listening, peer.get(), &peer.size);
  if (accepted.fd < 0) return accepted;
  const int yes = 1;
  system::setsockopt(accepted.fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
  accepted.peer = peer.to_endpoint();
  return accepted;
}

bool is_worth_another_accept(int error) noexcept {
  switch (error) {
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
    case ETIMEDOUT: return true;
    default: return false;
  }
}

step basic_accept_operation::attempt() {
  auto& from = static_cast<descriptor&>(*object_);  // not target_: the acceptor may have been moved
  connection_source* const source = from.source();
  for (;;) {
    new_connection next;
    if (source) next = source->take_passed();
    if (next.fd >= 0) return open(next);
    if (source && !source->has_backlog) {
      from.maybe_ready[reading] = false;
      return step::pending;
    }
    if (kind_ == fd_kind::tcp) {
      next = accept_tcp(from.fd());
    } else {
      system_address peer;
      next.fd = system::accept4(from.fd(), peer.get(), &peer.size);
    }
    if (next.fd >= 0) {
      if (!source || source->keep(next)) return open(next);
      if (--from.loop->budget > 0) continue;
      from.maybe_ready[reading] = true;
      return step::pending;
    }
    if (errno == EAGAIN) {
      from.maybe_ready[reading] = false;
      if (source) source->has_backlog = false;
      return step::pending;
    }
    if (!is_worth_another_accept(errno)) {
      failure_ = system_failure(errno);
      return step::done;
    }
    if (--from.loop->budget > 0) continue;
    from.maybe_ready[reading] = true;  // tries again in the next turn: there may be many
    return step::pending;
  }
}

}  // namespace cosock::detail
