// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// What every byte_stream promises, as one list of test cases: the stream tests of Go's nettest, Trio's
// stream checkers, and more on cancellation, time limits and partial transfers. A kind of stream is
// held to it by one line (see test/io/stream.cpp), which registers a Boost.Test case for every check.

#include "stream_conformance_buffers.hpp"
#include "stream_conformance_cancel.hpp"
#include "stream_conformance_close.hpp"
#include "stream_conformance_half_close.hpp"
#include "stream_conformance_time_limits.hpp"
#include "stream_conformance_transfers.hpp"
#include "stream_conformance_waits.hpp"
