// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// Reads /etc/hosts, /etc/nsswitch.conf and /etc/gai.conf, on the loop, at each look-up. It keeps
// nothing, so a change of a file takes effect at once.

#include "net/hosts.hpp"

#include "core/failure.hpp"
#include "core/scheduler.hpp"
#include "core/standard_numbers.hpp"

#include <cosock/unique_descriptor.hpp>

#include <fcntl.h>

#include <algorithm>
#include <charconv>
#include <optional>

namespace cosock::detail {

namespace {

/// The files of this machine are not those of a simulated host.
bool is_simulated_host() noexcept {
  const scheduler* const s = scheduler::current();
  return s && s->host;
}

constexpr std::string_view spaces = " \t\r\v\f";

/// The beginning of a file; empty if it cannot be read.
std::string contents(const char* path) {
  std::string text;
  const auto file =
      unique_descriptor::adopt(above_standard(::open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)));
  if (file.get() < 0) return text;
  std::size_t size = 0;
  for (ssize_t n = 1; n > 0 && size < max_read; size += static_cast<std::size_t>(n)) {
    text.resize(std::min(size + 8 * 1024, max_read));
    do {
      n = ::read(file.get(), text.data() + size, text.size() - size);
    } while (n < 0 && errno == EINTR);
    if (n < 0) n = 0;
  }
  text.resize(size);
  if (size == max_read) text.resize(text.rfind('\n') + 1);  // the last line may be cut
  return text;
}

/// Removes the first word of the text, and returns it; empty if there is no word left.
std::string_view next_word(std::string_view& text) {
  text.remove_prefix(std::min(text.find_first_not_of(spaces), text.size()));
  const std::string_view word = text.substr(0, text.find_first_of(spaces));
  text.remove_prefix(word.size());
  return word;
}

bool is_same(std::string_view a, std::string_view b) {
  const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c; };
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [lower](char x, char y) { return lower(x) == lower(y); });
}

/// Calls the function with each line of the file, without comments, until it returns true; whether
/// it did.
template <class F>
bool any_line(const char* path, F function) {
  if (is_simulated_host()) return false;
  const std::string text = contents(path);
  for (std::string_view rest = text; !rest.empty();) {
    const std::string_view line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(line.size() + 1, rest.size()));
    if (function(line.substr(0, line.find('#')))) return true;
  }
  return false;
}

/// Calls the function with each address of the hosts file, and the names that follow it.
template <class F>
bool any_host(F function) {
  return any_line("/etc/hosts", [&function](std::string_view line) {
    const std::string_view word = next_word(line);
    address parsed;
    return word.find('%') == word.npos && address::try_parse(word, parsed) &&
           function(parsed.unmapped(), line);
  });
}

}  // namespace

bool hosts_file_comes_first() {
  return any_line("/etc/nsswitch.conf", [](std::string_view line) {
    const std::string_view database = next_word(line);
    if (database == "hosts") {
      if (next_word(line) != ":") return false;
    } else if (database != "hosts:") {
      return false;
    }
    for (;;) {
      const std::string_view source = next_word(line);
      if (source == "files") break;
      // These modules ask no server.
      if (source != "myhostname" && source != "mymachines") return false;
    }
    // An action such as [SUCCESS=merge] asks another source although the file has the name.
    std::string_view rest = line;
    if (!next_word(rest).starts_with('[')) return true;
    return line.substr(0, line.find(']')).find_first_of("!Ss") == line.npos;
  });
}

std::vector<address> listed_addresses(std::string_view name) {
  std::vector<address> found;
  any_host([&](const address& wanted_address, std::string_view names) {
    for (std::string_view word = next_word(names); !word.empty(); word = next_word(names))
      if (is_same(word, name) &&
          std::find(found.begin(), found.end(), wanted_address) == found.end())
        found.push_back(wanted_address);
    return false;
  });
  return found;
}

bool is_v4_preferred() {
  std::optional<int> v4;
  int v6 = 40;  // the default of the system
  any_line("/etc/gai.conf", [&](std::string_view line) {
    if (next_word(line) != "precedence") return false;
    const std::string_view prefix = next_word(line);
    const std::string_view value = next_word(line);
    int parsed = 0;
    std::from_chars(value.data(), value.data() + value.size(), parsed);
    if (prefix == "::ffff:0:0/96") v4 = parsed;
    if (prefix == "::/0") v6 = parsed;
    return false;
  });
  return v4 && *v4 > v6;
}

bool is_listed(const address& wanted) {
  return any_host([&wanted](const address& wanted_address, std::string_view names) {
    return wanted_address == wanted && !next_word(names).empty();
  });
}

}  // namespace cosock::detail
