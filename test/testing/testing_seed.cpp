// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#define BOOST_TEST_MODULE testing_seed
#include <cosock/testing/seed.hpp>

#include <boost/test/unit_test.hpp>

#include <cstdlib>
#include <stdexcept>
#include <string>

namespace {

std::uint64_t seed_of(const char* text) {
  ::setenv("COSOCK_SEED", text, 1);
  return cosock::testing::seed_from_environment(7);
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_seed_is_the_decimal_number_in_the_environment) {
  BOOST_TEST(seed_of("0") == 0u);
  BOOST_TEST(seed_of("42") == 42u);
  BOOST_TEST(seed_of("18446744073709551615") == UINT64_MAX);
}

BOOST_AUTO_TEST_CASE(without_the_variable_it_is_the_other_seed) {
  BOOST_TEST(seed_of("") == 7u);
  ::unsetenv("COSOCK_SEED");
  BOOST_TEST(cosock::testing::seed_from_environment(7) == 7u);
}

BOOST_AUTO_TEST_CASE(what_is_no_number_is_refused_with_the_text_and_what_is_accepted) {
  for (const char* text : {"-1", "0x10", "seven", "1 ", " 1", "18446744073709551616", "1.5"}) {
    try {
      seed_of(text);
      BOOST_ERROR(std::string("accepted: ") + text);
    } catch (const std::invalid_argument& e) {
      BOOST_TEST(e.what() == std::string("COSOCK_SEED is \"") + text +
                                 "\", not a decimal number from 0 to 18446744073709551615");
    }
  }
}
