// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// Children that wait or fail.

#include <cosock/task.hpp>

#include "manual_event.hpp"

#include <exception>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace test {

using boost::system::system_error;
using cosock::task;
using strings = std::vector<std::string>;

inline task<> wait_for_ever() {
  const instance_counter local;
  co_await forever();
}
inline task<> note(strings& in, std::string what) {
  in.push_back(std::move(what));
  co_return;
}
inline task<> fail_after_yields(int yields, std::exception_ptr with) {
  const instance_counter local;
  for (int i = 0; i != yields; ++i) co_await cosock::yield();
  std::rethrow_exception(with);
}
/// Fails with an error of its own when it is cancelled.
inline task<> fail_when_cancelled(std::exception_ptr with) {
  const instance_counter local;
  try {
    co_await forever();
  } catch (const system_error&) {
  }
  std::rethrow_exception(with);
}
inline std::exception_ptr text(const std::string& what) {
  return std::make_exception_ptr(std::runtime_error(what));
}

}  // namespace test
