// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// A predicate for BOOST_CHECK_EXCEPTION: the code of an error and the parts of its text.

#include "support.hpp"

namespace test {

/// An error with this code, whose text has all these parts.
template <class... Part>
auto says(boost::system::errc::errc_t code, Part... parts) {
  return [=](const boost::system::system_error& e) {
    BOOST_TEST_MESSAGE(e.what());
    return e.code() == code && (contains(e.what(), parts) && ...);
  };
}

}  // namespace test
