// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// Datagrams to the service manager, by the protocol of sd_notify(3). Each opens a socket for itself, so
// nothing is kept between them but the fact that the old process of a hand-over was told.

#include <cosock/notify.hpp>

#include "core/failure.hpp"
#include "core/standard_numbers.hpp"
#include "core/text.hpp"
#include "net/local_binding.hpp"
#include "service/environment.hpp"

#include <cosock/time.hpp>
#include <cosock/unique_descriptor.hpp>

#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <ctime>

namespace cosock {

using detail::in_quotes;
using detail::system_failure;

namespace {

/// Whether this process has told the old one of a hand-over that it is ready. From then on the socket of
/// the old process may be gone.
std::atomic<bool> announced = false;

std::string variable(const char* name) {
  const char* const value = std::getenv(name);
  return value ? value : "";
}

[[noreturn]] void refuse(const std::string& text) { detail::raise(system_failure(EINVAL), text); }

/// `message`, and the status as a second assignment.
std::string with_status(std::string message, std::string_view status) {
  if (status.empty()) return message;
  if (status.find('\n') != status.npos || status.find('\0') != status.npos)
    refuse("the status " + in_quotes(status) + "; accepted: one line");
  return message.append("\nSTATUS=").append(status);
}

local_endpoint endpoint_of(std::string_view name) {
  if (name.size() < 2 || (name[0] != '/' && name[0] != '@'))
    refuse("NOTIFY_SOCKET is " + in_quotes(name) +
           "; accepted: an absolute path, or @ and an abstract name");
  return name[0] == '/' ? local_endpoint::path(name) : local_endpoint::abstract(name.substr(1));
}

}  // namespace

std::string detail::manager_socket() {
  return variable(std::getenv(manager_variable) ? manager_variable : "NOTIFY_SOCKET");
}

bool detail::send_notification(std::string_view socket, std::string_view text, bool waits) {
  if (socket.empty()) return false;
  const local_endpoint peer = endpoint_of(socket);
  local_address name(peer);
  const auto from =
      unique_descriptor::adopt(above_standard(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)));
  if (!from.is_open()) raise(system_failure(errno), "NOTIFY_SOCKET " + peer.to_string());
  const timeval limit = {1, 0};
  ::setsockopt(from.get(), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
  const int flags = MSG_NOSIGNAL | (waits ? 0 : MSG_DONTWAIT);
  while (::sendto(from.get(), text.data(), text.size(), flags, name.get(), name.size) < 0) {
    if (errno == EINTR) continue;
    if (errno == EAGAIN && !waits) return false;
    raise(system_failure(errno == EAGAIN ? ENOBUFS : errno), "NOTIFY_SOCKET " + peer.to_string());
  }
  return true;
}

bool detail::send_notification(std::string_view text, bool waits) {
  const bool to_old = std::getenv(manager_variable) && !announced;
  return send_notification(to_old ? variable("NOTIFY_SOCKET") : manager_socket(), text, waits);
}

bool notify_ready(std::string_view status) {
  const bool told = detail::send_notification(with_status("READY=1", status), true);
  announced = true;
  return told;
}

bool notify_reloading(std::string_view status) {
  timespec now;
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  const std::int64_t us = std::int64_t{now.tv_sec} * 1'000'000 + now.tv_nsec / 1000;
  return detail::send_notification(
      with_status("RELOADING=1\nMONOTONIC_USEC=" + std::to_string(us), status), true);
}

bool notify_stopping(std::string_view status) {
  return detail::send_notification(with_status("STOPPING=1", status), true);
}

bool notify_status(std::string_view status) {
  return detail::send_notification(status.empty() ? "STATUS=" : with_status({}, status).substr(1),
                                   true);
}

bool notify_extend_timeout(time_span more) {
  if (more.count() <= 0) refuse("a time limit is extended by more than zero");
  const auto us = std::chrono::ceil<std::chrono::microseconds>(std::chrono::nanoseconds(more));
  return detail::send_notification("EXTEND_TIMEOUT_USEC=" + std::to_string(us.count()), true);
}

bool notify(std::string_view assignments) {
  if (assignments.empty()) refuse("an empty notification; accepted: NAME=VALUE, one a line");
  return detail::send_notification(assignments, true);
}

std::optional<time_span> watchdog_period() {
  const std::string usec = variable("WATCHDOG_USEC");
  if (usec.empty()) return std::nullopt;
  const auto us = detail::parse_unsigned(usec);
  if (!us || *us == 0)
    refuse("WATCHDOG_USEC is " + in_quotes(usec) + "; accepted: microseconds, 1 or more");
  if (const std::string pid = variable("WATCHDOG_PID"); !pid.empty()) {
    const auto watched = detail::parse_unsigned(pid);
    if (!watched) refuse("WATCHDOG_PID is " + in_quotes(pid) + "; accepted: the id of a process");
    if (*watched != static_cast<std::uint64_t>(::getpid())) return std::nullopt;
  }
  constexpr std::uint64_t most = INT64_MAX / 1000;
  return std::chrono::microseconds(static_cast<std::int64_t>(std::min(*us, most)));
}

task<> keep_watchdog() {
  const std::optional<time_span> period = watchdog_period();
  if (!period) co_return;
  for (;;) {
    if (!detail::send_notification("WATCHDOG=1", false) && detail::manager_socket().empty())
      co_return;
    co_await sleep_for(*period / 2);
  }
}

}  // namespace cosock
