// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// What tests of streams have in common with the conformance checks: see lib/testing/stream_tools.hpp.

#include "support.hpp"
#include "testing/stream_tools.hpp"

namespace test {

using boost::system::error_code;
using cosock::byte_stream;
using cosock::const_buffer;
using cosock::mutable_buffer;
using cosock::nursery;
using cosock::task;
using namespace cosock::testing::detail;
using cosock::testing::detail::let_others_run;  // beside the function of a loop
namespace errc = boost::system::errc;

}  // namespace test
