// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// How for_each_failure() chooses what fails: an operation of a faulty stream, or an allocation.

#include <cosock/detail/config.hpp>

#include <boost/system/error_code.hpp>

#include <cstddef>

namespace cosock::testing {

class faulty;

namespace detail {

/// Is asked before each operation of the faulty streams that it is attached to, which it must outlive.
class COSOCK_API fault_hook {
 public:
  enum class answer { pass, error, end };
  virtual answer before_operation(boost::system::error_code& error) noexcept = 0;
  /// From now on each operation of the stream waits for a turn of the loop, and asks this.
  void attach(faulty& stream) noexcept;

 protected:
  ~fault_hook() = default;
};

/// Says that operator new asks allocation_fails(). Called by <cosock/testing/allocation_failures.hpp>.
COSOCK_API bool count_allocations() noexcept;
/// Whether the allocation that asks must fail.
COSOCK_API bool allocation_fails() noexcept;

}  // namespace detail
}  // namespace cosock::testing
