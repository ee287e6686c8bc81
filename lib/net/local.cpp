// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// local_stream_socket, local_seqpacket_socket and their acceptors: options, ownership, connecting,
// messages. Names and files of local sockets are in local_binding.cpp.

#include <cosock/local.hpp>

#include "loop/engine.hpp"
#include "net/datagram_descriptor.hpp"
#include "net/local_binding.hpp"
#include "net/socket.hpp"

#include <cosock/connection.hpp>
#include <cosock/loop.hpp>

#include <algorithm>
#include <memory>

namespace cosock {

using detail::descriptor;
using detail::fd_kind;
using detail::get;
using detail::scheduler;
using detail::system_failure;

namespace {

int type_of(fd_kind kind) noexcept {
  return kind == fd_kind::messages    ? SOCK_SEQPACKET
         : kind == fd_kind::datagrams ? SOCK_DGRAM
                                      : SOCK_STREAM;
}

int new_socket(fd_kind kind) noexcept { return detail::system::socket(AF_UNIX, type_of(kind)); }

}  // namespace

int detail::listen_local(fd_kind kind, const local_endpoint& at,
                         const local_acceptor_options& options,
                         std::unique_ptr<local_binding>& binding) {
  auto socket = unique_descriptor::adopt(new_socket(kind));
  if (socket.get() < 0) raise(system_failure(errno), at.to_string());
  options.configure(socket.get());
  binding = bind_local(socket.get(), at, options.mode, options.replace_stale);
  if (detail::system::listen(socket.get(), not_negative("backlog", options.backlog)) != 0) {
    const failure why = system_failure(errno);
    binding.reset();
    raise(why, at.to_string());
  }
  return socket.release();
}

template class basic_socket<byte_stream, local_endpoint>;
template class basic_acceptor<local_endpoint>;

local_socket::~local_socket() = default;
local_stream_socket::~local_stream_socket() = default;
local_seqpacket_socket::~local_seqpacket_socket() = default;

detail::io_object* local_socket::adopt(int fd, fd_kind kind) {
  auto taken = unique_descriptor::adopt(fd);
  scheduler& loop = scheduler::required();
  detail::prepare_adopted(fd, type_of(kind), AF_UNIX);
  return descriptor::open(loop, taken.release(), kind, true);
}
local_stream_socket local_stream_socket::adopt(int fd) {
  return local_stream_socket(local_socket::adopt(fd, kind));
}
local_seqpacket_socket local_seqpacket_socket::adopt(int fd) {
  return local_seqpacket_socket(local_socket::adopt(fd, kind));
}

void local_socket::shutdown_send() { detail::shut_down_sending(object_); }

credentials local_socket::peer_credentials() const {
  const auto peer = get<::ucred>(object_, SOL_SOCKET, SO_PEERCRED);
  return {peer.pid, peer.uid, peer.gid};
}

namespace detail {

io_object* open_local_acceptor(cosock::loop* loop, fd_kind kind, const local_endpoint& at,
                               const local_acceptor_options& options) {
  scheduler& owner = loop ? engine::get(*loop) : scheduler::required();
  std::unique_ptr<local_binding> binding;
  const int fd = listen_local(kind, at, options, binding);
  descriptor* const made = descriptor::open(owner, fd, kind, false);
  made->attach(std::move(binding));
  return made;
}

io_object* adopt_local_acceptor(int fd, fd_kind kind) {
  auto taken = unique_descriptor::adopt(fd);
  scheduler& loop = scheduler::required();
  prepare_adopted_listener(fd, type_of(kind), AF_UNIX);
  return descriptor::open(loop, taken.release(), kind, true);
}

void ask_local(const kept_io_object& connection, local_endpoint& into) {
  into = name_of<local_endpoint>(dynamic_cast<const descriptor*>(connection.current()),
                                 &system::getsockname);
}

object_pair make_local_pair(fd_kind kind) {
  scheduler& loop = scheduler::required();
  int fds[2];
  if (system::socketpair(type_of(kind), fds) != 0) raise(system_failure(errno));
  auto first = unique_descriptor::adopt(above_standard(fds[0]));
  auto second = unique_descriptor::adopt(above_standard(fds[1]));
  if (!first.is_open() || !second.is_open()) raise(system_failure(errno));
  const auto open = [&](unique_descriptor& socket) -> descriptor* {
    if (kind == fd_kind::datagrams)
      return datagram_descriptor::open(loop, socket.release(), AF_UNIX, false);
    return descriptor::open(loop, socket.release(), kind, false);
  };
  descriptor* const opened = open(first);
  try {
    return {opened, open(second)};
  } catch (...) {
    opened->close();
    throw;
  }
}

step basic_local_connect_operation::start(std::coroutine_handle<> awaiting, cancel_node& parent) {
  if (enter(awaiting, parent))
    open_socket();
  else
    ended_ = true;
  if (ended_ || attempt() == step::done) return complete_or_yield();
  suspend();
  pause();
  return step::pending;
}

void basic_local_connect_operation::open_socket() noexcept {
  try {
    socket_ = new_socket(kind_);
    if (socket_ < 0)
      failure_ = system_failure(errno);
    else
      configure_(socket_);
  } catch (...) {
    hook_exception_ = std::current_exception();
    failure_ = failure_of(hook_exception_);
  }
  if (!failure_ && scope_->cancelled) failure_ = cancelled_failure();  // by the hook
  ended_ = failure_ || hook_exception_;
}

step basic_local_connect_operation::attempt() noexcept {
  local_address name(peer_);
  int result;
  do {
    result = system::connect(socket_, name.get(), name.size);
  } while (result != 0 && errno == EINTR);
  // The backlog is full. No event tells when it has room, so a timer tries again.
  if (result != 0 && errno == EAGAIN) return step::pending;
  ended_ = true;
  if (result != 0) {
    failure_ = system_failure(errno);
    return step::done;
  }
  try {
    connected_ =
        descriptor::open(scheduler::get(*scope_->loop), std::exchange(socket_, -1), kind_, false);
  } catch (const boost::system::system_error& e) {
    failure_ = to_failure(e.code());
  } catch (...) {
    failure_ = system_failure(ENOMEM);
  }
  return step::done;
}

void basic_local_connect_operation::pause() noexcept {
  start_timer(*scope_->loop, later(current_time(*scope_->loop), delay_));
  delay_ = std::min<std::int64_t>(2 * delay_, 100'000'000);
}

void basic_local_connect_operation::expire() noexcept {
  scheduler::get(*scope_->loop).schedule(*this);
}

void basic_local_connect_operation::fire() {
  if (ended_ || attempt() == step::done)
    resume();
  else
    pause();
}

void basic_local_connect_operation::cancel() noexcept {
  if (ended_) return;  // it will be resumed with its result
  failure_ = cancelled_failure();
  ended_ = true;
  stop_timer();
  if (!operation::linked()) scheduler::get(*scope_->loop).schedule(*this);
}

void basic_local_connect_operation::close_socket() noexcept {
  if (socket_ >= 0) system::close(std::exchange(socket_, -1));
  if (connected_) descriptor_of(std::exchange(connected_, nullptr))->close();
}

basic_local_connect_operation::~basic_local_connect_operation() {
  close_socket();
  operation::unlink();
}

io_object* basic_local_connect_operation::take() {
  if (!failure_ && !hook_exception_) return std::exchange(connected_, nullptr);
  close_socket();
  if (hook_exception_) std::rethrow_exception(hook_exception_);
  if (is_cancelled(failure_)) raise(failure_);
  raise(failure_, peer_.to_string());
}

step message_receive_operation::start(std::coroutine_handle<> awaiting, cancel_node& parent) {
  return enter(awaiting, parent) ? launch(target_, reading) : complete_or_yield();
}

step message_receive_operation::attempt() {
  auto& from = static_cast<descriptor&>(*object_);
  iovec piece = {into_.data(), into_.size()};
  ssize_t n;
  do {
    n = from.take_message(&piece, 1, result_.end);
  } while (n < 0 && (errno == EINTR || from.loses_connection(errno)));
  if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
    from.maybe_ready[reading] = false;
    return step::pending;
  }
  from.maybe_ready[reading] = true;
  if (n < 0) {
    failure_ = from.lost(errno);
    return step::done;
  }
  if (result_.end && (failure_ = from.broken())) return step::done;
  from.count_bytes(reading, static_cast<std::size_t>(n));
  if (result_.end) from.input_ended = true;
  result_.length = static_cast<std::size_t>(n);
  result_.size = std::min(result_.length, into_.size());
  result_.truncated = result_.length > result_.size;
  return step::done;
}

}  // namespace detail
}  // namespace cosock
