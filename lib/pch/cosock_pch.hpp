// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// Compiled once for the whole library: headers of others that most of its files include. They include
// them themselves too, so that each compiles without this (b_pch=false).

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
