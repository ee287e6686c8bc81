// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// How for_each_failure() chooses what fails: an operation of a faulty stream, or an allocation.

#include <cosock/detail/config.hpp>

#include <boost/system/error_code.hpp>

#include <cstddef>

namespace cosock::testing {

class faulty;
template <class Endpoint>
class faulty_datagram_socket;

namespace detail {

/// Is asked before each operation of the faulty streams and sockets that it is attached to, which it must
/// outlive.
class COSOCK_API fault_hook {
 public:
  enum class subject { stream, datagram };
  enum class answer { pass, error, end, loss };
  /// Never `end` for a datagram, never `loss` for a stream.
  virtual answer before_operation(subject of, boost::system::error_code& error) noexcept = 0;
  /// From now on each operation waits for a turn of the loop, and asks this. So does each datagram of a
  /// batch that is sent, but only the first waits.
  void attach(faulty& stream) noexcept;
  template <class Endpoint>
  void attach(faulty_datagram_socket<Endpoint>& socket) noexcept;

 protected:
  ~fault_hook() = default;
};

/// Says that operator new asks allocation_fails(). Called by <cosock/testing/allocation_failures.hpp>.
COSOCK_API bool count_allocations() noexcept;
/// Whether the allocation that asks must fail.
COSOCK_API bool allocation_fails() noexcept;

}  // namespace detail
}  // namespace cosock::testing
