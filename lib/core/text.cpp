// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// Text from outside, such as the name of a host or a file, as messages may show it, and the text of
// a limit. Called where the text of an error is made.

#include "core/text.hpp"

#include <iterator>

namespace cosock::detail {

std::string printable(std::string_view text) {
  static constexpr char digits[] = "0123456789abcdef";
  constexpr std::size_t max_size = 128;
  std::string shown;
  for (const char c : text.substr(0, max_size)) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= ' ' && byte != 0x7f)
      shown += c;
    else
      shown.append("\\x").append({digits[byte >> 4], digits[byte & 15]});
  }
  return text.size() > max_size ? shown + "..." : shown;
}

std::string in_quotes(std::string_view text) { return '"' + printable(text) + '"'; }

namespace {

/// With three decimal places at most, in the largest unit of which it has one or more.
std::string text_of_duration(std::int64_t ns) {
  struct unit {
    std::int64_t ns;
    const char* name;
  };
  constexpr unit units[] = {{1, " ns"}, {1'000, " us"}, {1'000'000, " ms"}, {1'000'000'000, " s"}};
  if (ns == 0) return "0 s";
  const unit* in = units;
  while (in != std::end(units) - 1 && ns >= in[1].ns) ++in;
  const std::int64_t whole = ns / in->ns;
  const std::int64_t fraction = ns % in->ns;
  const std::int64_t rest = in->ns == 1 ? 0 : (fraction + in->ns / 2000) / (in->ns / 1000);
  if (rest == 1000) return text_of_duration((whole + 1) * in->ns);  // may be one of the next unit
  std::string text = std::to_string(whole);
  if (rest != 0) {
    const std::string digits = std::to_string(1000 + rest).substr(1);
    text += '.' + digits.substr(0, digits.find_last_not_of('0') + 1);
  }
  return text + in->name;
}

/// Rounds to three digits.
std::int64_t rounded(std::int64_t ns) {
  std::int64_t unit = 1;
  while (ns / unit >= 1000) unit *= 10;
  const std::int64_t rest = ns % unit;
  return ns - rest + (rest > unit / 2 ? unit : 0);
}

}  // namespace

std::string text_of(passed_limit limit) {
  if (!limit) return "the time limit has passed";
  if (!limit.is_deadline())
    return "the time limit of " + text_of_duration(limit.ns()) + " has passed";
  if (limit.ns() == 0) return "the deadline had passed when it was set";
  return "the deadline, " + text_of_duration(rounded(limit.ns())) + " after it was set, has passed";
}

}  // namespace cosock::detail
