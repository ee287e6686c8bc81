// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cosock/detail/config.hpp>

#include <compare>
#include <cstddef>
#include <iosfwd>
#include <string>
#include <string_view>

namespace cosock {

namespace detail {
struct local_address;
}

/// The address of a local (Unix domain) socket (unix(7)): a path, an abstract name (Linux), which
/// is not a file and exists as long as its socket, or unnamed. A value; the default is unnamed.
class COSOCK_API local_endpoint {
 public:
  /// The largest size of a name in bytes.
  static constexpr std::size_t max_size = 107;

  constexpr local_endpoint() noexcept = default;

  /// The address of a socket in the file system. Throws system_error with the path, its length and
  /// the limit in what(): filename_too_long for more than `max_size` bytes; invalid_argument for an
  /// empty path, or a path with a NUL in it.
  [[nodiscard]] static local_endpoint path(std::string_view path);
  /// The address of a socket in the abstract namespace. The name is given without the leading NUL
  /// of the system, and may contain any byte. Throws as path() does, for a name that is empty or
  /// too long.
  [[nodiscard]] static local_endpoint abstract(std::string_view name);
  /// Parses the text of a user: `@name` is an abstract name, anything else a path. `./@name` is a path
  /// too. Throws as path() and abstract() do.
  [[nodiscard]] static local_endpoint parse(std::string_view text);

  /// The kind of the address.
  [[nodiscard]] constexpr bool is_path() const noexcept { return kind_ == kind::path; }
  [[nodiscard]] constexpr bool is_abstract() const noexcept { return kind_ == kind::abstract; }
  [[nodiscard]] constexpr bool is_unnamed() const noexcept { return kind_ == kind::unnamed; }

  /// The bytes of the path or of the abstract name; empty if unnamed. A view into this object.
  [[nodiscard]] constexpr std::string_view name() const noexcept { return {name_, size_}; }

  /// Text for messages, which parse() accepts: the path, `@name` for an abstract name; or
  /// `(unnamed)`. A path that begins with `@` gets a `./` in front. Control characters are shown as
  /// hexadecimal escapes.
  [[nodiscard]] std::string to_string() const;

  friend constexpr bool operator==(const local_endpoint& a, const local_endpoint& b) noexcept {
    return a.kind_ == b.kind_ && a.name() == b.name();
  }
  /// Unnamed before paths before abstract names, then by bytes.
  friend constexpr std::strong_ordering operator<=>(const local_endpoint& a,
                                                    const local_endpoint& b) noexcept {
    if (auto c = a.kind_ <=> b.kind_; std::is_neq(c)) return c;
    return a.name() <=> b.name();
  }
  friend COSOCK_API std::ostream& operator<<(std::ostream&, const local_endpoint&);

 private:
  friend struct detail::local_address;
  enum class kind : unsigned char { unnamed, path, abstract };
  static local_endpoint make(kind type, std::string_view name);

  char name_[max_size + 1] = {};  // the system may return one byte more than it accepts
  unsigned char size_ = 0;
  kind kind_ = kind::unnamed;
};

}  // namespace cosock
