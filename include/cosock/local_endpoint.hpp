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

/// The name of a local (Unix domain) socket: a path, an abstract name, which lives in no file system
/// and ends with its socket (unix(7)), or none. A value; the default is unnamed.
class COSOCK_API local_endpoint {
 public:
  /// How many bytes a name may have.
  static constexpr std::size_t max_size = 107;

  constexpr local_endpoint() noexcept = default;

  /// A socket in the file system. Throws system_error, with the name, its length and the limit in
  /// what(): filename_too_long beyond `max_size` bytes; invalid_argument for an empty path, and for one
  /// with a NUL inside.
  [[nodiscard]] static local_endpoint path(std::string_view path);
  /// A socket in the abstract namespace, named without the leading NUL that the system puts there;
  /// any byte may be part of it. Throws as path() does, for an empty name and for one too long.
  [[nodiscard]] static local_endpoint abstract(std::string_view name);
  /// What a person writes: `@name` is abstract, anything else a path. `./@name` is a path too.
  /// Throws as they do.
  [[nodiscard]] static local_endpoint parse(std::string_view text);

  /// Which of the three it is.
  [[nodiscard]] constexpr bool is_path() const noexcept { return kind_ == kind::path; }
  [[nodiscard]] constexpr bool is_abstract() const noexcept { return kind_ == kind::abstract; }
  [[nodiscard]] constexpr bool is_unnamed() const noexcept { return kind_ == kind::unnamed; }

  /// The bytes of the path or of the abstract name; none where it is unnamed. A view into this.
  [[nodiscard]] constexpr std::string_view name() const noexcept { return {name_, size_}; }

  /// For people: the path, `@name` for an abstract one, `(unnamed)`; control characters as \xNN.
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
  static local_endpoint make(kind which, std::string_view name);

  char name_[max_size + 1] = {};  // the system may give one more byte than it should be given
  unsigned char size_ = 0;
  kind kind_ = kind::unnamed;
};

}  // namespace cosock
