// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cosock/duration.hpp>

#include <optional>

namespace cosock {

/// Keep-alive probes of an idle connection (tcp(7)), for tcp_socket::set_keep_alive(). A member that is
/// not set leaves the current value. Times are rounded up to seconds. Values outside of the ranges
/// below fail with invalid_argument.
struct keep_alive_options {
  bool enabled = true;                           ///< send probes
  std::optional<time_span> idle = std::nullopt;  ///< silence before the first probe; 1 to 32767 s
  std::optional<time_span> interval = std::nullopt;  ///< between probes; 1 to 32767 s
  std::optional<int> count =
      std::nullopt;  ///< unanswered probes until the connection fails; 1 to 127
};

}  // namespace cosock
