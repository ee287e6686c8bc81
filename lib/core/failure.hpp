// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// Makes failures, and throws them as exceptions: for sources of the library, which report an error
// as a `failure` until it reaches a coroutine. The code is in error.cpp, beside the category of
// cosock::error.

#include <cosock/detail/core.hpp>
#include <cosock/error.hpp>

#include <cerrno>
#include <string>
#include <utility>

namespace cosock::detail {

failure to_failure(const boost::system::error_code&) noexcept;
failure own_failure(error) noexcept;
failure system_failure(int error_number) noexcept;
inline failure closed_failure() noexcept { return own_failure(error::closed); }

/// Throws an exception with the text `about: text of the failure`.
[[noreturn]] void raise(const failure&, const std::string& about);
/// Throws an exception with the code of the failure and this text.
[[noreturn]] void raise_as(const failure&, const std::string& text);

}  // namespace cosock::detail
