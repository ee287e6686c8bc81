// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
//
// Compiled only, never run: the standard headers that echo_cosock and cosock's headers behind it
// name. What compiling the echo program costs above this is the library's.

#include <array>
#include <compare>
#include <concepts>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <functional>
#include <iosfwd>
#include <iterator>
#include <memory>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

int main() {}
