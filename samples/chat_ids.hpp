// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// The words of the lines of chat_cluster, for the server and its client: IDs of Redis streams, numbers.

#include <charconv>
#include <compare>
#include <cstdint>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <vector>

/// The ID of an entry of a Redis stream: `MILLISECONDS-SEQUENCE`.
struct stream_id {
  std::uint64_t time = 0;
  std::uint64_t sequence = 0;
  auto operator<=>(const stream_id&) const = default;
};

inline std::string to_string(const stream_id& id) {
  return std::to_string(id.time) + '-' + std::to_string(id.sequence);
}

/// Returns nothing if the text is no ID.
inline std::optional<stream_id> parse_id(std::string_view text) {
  stream_id id;
  const char* const end = text.data() + text.size();
  const auto [dash, error] = std::from_chars(text.data(), end, id.time);
  if (error != std::errc() || dash == end || *dash != '-') return std::nullopt;
  const auto [stop, error2] = std::from_chars(dash + 1, end, id.sequence);
  if (error2 != std::errc() || stop != end) return std::nullopt;
  return id;
}

/// Whether the text is a number of a line: 1 to 999999999.
inline bool is_number(std::string_view text) {
  return !text.empty() && text.size() <= 9 && text.front() != '0' &&
         text.find_first_not_of("0123456789") == text.npos;
}

/// Splits a line at spaces into at most `count` words; the last one is the rest.
inline std::vector<std::string> split(std::string_view line, std::size_t count) {
  std::vector<std::string> words;
  while (words.size() + 1 < count) {
    const std::size_t space = line.find(' ');
    if (space == line.npos) break;
    words.emplace_back(line.substr(0, space));
    line.remove_prefix(space + 1);
  }
  words.emplace_back(line);
  return words;
}

/// A word that no other process has.
inline std::string random_word() {
  std::random_device device;
  std::string word;
  for (int i = 0; i != 4; ++i) word += std::to_string(device() % 90'000 + 10'000);
  return word;
}
