// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// The sockets that the process was started with, by the protocol of sd_listen_fds(3). It owns them
// until they are taken, and touches no loop.

#include <cosock/inherited.hpp>

#include "core/failure.hpp"
#include "core/scheduler.hpp"
#include "core/text.hpp"
#include "loop/system.hpp"
#include "service/environment.hpp"

#include <fcntl.h>
#include <sys/socket.h>

#include <algorithm>
#include <climits>
#include <cstdlib>
#include <stdexcept>

namespace cosock {

using detail::in_quotes;
using detail::inherited_kind;
using detail::system_failure;

namespace {

constexpr int first_inherited = 3;

struct expectation {
  const char* text;
  int type;
  bool internet;
  bool listens;
};
// By inherited_kind.
constexpr expectation expectations[] = {
    {"a TCP socket that listens", SOCK_STREAM, true, true},
    {"a local stream socket that listens", SOCK_STREAM, false, true},
    {"a local socket of sequenced packets that listens", SOCK_SEQPACKET, false, true},
    {"a connected TCP socket", SOCK_STREAM, true, false},
    {"a connected local stream socket", SOCK_STREAM, false, false},
    {"a connected local socket of sequenced packets", SOCK_SEQPACKET, false, false},
    {"a UDP socket", SOCK_DGRAM, true, false},
    {"a local datagram socket", SOCK_DGRAM, false, false},
};

int option(int fd, int name) noexcept {
  int value = 0;
  socklen_t size = sizeof value;
  return detail::system::getsockopt(fd, SOL_SOCKET, name, &value, &size) == 0 ? value : -1;
}

bool matches(int fd, const expectation& wanted) noexcept {
  const int domain = option(fd, SO_DOMAIN);
  const bool right_domain =
      wanted.internet ? domain == AF_INET || domain == AF_INET6 : domain == AF_UNIX;
  return right_domain && option(fd, SO_TYPE) == wanted.type &&
         (option(fd, SO_ACCEPTCONN) == 1) == wanted.listens;
}

const char* kind_text(int fd) noexcept {
  for (const expectation& each : expectations)
    if (matches(fd, each)) return each.text;
  return "a socket of another kind";
}

[[noreturn]] void refuse(int error, const std::string& text) {
  detail::raise(system_failure(error), text);
}

std::vector<std::string> read_names(std::size_t count) {
  const char* const text = std::getenv("LISTEN_FDNAMES");
  if (!text) return std::vector<std::string>(count, "unknown");
  std::vector<std::string> names(1);
  for (const char c : std::string_view(text)) {
    if (c == ':')
      names.emplace_back();
    else
      names.back() += c;
  }
  if (names.size() != count)
    refuse(EINVAL, "LISTEN_FDNAMES is " + in_quotes(text) + ", and LISTEN_FDS is " +
                       std::to_string(count) +
                       "; accepted: a name for each socket, separated by colons");
  return names;
}

}  // namespace

inherited_sockets::inherited_sockets() {
  const char* const number = std::getenv("LISTEN_FDS");
  if (!number) return;
  const auto count = detail::parse_unsigned(number);
  if (!count || *count == 0 || *count > static_cast<std::uint64_t>(INT_MAX - first_inherited))
    refuse(EINVAL, "LISTEN_FDS is " + in_quotes(number) +
                       "; accepted: the number of sockets, 1 or more, or not set");
  const std::string own = std::to_string(::getpid());
  const char* const pid = std::getenv("LISTEN_PID");
  if (!pid || detail::parse_unsigned(pid) != static_cast<std::uint64_t>(::getpid()))
    refuse(EINVAL, "LISTEN_PID is " + (pid ? in_quotes(pid) : "not set") +
                       ", so LISTEN_FDS is for another process; accepted: the process " + own +
                       ", or no LISTEN_FDS");

  // All are checked before the first one is owned.
  const int end = first_inherited + static_cast<int>(*count);
  for (int fd = first_inherited; fd != end; ++fd)
    if (option(fd, SO_TYPE) < 0)
      refuse(errno, "LISTEN_FDS is " + in_quotes(number) + ", but descriptor " +
                        std::to_string(fd) +
                        " is no socket; accepted: sockets from descriptor 3 on");
  std::vector<std::string> names = read_names(*count);
  sockets_.reserve(*count);
  for (int fd = first_inherited; fd != end; ++fd) {
    ::fcntl(fd, F_SETFD, FD_CLOEXEC);
    sockets_.push_back({std::move(names[static_cast<std::size_t>(fd - first_inherited)]),
                        unique_descriptor::adopt(fd)});
  }
  for (const char* const variable : detail::listen_variables) ::unsetenv(variable);
}

inherited_sockets::~inherited_sockets() = default;

const std::string& inherited_sockets::name(std::size_t position) const {
  return sockets_.at(position).name;
}

bool inherited_sockets::contains(std::string_view name) const noexcept {
  return std::any_of(sockets_.begin(), sockets_.end(), [&](const detail::inherited_socket& each) {
    return each.socket.is_open() && each.name == name;
  });
}

std::size_t inherited_sockets::find(std::string_view name) const {
  std::string names;
  bool taken = false;
  for (std::size_t i = 0; i != sockets_.size(); ++i) {
    if (sockets_[i].name == name) {
      if (sockets_[i].socket.is_open()) return i;
      taken = true;
    }
    names += (i == 0 ? "" : ", ") + in_quotes(sockets_[i].name);
  }
  if (taken)
    throw std::logic_error("cosock: the inherited socket " + in_quotes(name) + " was taken before");
  refuse(EINVAL, "no inherited socket has the name " + in_quotes(name) +
                     "; accepted: " + (names.empty() ? "none, no socket was inherited" : names));
}

void inherited_sockets::check_kind(std::size_t position, inherited_kind kind) const {
  if (position >= sockets_.size())
    refuse(EINVAL, "inherited socket " + std::to_string(position) + "; accepted: " +
                       (sockets_.empty() ? std::string("none, no socket was inherited")
                                         : "0 to " + std::to_string(sockets_.size() - 1)));
  const detail::inherited_socket& one = sockets_[position];
  if (!one.socket.is_open())
    throw std::logic_error("cosock: the inherited socket " + std::to_string(position) + ", " +
                           in_quotes(one.name) + ", was taken before");
  const expectation& wanted = expectations[static_cast<std::size_t>(kind)];
  if (!matches(one.socket.get(), wanted))
    refuse(EPROTOTYPE, "the inherited socket " + in_quotes(one.name) + ", descriptor " +
                           std::to_string(one.socket.get()) + ", is " +
                           kind_text(one.socket.get()) + "; accepted: " + wanted.text);
}

int inherited_sockets::release(std::size_t position, inherited_kind kind, bool needs_loop) {
  check_kind(position, kind);
  if (needs_loop) detail::scheduler::required();
  return sockets_[position].socket.release();
}

std::vector<unique_descriptor> inherited_sockets::release_all(std::string_view name,
                                                              inherited_kind kind) {
  check_kind(find(name), kind);  // refuses a name that is not there
  std::vector<unique_descriptor> found;
  found.reserve(sockets_.size());
  for (std::size_t i = 0; i != sockets_.size(); ++i)
    if (sockets_[i].name == name && sockets_[i].socket.is_open()) check_kind(i, kind);
  for (detail::inherited_socket& each : sockets_)
    if (each.name == name && each.socket.is_open()) found.push_back(std::move(each.socket));
  return found;
}

}  // namespace cosock
