// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#include <cosock/local.hpp>

#include "loop/engine.hpp"
#include "net/datagram_descriptor.hpp"
#include "net/local_binding.hpp"
#include "net/socket.hpp"

#include <cosock/connection.hpp>
#include <cosock/loop.hpp>

#include <algorithm>

namespace cosock {

using detail::descriptor;
using detail::fd_kind;
using detail::get;
using detail::impl_of;
using detail::local_address;
using detail::scheduler;
using detail::set;
using detail::system_failure;

namespace {

int type_of(fd_kind kind) noexcept {
  return kind == fd_kind::messages    ? SOCK_SEQPACKET
         : kind == fd_kind::datagrams ? SOCK_DGRAM
                                      : SOCK_STREAM;
}

int new_socket(fd_kind kind) noexcept {
  return detail::above_standard(::socket(AF_UNIX, type_of(kind) | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
}

descriptor* listen(scheduler& loop, fd_kind kind, const local_endpoint& at,
                   const local_acceptor_options& options) {
  std::unique_ptr<detail::local_binding> binding;
  const int fd =
      detail::listen_local(kind, at, options.backlog, options.mode, options.replace_stale, binding);
  descriptor* const made = descriptor::open(loop, fd, kind, false);
  made->attach(std::move(binding));
  return made;
}

}  // namespace

int detail::listen_local(fd_kind kind, const local_endpoint& at, int backlog, int mode,
                         bool replace_stale, std::unique_ptr<local_binding>& binding) {
  auto socket = unique_descriptor::adopt(new_socket(kind));
  if (socket.get() < 0) raise(system_failure(errno), at.to_string());
  binding = bind_local(socket.get(), at, mode, replace_stale);
  if (::listen(socket.get(), not_negative("backlog", backlog)) != 0) {
    const failure why = system_failure(errno);
    binding.reset();
    raise(why, at.to_string());
  }
  return socket.release();
}

local_socket::local_socket(descriptor* impl) noexcept : byte_stream(impl) {}
local_socket::~local_socket() {
  if (object_) impl_of(object_)->leave();
}
local_stream_socket::~local_stream_socket() = default;
local_seqpacket_socket::~local_seqpacket_socket() = default;

local_socket& local_socket::operator=(local_socket&& other) noexcept {
  if (this != &other) {
    if (object_) impl_of(object_)->leave();
    object_ = std::exchange(other.object_, nullptr);
  }
  return *this;
}

descriptor* local_socket::adopt(int fd, fd_kind kind) {
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

int local_socket::release() noexcept {
  descriptor* const open = impl_of(std::exchange(object_, nullptr));
  return open ? open->release() : -1;
}
void local_socket::close() noexcept {
  if (object_) impl_of(std::exchange(object_, nullptr))->close();
}
void local_socket::shutdown_send() { detail::shut_down_sending(impl_of(object_)); }

int local_socket::native_handle() const noexcept {
  return is_open() ? impl_of(object_)->exposed_fd() : -1;
}

local_endpoint local_socket::local_endpoint() const {
  return detail::name_of<local_address>(impl_of(object_), &::getsockname);
}
local_endpoint local_socket::remote_endpoint() const {
  return detail::name_of<local_address>(impl_of(object_), &::getpeername);
}

credentials local_socket::peer_credentials() const {
  const auto peer = get<::ucred>(impl_of(object_), SOL_SOCKET, SO_PEERCRED);
  return {peer.pid, peer.uid, peer.gid};
}

void local_socket::set_receive_buffer(int bytes) {
  detail::set_buffer(impl_of(object_), SO_RCVBUF, bytes);
}
int local_socket::receive_buffer() const { return get(impl_of(object_), SOL_SOCKET, SO_RCVBUF); }
void local_socket::set_send_buffer(int bytes) {
  detail::set_buffer(impl_of(object_), SO_SNDBUF, bytes);
}
int local_socket::send_buffer() const { return get(impl_of(object_), SOL_SOCKET, SO_SNDBUF); }

local_listener::local_listener(loop* loop, fd_kind kind, const cosock::local_endpoint& at,
                               const local_acceptor_options& options)
    : listener_(
          listen(loop ? detail::engine::get(*loop) : scheduler::required(), kind, at, options)) {}

local_listener& local_listener::operator=(local_listener&& other) noexcept {
  if (this != &other) {
    close();
    listener_ = std::exchange(other.listener_, nullptr);
  }
  return *this;
}

local_listener::~local_listener() { close(); }

void local_listener::close() noexcept {
  if (listener_) std::exchange(listener_, nullptr)->close();
}

descriptor* local_listener::adopt(int fd, fd_kind kind) {
  auto taken = unique_descriptor::adopt(fd);
  scheduler& loop = scheduler::required();
  detail::prepare_adopted_listener(fd, type_of(kind), AF_UNIX);
  return descriptor::open(loop, taken.release(), kind, true);
}

int local_listener::release() noexcept {
  return listener_ ? std::exchange(listener_, nullptr)->release() : -1;
}

void local_listener::set_backlog(int connections) { detail::set_backlog(listener_, connections); }

local_endpoint local_listener::local_endpoint() const {
  return detail::name_of<local_address>(listener_, &::getsockname);
}
int local_listener::native_handle() const noexcept {
  return listener_ ? listener_->exposed_fd() : -1;
}

namespace detail {

void ask_local(const kept_io_object& connection, local_endpoint& into) {
  into =
      name_of<local_address>(dynamic_cast<const descriptor*>(connection.current()), &::getsockname);
}

descriptor_pair make_local_pair(fd_kind kind) {
  scheduler& loop = scheduler::required();
  int fds[2];
  if (::socketpair(AF_UNIX, type_of(kind) | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) != 0)
    raise(system_failure(errno));
  auto first = unique_descriptor::adopt(above_standard(fds[0]));
  auto second = unique_descriptor::adopt(above_standard(fds[1]));
  if (!first.is_open() || !second.is_open()) raise(system_failure(errno));
  const auto open = [&](unique_descriptor& socket) -> descriptor* {
    if (kind == fd_kind::datagrams)
      return datagram_descriptor::open(loop, socket.release(), AF_UNIX, false);
    return descriptor::open(loop, socket.release(), kind, false);
  };
  descriptor_pair made = {open(first), nullptr};
  try {
    made.ends[1] = open(second);
  } catch (...) {
    made.ends[0]->close();
    throw;
  }
  return made;
}

step basic_local_connect_operation::start(std::coroutine_handle<> awaiting, cancel_node& parent) {
  if (!enter(awaiting, parent)) {
    ended_ = true;
  } else if ((socket_ = new_socket(kind_)) < 0) {
    failure_ = system_failure(errno);
    ended_ = true;
  }
  if (ended_ || attempt() == step::done) return complete_or_yield();
  suspend();
  pause();
  return step::pending;
}

step basic_local_connect_operation::attempt() noexcept {
  local_address name(peer_);
  int result;
  do {
    result = ::connect(socket_, name.get(), name.size);
  } while (result != 0 && errno == EINTR);
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
  start_timer(*scope_->loop, later(steady_now(), delay_));
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
  if (ended_) return;  // and will be resumed
  failure_ = cancelled_failure();
  ended_ = true;
  stop_timer();
  if (!operation::linked()) scheduler::get(*scope_->loop).schedule(*this);
}

void basic_local_connect_operation::close_socket() noexcept {
  if (socket_ >= 0) ::close(std::exchange(socket_, -1));
  if (connected_) std::exchange(connected_, nullptr)->close();
}

basic_local_connect_operation::~basic_local_connect_operation() {
  close_socket();
  operation::unlink();
}

descriptor* basic_local_connect_operation::take() {
  if (!failure_) return std::exchange(connected_, nullptr);
  close_socket();
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
