// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// Descriptors that are known by their numbers, sent with lines, and received by a reader.

#include <cosock/reader.hpp>

#include "descriptor_passing.hpp"

#include <sys/mman.h>

#include <string>
#include <string_view>
#include <vector>

namespace test {

using cosock::buffered_reader;
using cosock::local_socket;
using cosock::unique_descriptor;

using numbers = std::vector<int>;

/// A descriptor that is known by its number.
inline unique_descriptor numbered(int number) {
  auto made = unique_descriptor::adopt(::memfd_create("numbered", MFD_CLOEXEC));
  BOOST_REQUIRE(::ftruncate(made.get(), number) == 0);
  return made;
}
inline numbers numbers_of(const std::vector<unique_descriptor>& all) {
  numbers found;
  for (const unique_descriptor& each : all) {
    struct stat about = {};
    BOOST_REQUIRE(::fstat(each.get(), &about) == 0);
    BOOST_TEST(is_close_on_exec(each.get()));
    found.push_back(static_cast<int>(about.st_size));
  }
  return found;
}

/// The descriptors of these numbers, while they are sent.
struct descriptor_list {
  explicit descriptor_list(const numbers& all) {
    for (const int number : all) {
      owners.push_back(numbered(number));
      fds.push_back(owners.back().get());
    }
  }
  std::vector<unique_descriptor> owners;
  std::vector<int> fds;
};

inline task<> send_list(local_socket& to, std::string_view text, numbers along) {
  const descriptor_list list(along);
  co_await to.send_with_descriptors(text, list.fds);
}
// GCC 12 takes no braces in a coroutine.
template <class... Number>
numbers list(Number... all) {
  return {all...};
}
/// GCC 12 takes no conditional expression of these either.
template <class... Number>
numbers list_if(bool condition, Number... all) {
  return condition ? list(all...) : numbers();
}
template <class... Number>
task<> send(local_socket& to, std::string_view text, Number... along) {
  return send_list(to, text, {along...});
}

inline task<std::string> line_of(buffered_reader& from) {
  const auto line = co_await from.read_line();
  BOOST_REQUIRE(line.has_value());
  co_return std::string(*line);
}

}  // namespace test
