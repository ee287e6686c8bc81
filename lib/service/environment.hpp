// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// Variables of the environment by which a service manager, and hand_over(), talk to a process. For
// inherited.cpp, notify.cpp and hand_over.cpp; it owns nothing.

#include <charconv>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace cosock::detail {

/// The variables of sd_listen_fds(3). LISTEN_PIDFDID is of systemd 258 and later, and not used here.
inline constexpr const char* listen_variables[] = {"LISTEN_FDS", "LISTEN_FDNAMES", "LISTEN_PID",
                                                   "LISTEN_PIDFDID"};

/// The socket of the service manager, in the environment of a new process of hand_over(): its
/// NOTIFY_SOCKET is that of the old process until it is ready. Empty if there is no manager.
inline constexpr const char* manager_variable = "COSOCK_MANAGER_SOCKET";

/// A decimal number, and nothing else.
inline std::optional<std::uint64_t> parse_unsigned(std::string_view text) noexcept {
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

/// The socket of the service manager itself; empty if there is none. It is not checked.
std::string manager_socket();

/// Sends a notification to this socket, by default to the one that is to be told now. `waits`: up to a
/// second while the queue of the socket is full. Returns whether there is such a socket, and room in its
/// queue. Throws system_error.
bool send_notification(std::string_view text, bool waits);
bool send_notification(std::string_view socket, std::string_view text, bool waits);

}  // namespace cosock::detail
