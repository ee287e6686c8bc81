// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// The precompiled header of the tests: headers of Boost and of the standard library that most of them
// include, except the one that defines main() for a test module. The tests include them too, so that
// each compiles without this one (b_pch=false).

#include <boost/system/error_code.hpp>
#include <boost/system/system_error.hpp>
#include <boost/test/test_tools.hpp>
#include <boost/test/tree/auto_registration.hpp>

#include <algorithm>
#include <chrono>
#include <coroutine>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>
