// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// Runs the body of a check on a loop of its own, within a limit, and returns its failures as a text.
// Called by check_stream, check_datagram and check_acceptor.

#include <cosock/duration.hpp>
#include <cosock/task.hpp>

#include <string>

namespace cosock::testing::detail {

/// Awaits the body. `closes_at_once`: the descriptors that it opened are closed when it returns.
std::string run_check(task<> (*body)(const void* argument), const void* argument, time_span limit,
                      bool closes_at_once);

}  // namespace cosock::testing::detail
