// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// Makes failures, and throws them as exceptions. error.cpp has the code: a failure without a category of
// its own belongs to that of cosock::error.

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

/// Throws with what the failure is about in front of its text.
[[noreturn]] void raise(const failure&, const std::string& about);
/// Throws with this text.
[[noreturn]] void raise_as(const failure&, const std::string& text);

}  // namespace cosock::detail
