// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cosock/duration.hpp>
#include <cosock/task.hpp>

#include <optional>
#include <string_view>

namespace cosock {

// What a service tells its service manager, by the protocol of sd_notify(3), without libsystemd: a
// datagram to the socket that NOTIFY_SOCKET names, an absolute path, or `@` and an abstract name. In a
// new process of hand_over() the first notify_ready() goes to the old process, which tells the manager.
//
// Each function returns whether there was somebody to tell: false, without an effect, if NOTIFY_SOCKET
// is not set. It may be called on any thread, also outside of a loop. It blocks the thread for at most a
// second, while the manager does not read. Throws system_error: invalid_argument if NOTIFY_SOCKET is
// neither of the two (`vsock:` addresses are refused) or the text is malformed; no_buffer_space,
// connection_refused, message_size and others of sendmsg(2). No cancellation points.

/// Tells that the service is ready to serve, after its sockets listen (READY=1). Also ends a reload.
/// `status`: one line for people, for `systemctl status`; empty: none.
COSOCK_API bool notify_ready(std::string_view status = {});
/// Tells that the service has begun to read its configuration again, or to hand over (RELOADING=1, with
/// MONOTONIC_USEC, for Type=notify-reload). notify_ready() has to follow.
COSOCK_API bool notify_reloading(std::string_view status = {});
/// Tells that the service has begun to stop (STOPPING=1).
COSOCK_API bool notify_stopping(std::string_view status = {});
/// Sets the line for people (STATUS=).
COSOCK_API bool notify_status(std::string_view status);
/// Asks for more time, from now on, to start, to reload or to stop (EXTEND_TIMEOUT_USEC=). Rounded up
/// to microseconds. Errors: invalid_argument for zero or less.
COSOCK_API bool notify_extend_timeout(time_span more);
/// Sends assignments as they are: `NAME=VALUE`, separated by newlines. Errors: invalid_argument if the
/// text is empty.
COSOCK_API bool notify(std::string_view assignments);

/// The time within which the manager expects a sign of life, WatchdogSec= of the unit
/// (sd_watchdog_enabled(3): WATCHDOG_USEC, WATCHDOG_PID). std::nullopt if there is no watchdog, or if
/// it watches another process. Throws system_error, invalid_argument, with what is accepted, for a
/// malformed variable.
[[nodiscard]] COSOCK_API std::optional<time_span> watchdog_period();

/// Sends a sign of life (WATCHDOG=1) at once, and then at half of watchdog_period(), from the loop that
/// runs it: if the loop is blocked, or hangs in one task, the manager ends the process. A child of the
/// nursery that serves. Runs until it is cancelled; without a watchdog it returns at once. A sign for
/// which the manager has no room is left out. Errors: those of watchdog_period() and notify(). Of several
/// loops it proves one only.
COSOCK_API task<> keep_watchdog();

}  // namespace cosock
