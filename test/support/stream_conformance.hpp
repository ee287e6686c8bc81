// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// What every byte_stream promises, as Boost.Test cases: the checks of <cosock/testing/check_stream.hpp>. A
// kind of stream is held to them by one line (see test/io/stream.cpp).

#include <cosock/testing/check_stream.hpp>

#include "stream_fixture.hpp"

namespace test {

using cosock::testing::stream_pair;
using cosock::testing::stream_traits;

/// Registers a suite of this name with a test case for every check that applies.
struct register_suite {
  register_suite(const char* name, cosock::testing::stream_maker make, stream_traits traits = {}) {
    auto* suite = BOOST_TEST_SUITE(name);
    for (const cosock::testing::stream_check& check : cosock::testing::stream_checks()) {
      if (!check.applies(traits)) continue;
      const auto run = [check, make, traits] {
        const alarm_clock guard;
        const std::string failure = check.run(make, traits);
        BOOST_TEST(failure.empty(), failure);
      };
      suite->add(
          boost::unit_test::make_test_case(run, std::string(check.name()), __FILE__, __LINE__));
    }
    boost::unit_test::framework::current_auto_test_suite().add(suite);
  }
};

}  // namespace test
