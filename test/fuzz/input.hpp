// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// What the fuzz targets have in common: the input as numbers and text, and a loop for all runs.

#include <cosock/error.hpp>
#include <cosock/loop.hpp>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

/// Ends the run with a finding.
#define REQUIRE(condition)                                                           \
  do {                                                                               \
    if (!(condition)) {                                                              \
      std::fprintf(stderr, "%s:%d: not true: %s\n", __FILE__, __LINE__, #condition); \
      std::abort();                                                                  \
    }                                                                                \
  } while (false)

namespace fuzz {

/// Takes what a run does from the bytes of its input; zeros after their end.
class input {
 public:
  input(const std::uint8_t* data, std::size_t size) noexcept
      : left_(reinterpret_cast<const char*>(data), size) {}

  bool empty() const noexcept { return left_.empty(); }
  std::uint8_t byte() noexcept {
    if (left_.empty()) return 0;
    const auto first = static_cast<std::uint8_t>(left_.front());
    left_.remove_prefix(1);
    return first;
  }
  bool flag() noexcept { return byte() & 1; }
  std::uint64_t number() noexcept {
    std::uint64_t all = 0;
    for (int i = 0; i != 8; ++i) all = all << 8 | byte();
    return all;
  }
  /// A number below `limit`, of one byte.
  std::size_t below(std::size_t limit) noexcept { return byte() % limit; }
  std::string_view text(std::size_t size) noexcept {
    const std::string_view some = left_.substr(0, size);
    left_.remove_prefix(some.size());
    return some;
  }
  input part(std::size_t size) noexcept { return input(text(size)); }
  std::string_view rest() noexcept { return text(left_.size()); }

 private:
  explicit input(std::string_view all) noexcept : left_(all) {}
  std::string_view left_;
};

/// Runs a task to its end on a loop that all runs share.
inline void run(cosock::task<> body) {
  static cosock::loop loop;
  loop.run(std::move(body));
}

/// The error with which `f` ended; none if it returned.
template <class F>
boost::system::error_code error_of(F f) {
  try {
    f();
    return {};
  } catch (const boost::system::system_error& e) {
    return e.code();
  }
}

}  // namespace fuzz

/// The target: every source of this folder defines it.
void fuzz_one(fuzz::input in);

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz_one({data, size});
  return 0;
}
