// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#include "testing/local_model.hpp"

#include "testing/machine.hpp"
#include "testing/simulation.hpp"

#include <sys/un.h>

#include <algorithm>
#include <cstddef>
#include <memory>

namespace cosock::testing::detail {

namespace {

using cosock::detail::io_watch;

constexpr unsigned everything = io_watch::readable | io_watch::writable | io_watch::exceptional;
/// net.unix.max_dgram_qlen
constexpr std::size_t max_datagrams = 10;

/// The name in an address; false for one that is none.
bool read_local(const sockaddr* from, socklen_t size, std::string& into) {
  if (size < sizeof(sa_family_t) || from->sa_family != AF_UNIX) return false;
  const char* const path = reinterpret_cast<const sockaddr_un*>(from)->sun_path;
  const std::size_t length = size - offsetof(sockaddr_un, sun_path);
  if (length == 0) return false;
  into.assign(path, length);
  if (path[0] != '\0') into.resize(std::min(into.find('\0'), into.size()));
  return true;
}

}  // namespace

void local_model::join(const std::shared_ptr<local_model>& a,
                       const std::shared_ptr<local_model>& b) {
  a->peer_ = b;
  b->peer_ = a;
  a->was_connected_ = b->was_connected_ = true;
}

local_model* local_model::find(const std::string& wanted) const noexcept {
  const auto found = host.local_names.find(wanted);
  return found == host.local_names.end() ? nullptr : static_cast<local_model*>(found->second);
}

int local_model::failure_to_find(const std::string& wanted) const noexcept {
  return wanted[0] == '\0' ? -ECONNREFUSED : -ENOENT;
}

int local_model::bind(const sockaddr* at, socklen_t size) {
  std::string wanted;
  if (!read_local(at, size, wanted)) return at->sa_family == AF_UNIX ? 0 : -EINVAL;
  if (is_bound) return -EINVAL;
  if (!host.local_names.emplace(wanted, this).second) return -EADDRINUSE;
  local_name_ = wanted;
  is_bound = true;
  return 0;
}

int local_model::listen(int backlog) {
  if (type == SOCK_DGRAM) return -EOPNOTSUPP;
  if (!is_bound) return -EINVAL;
  backlog_ = static_cast<std::size_t>(std::clamp(backlog, 0, 4096));
  listens_ = true;
  return 0;
}

int local_model::accept(sockaddr* at, socklen_t* size) {
  if (!listens_) return -EINVAL;
  if (accepted_.empty()) return -EAGAIN;
  if (!host.has_room()) return -EMFILE;
  const std::shared_ptr<local_model> first = std::move(accepted_.front());
  accepted_.pop_front();
  write_local(first->peer_name_, at, size);
  return host.open(first);
}

int local_model::connect(const sockaddr* to, socklen_t size) {
  if (type == SOCK_DGRAM && to->sa_family == AF_UNSPEC) {
    peer_.reset();
    peer_name_.clear();
    was_connected_ = false;
    return 0;
  }
  std::string wanted;
  if (!read_local(to, size, wanted)) return -EINVAL;
  local_model* const found = find(wanted);
  if (!found) return failure_to_find(wanted);
  if (found->type != type) return -EPROTOTYPE;
  const auto self = std::static_pointer_cast<local_model>(shared_from_this());
  if (type == SOCK_DGRAM) {
    peer_ = std::static_pointer_cast<local_model>(found->shared_from_this());
    peer_name_ = wanted;
    was_connected_ = true;
    return 0;
  }
  if (was_connected_) return -EISCONN;
  if (!found->listens_) return -ECONNREFUSED;
  if (found->accepted_.size() > found->backlog_) return -EAGAIN;
  const auto other = std::make_shared<local_model>(host, type);
  other->local_name_ = wanted;
  other->peer_name_ = local_name_;
  peer_name_ = wanted;
  join(self, other);
  found->accepted_.push_back(other);
  found->notify(io_watch::readable);
  return 0;
}

int local_model::shutdown(int how) {
  const std::shared_ptr<local_model> peer = peer_.lock();
  if (!was_connected_) return -ENOTCONN;
  if (how != SHUT_RD) {
    send_ended_ = true;
    if (peer && type != SOCK_DGRAM) {
      peer->in_ended_ = true;
      peer->notify(peer->send_ended_ ? everything : unsigned{io_watch::readable});
    }
  }
  if (how != SHUT_WR) in_ended_ = true;
  return 0;
}

void local_model::close() {
  watch = nullptr;
  closed_ = true;
  if (is_bound) host.local_names.erase(local_name_);
  is_bound = false;
  for (const std::shared_ptr<local_model>& waiting : std::exchange(accepted_, {})) waiting->close();
  const std::shared_ptr<local_model> peer = peer_.lock();
  if (peer && type != SOCK_DGRAM) {
    // What was not read is lost: the peer hears of it.
    if (!queue_.empty()) peer->error = ECONNRESET;
    peer->in_ended_ = peer->send_ended_ = true;
    peer->notify(everything);
  }
  drop_queue();
}

void local_model::drop_queue() {
  queue_.clear();
  queued_bytes_ = 0;
}

void local_model::write_local(const std::string& of, void* into, socklen_t* size) const noexcept {
  if (!size) return;
  sockaddr_un at = {};
  at.sun_family = AF_UNIX;
  std::memcpy(at.sun_path, of.data(), std::min(of.size(), sizeof at.sun_path));
  socklen_t whole = offsetof(sockaddr_un, sun_path) + static_cast<socklen_t>(of.size());
  if (!of.empty() && of[0] != '\0') ++whole;
  whole = std::min<socklen_t>(whole, sizeof at);
  if (into) std::memcpy(into, &at, std::min(*size, whole));
  *size = whole;
}

int local_model::getsockname(sockaddr* at, socklen_t* size) {
  write_local(local_name_, at, size);
  return 0;
}

int local_model::getpeername(sockaddr* at, socklen_t* size) {
  if (!was_connected_) return -ENOTCONN;
  write_local(peer_name_, at, size);
  return 0;
}

std::size_t local_model::room() const noexcept {
  return queued_bytes_ < receive_room() ? receive_room() - queued_bytes_ : 0;
}

ssize_t local_model::receive(msghdr& into, int flags) {
  into.msg_controllen = 0;
  into.msg_flags = 0;
  if (queue_.empty()) {
    if (error) return -std::exchange(error, 0);
    if (type == SOCK_DGRAM) return -EAGAIN;
    if (!was_connected_) return -ENOTCONN;
    return in_ended_ ? 0 : -EAGAIN;
  }
  ssize_t result = 0;
  if ((flags & MSG_PEEK) != 0 && !has_messages()) {
    std::string all;
    for (const message& m : queue_) {
      all += m.data;
      if (all.size() >= read_ + size_of(into)) break;
    }
    return static_cast<ssize_t>(put(all.data() + read_, all.size() - read_, into));
  }
  if (has_messages()) {
    const message first = std::move(queue_.front());
    queue_.pop_front();
    queued_bytes_ -= first.data.size();
    const std::size_t n = put(first.data.data(), first.data.size(), into);
    if (into.msg_name) write_local(first.from, into.msg_name, &into.msg_namelen);
    into.msg_flags = MSG_EOR | (n < first.data.size() ? MSG_TRUNC : 0);
    result = static_cast<ssize_t>((flags & MSG_TRUNC) ? first.data.size() : n);
  } else {
    message& first = queue_.front();
    const std::size_t n = put(first.data.data() + read_, first.data.size() - read_, into);
    read_ += n;
    queued_bytes_ -= n;
    result = static_cast<ssize_t>(n);
    if (read_ == first.data.size()) {
      queue_.pop_front();
      read_ = 0;
    }
  }
  if (type == SOCK_DGRAM) {
    for (const std::weak_ptr<model_socket>& waiting : std::exchange(host.blocked_senders, {}))
      if (const auto sender = waiting.lock()) sender->notify(io_watch::writable);
  } else if (const std::shared_ptr<local_model> peer = peer_.lock()) {
    if (3 * room() >= receive_room()) peer->notify(io_watch::writable);
  }
  return result;
}

ssize_t local_model::send(const msghdr& from) {
  if (error) return -std::exchange(error, 0);
  if (send_ended_) return -EPIPE;
  const std::size_t size = size_of(from);
  std::shared_ptr<local_model> to = peer_.lock();
  if (from.msg_name) {
    std::string wanted;
    const auto* const given = static_cast<const sockaddr*>(from.msg_name);
    if (!read_local(given, from.msg_namelen, wanted)) return -EINVAL;
    local_model* const found = find(wanted);
    if (!found) return failure_to_find(wanted);
    if (found->type != type) return -EPROTOTYPE;
    to = std::static_pointer_cast<local_model>(found->shared_from_this());
  }
  if (type == SOCK_DGRAM) {
    if (!to) return was_connected_ ? -ECONNREFUSED : -ENOTCONN;
    if (to->closed_) return -ECONNREFUSED;
    if (size > send_room()) return -EMSGSIZE;
    if (to->queue_.size() > max_datagrams) {
      host.blocked_senders.push_back(weak_from_this());
      return -EAGAIN;
    }
  } else {
    if (!was_connected_) return -ENOTCONN;
    if (!to || to->closed_) return -EPIPE;
    if (type == SOCK_SEQPACKET && size > send_room()) return -EMSGSIZE;
    if (to->room() == 0 || (type == SOCK_SEQPACKET && size > to->room() && to->queued_bytes_ != 0))
      return -EAGAIN;
  }
  const std::size_t n = type == SOCK_STREAM ? std::min(size, to->room()) : size;
  if (n == 0 && type == SOCK_STREAM) return 0;
  message m{local_name_, {}};
  take(from, n, m.data);
  to->queued_bytes_ += n;
  to->queue_.push_back(std::move(m));
  to->notify(io_watch::readable);
  return static_cast<ssize_t>(n);
}

short local_model::state() const noexcept {
  if (listens_) return accepted_.empty() ? 0 : POLLIN;
  int now = 0;
  if (!queue_.empty() || (type != SOCK_DGRAM && in_ended_)) now |= POLLIN;
  if (type == SOCK_DGRAM) {
    now |= POLLOUT;
  } else if (!was_connected_) {
    now |= POLLOUT | POLLHUP;
  } else {
    const std::shared_ptr<local_model> peer = peer_.lock();
    if (!peer || peer->closed_ || 3 * peer->room() >= peer->receive_room()) now |= POLLOUT;
    if (in_ended_) now |= POLLRDHUP;
    if (in_ended_ && send_ended_) now |= POLLHUP;
  }
  if (error) now |= POLLERR | POLLIN;
  return static_cast<short>(now);
}

}  // namespace cosock::testing::detail
