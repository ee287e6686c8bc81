// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// The precompiled header of the library: headers of Boost and of the standard library that most of
// its files include. The files include them too, so that each compiles without this one
// (b_pch=false).

#include <boost/system/error_code.hpp>
#include <boost/system/system_error.hpp>

#include <algorithm>
#include <chrono>
#include <coroutine>
#include <exception>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>
