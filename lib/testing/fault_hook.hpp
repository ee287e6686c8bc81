// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// How for_each_failure() chooses the operation of a faulty stream that fails.

#include <cosock/testing/faulty.hpp>

namespace cosock::testing::detail {

/// Is asked before each operation of the faulty streams that it is attached to, which it must outlive.
class fault_hook {
 public:
  enum class answer { pass, error, end };
  virtual answer before_operation(boost::system::error_code& error) noexcept = 0;
  /// From now on each operation of the stream waits for a turn of the loop, and asks this.
  void attach(faulty& stream) noexcept;

 protected:
  ~fault_hook() = default;
};

}  // namespace cosock::testing::detail
