// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// Both types of socket that descriptors pass through.

#include <cosock/descriptors.hpp>
#include <cosock/local.hpp>

#include "local_operations.hpp"

namespace test {

using cosock::local_pair;
using cosock::local_seqpacket_socket;

/// For each type of socket, the body with a connected pair of it.
template <class Body>
task<> with_each_type(Body body) {
  {
    auto [a, b] = local_pair();
    co_await body(a, b);
  }
  auto [a, b] = local_pair<local_seqpacket_socket>();
  co_await body(a, b);
}

}  // namespace test
