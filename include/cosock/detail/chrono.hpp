// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// Durations and clocks, for the headers that have them in their interface. <chrono> has calendars and time zones
// too, which open <sstream> and take more time to compile than the rest of such a header. GCC's library keeps
// the durations and clocks in a header of its own, which <mutex> and <condition_variable> include too.

#include <cstdint>

#if defined(_GLIBCXX_RELEASE) && __has_include(<bits/chrono.h>)
#include <bits/chrono.h>
#else
#include <chrono>
#endif
