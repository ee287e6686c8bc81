// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cosock/duration.hpp>
#include <cosock/task.hpp>

#include <optional>
#include <string_view>

namespace cosock {

// Messages to the service manager, by the protocol of sd_notify(3), without libsystemd: datagrams to the
// socket that NOTIFY_SOCKET names, with an absolute path, or with `@` and an abstract name. In a new
// process of hand_over() the messages up to the first notify_ready() go to the old process, which then
// informs the manager.
//
// Each of these functions sends one message. Returns true; or false, without an effect, if NOTIFY_SOCKET
// is not set. May be called on any thread, also outside of a loop. Blocks the thread for up to a second
// while the queue of the manager is full. Throws system_error: invalid_argument if NOTIFY_SOCKET has
// another form (`vsock:` addresses are refused) or the text is malformed; no_buffer_space after the second;
// connection_refused, message_size and others of sendmsg(2). No cancellation points.

/// Reports that the service is ready to serve: its sockets listen (READY=1). Also ends a reload.
/// `status`: a line of text for `systemctl status`; empty: the line is not changed.
COSOCK_API bool notify_ready(std::string_view status = {});
/// Reports that the service has begun to read its configuration again, or to hand over (RELOADING=1, with
/// MONOTONIC_USEC, for Type=notify-reload). notify_ready() or hand_over() has to follow. `status`: as above.
COSOCK_API bool notify_reloading(std::string_view status = {});
/// Reports that the service has begun to stop (STOPPING=1). `status`: as above.
COSOCK_API bool notify_stopping(std::string_view status = {});
/// Sets the line of text (STATUS=).
COSOCK_API bool notify_status(std::string_view status);
/// Requests more time, counted from now, to start, to reload or to stop (EXTEND_TIMEOUT_USEC=). Rounded
/// up to microseconds. Errors: invalid_argument for zero or less.
COSOCK_API bool notify_extend_timeout(time_span more);
/// Sends assignments as they are: `NAME=VALUE`, separated by newlines. Errors: invalid_argument if the
/// text is empty.
COSOCK_API bool notify(std::string_view assignments);

/// Returns the time within which the manager expects a sign of life: WatchdogSec= of the unit
/// (sd_watchdog_enabled(3): WATCHDOG_USEC, WATCHDOG_PID). std::nullopt if there is no watchdog, or if
/// it watches another process. Throws system_error, invalid_argument, for a malformed variable.
[[nodiscard]] COSOCK_API std::optional<time_span> watchdog_period();

/// Sends a sign of life (WATCHDOG=1) at once, and then every half of watchdog_period(), so that the
/// manager ends the process if this loop is blocked. It cannot detect that another loop is blocked. Start
/// it in the nursery of the server. Runs until it is cancelled; returns at once if there is no watchdog.
/// Skips a sign while the queue of the manager is full. Errors: those of watchdog_period() and notify().
COSOCK_API task<> keep_watchdog();

}  // namespace cosock
