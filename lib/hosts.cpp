// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#include "detail/hosts.hpp"

#include "detail/system.hpp"

#include <fcntl.h>

#include <algorithm>
#include <charconv>

namespace cosock::detail {

namespace {

constexpr std::string_view spaces = " \t\r\v\f";

/// The beginning of a file; empty if it cannot be read.
std::string contents(const char* path) {
  std::string text;
  const auto file = unique_descriptor::adopt(::open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (file.get() < 0) return text;
  std::size_t size = 0;
  for (ssize_t n = 1; n > 0 && size < most_read; size += static_cast<std::size_t>(n)) {
    text.resize(std::min(size + 8 * 1024, most_read));
    do {
      n = ::read(file.get(), text.data() + size, text.size() - size);
    } while (n < 0 && errno == EINTR);
    if (n < 0) n = 0;
  }
  text.resize(size);
  if (size == most_read) text.resize(text.rfind('\n') + 1);  // not half a line
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
    address of;
    return word.find('%') == word.npos && address::try_parse(word, of) &&
           function(of.unmapped(), line);
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
      // Modules that ask nobody else.
      if (source != "myhostname" && source != "mymachines") return false;
    }
    // An action may have another source asked although the file has the name: [SUCCESS=merge], say.
    std::string_view rest = line;
    if (!next_word(rest).starts_with('[')) return true;
    return line.substr(0, line.find(']')).find_first_of("!Ss") == line.npos;
  });
}

std::vector<address> listed_addresses(std::string_view name) {
  std::vector<address> found;
  any_host([&](const address& of, std::string_view names) {
    for (std::string_view word = next_word(names); !word.empty(); word = next_word(names))
      if (is_same(word, name) && std::find(found.begin(), found.end(), of) == found.end())
        found.push_back(of);
    return false;
  });
  return found;
}

namespace {

/// A row of the policy table.
struct precedence {
  address::v6_bytes prefix;
  unsigned bits;
  unsigned value;

  bool matches(const address::v6_bytes& of) const noexcept {
    for (unsigned i = 0; i < bits; ++i)
      if (((prefix[i / 8] ^ of[i / 8]) >> (7 - i % 8) & 1) != 0) return false;
    return true;
  }
};

unsigned number(std::string_view text, unsigned otherwise) noexcept {
  const char* const end = text.data() + text.size();
  unsigned value = 0;
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  return error == std::errc() && stop == end ? value : otherwise;
}

/// The table of gai.conf, or the system's own if that has no such line.
std::vector<precedence> precedences() {
  std::vector<precedence> table;
  any_line("/etc/gai.conf", [&table](std::string_view line) {
    if (next_word(line) != "precedence") return false;
    const std::string_view prefix = next_word(line);
    const std::size_t slash = prefix.find('/');
    const unsigned bits = slash == prefix.npos ? 128 : number(prefix.substr(slash + 1), 129);
    address of;
    if (!address::try_parse(prefix.substr(0, slash), of) || !of.is_v6() || bits > 128) return false;
    precedence row = {{}, bits, number(next_word(line), 0)};
    std::copy_n(of.bytes().begin(), row.prefix.size(), row.prefix.begin());
    table.push_back(row);
    return false;
  });
  if (table.empty())
    table = {{{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}, 128, 50},
             {{}, 0, 40},
             {{0x20, 0x02}, 16, 30},
             {{}, 96, 20},
             {{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff}, 96, 10}};
  return table;
}

/// That of the longest prefix that matches.
unsigned precedence_of(const address& of, const std::vector<precedence>& table) {
  address::v6_bytes bytes = {};
  if (of.is_v4()) {
    bytes[10] = bytes[11] = 0xff;
    std::copy_n(of.bytes().begin(), 4, bytes.begin() + 12);
  } else {
    std::copy_n(of.bytes().begin(), 16, bytes.begin());
  }
  const precedence* best = nullptr;
  for (const precedence& each : table)
    if (each.matches(bytes) && (!best || each.bits > best->bits)) best = &each;
  return best ? best->value : 0;
}

bool has_route(const address& to) noexcept {
  const auto socket = unique_descriptor::adopt(
      ::socket(to.is_v6() ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  system_address name(endpoint(to, 9));
  return socket.get() >= 0 && ::connect(socket.get(), name.get(), name.size) == 0;
}

}  // namespace

bool is_v6_preferred(const address& v6, const address& v4) {
  if (!has_route(v6)) return false;
  if (!has_route(v4)) return true;
  const std::vector<precedence> table = precedences();
  return precedence_of(v6, table) >= precedence_of(v4, table);
}

bool is_listed(const address& wanted) {
  return any_host([&wanted](const address& of, std::string_view names) {
    return of == wanted && !next_word(names).empty();
  });
}

}  // namespace cosock::detail
