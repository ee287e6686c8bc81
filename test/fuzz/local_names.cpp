// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// Names of local sockets: parsed, shown, and as the system has them.

#include "input.hpp"

#include <cosock/local_endpoint.hpp>

#include "net/local_binding.hpp"

#include <algorithm>
#include <cstring>

using cosock::local_endpoint;

namespace {

void check(const local_endpoint& made, std::string_view name) {
  REQUIRE(made.name() == name);
  REQUIRE(name.size() <= local_endpoint::max_size);
  REQUIRE(cosock::detail::local_address(made).to_endpoint() == made);
  const std::string shown = made.to_string();
  REQUIRE(std::none_of(shown.begin(), shown.end(),
                       [](char c) { return static_cast<unsigned char>(c) < ' ' || c == '\x7f'; }));
}

/// The endpoint of a text that is taken or refused by its length, and by a NUL in it.
template <class Make>
void check_made(Make make, std::string_view text, bool good, std::string_view name) {
  local_endpoint made;
  const auto error = fuzz::error_of([&] { made = make(text); });
  REQUIRE(good == !error);
  if (good) return check(made, name);
  REQUIRE(error == boost::system::errc::filename_too_long ||
          error == boost::system::errc::invalid_argument);
}

}  // namespace

void fuzz_one(fuzz::input in) {
  const std::size_t kind = in.below(4);
  const std::string_view text = in.rest();
  const auto fits = [](std::string_view name) {
    return !name.empty() && name.size() <= local_endpoint::max_size;
  };
  const bool good_path = fits(text) && text.find('\0') == text.npos;
  if (kind == 0) return check_made(local_endpoint::path, text, good_path, text);
  if (kind == 1) return check_made(local_endpoint::abstract, text, fits(text), text);
  if (kind == 2) {
    if (!text.starts_with('@')) return check_made(local_endpoint::parse, text, good_path, text);
    const std::string_view name = text.substr(1);
    return check_made(local_endpoint::parse, text, fits(name), name);
  }
  // As a system call might return it.
  cosock::detail::local_address raw;
  std::memcpy(&raw.storage, text.data(), std::min(text.size(), sizeof raw.storage));
  raw.storage.sun_family = AF_UNIX;
  raw.size = static_cast<socklen_t>(
      std::clamp(text.size(), sizeof raw.storage.sun_family, sizeof raw.storage));
  const local_endpoint got = raw.to_endpoint();
  static_cast<void>(got.to_string());
}
