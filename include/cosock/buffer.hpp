// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cosock/detail/config.hpp>

#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <utility>

namespace cosock {

namespace detail {

template <class T>
concept byte_like =
    std::same_as<T, char> || std::same_as<T, unsigned char> || std::same_as<T, signed char> ||
    std::same_as<T, char8_t> || std::same_as<T, std::byte> || std::is_void_v<T>;

template <class R>
using element = std::remove_pointer_t<decltype(std::declval<R&>().data())>;

/// Has data() and size(): vectors, strings, spans and arrays of bytes or chars, Asio's buffers.
template <class R>
concept contiguous_bytes = requires(R& r) {
  requires std::is_pointer_v<decltype(r.data())>;
  requires byte_like<std::remove_cv_t<element<R>>>;
  { r.size() } -> std::convertible_to<std::size_t>;
};
template <class R>
concept writable_bytes = contiguous_bytes<R> && !std::is_const_v<element<R>>;
/// Refers to memory that it does not own, as a span does, so a temporary object is enough. (The
/// memory that a container owns is const if the container is.)
template <class R>
concept borrowed_bytes = writable_bytes<const R>;

}  // namespace detail

/// Memory to receive into: an address and a size. Owns nothing; the memory must outlive the
/// operation. Made from a contiguous and writable range of bytes or chars, or from a pointer and a
/// size. A temporary container is refused, because the bytes would be destroyed with it.
class mutable_buffer {
 public:
  mutable_buffer() noexcept = default;
  /// So many bytes, from an address on.
  mutable_buffer(void* data, std::size_t size) noexcept : data_(data), size_(size) {}
  /// Everything in a vector, string, span or array of bytes or chars.
  template <class R>
    requires(!std::is_array_v<std::remove_reference_t<R>> &&
             detail::writable_bytes<std::remove_reference_t<R>> &&
             (std::is_lvalue_reference_v<R> || detail::borrowed_bytes<R>))
  mutable_buffer(R&& range) noexcept : data_(range.data()), size_(range.size()) {}
  template <class T, std::size_t N>
    requires detail::byte_like<T>
  mutable_buffer(T (&array)[N]) noexcept : data_(array), size_(N) {}

  /// Where the memory begins, and how many bytes it has.
  [[nodiscard]] void* data() const noexcept { return data_; }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }

 private:
  void* data_ = nullptr;
  std::size_t size_ = 0;
};

/// Memory to send from: an address and a size. Owns nothing; the memory must outlive the operation.
/// Made from a contiguous range of bytes or chars, or from a pointer and a size. The terminating
/// zero of a string literal, or of any array of const char, is not part of the buffer.
class const_buffer {
 public:
  const_buffer() noexcept = default;
  /// So many bytes, from an address on.
  const_buffer(const void* data, std::size_t size) noexcept : data_(data), size_(size) {}
  /// Everything in a vector, string, span or array of bytes or chars.
  template <class R>
    requires(!std::is_array_v<std::remove_reference_t<R>> &&
             (std::is_reference_v<R> || std::is_trivially_copyable_v<R>) &&
             detail::contiguous_bytes<std::remove_reference_t<R>>)
  const_buffer(R&& range) noexcept : data_(range.data()), size_(range.size()) {}
  /// From a temporary container, which lives until the end of the full expression: `co_await` the
  /// operation in the same expression.
  template <class R>
    requires(!std::is_reference_v<R> && !std::is_trivially_copyable_v<R> &&
             detail::contiguous_bytes<R>)
  const_buffer(R&& range COSOCK_LIFETIMEBOUND) noexcept
      : data_(range.data()), size_(range.size()) {}
  template <class T, std::size_t N>
    requires detail::byte_like<std::remove_const_t<T>>
  const_buffer(T (&array)[N]) noexcept : data_(array), size_(N) {
    if constexpr (std::same_as<T, const char> || std::same_as<T, const char8_t>)
      if (array[N - 1] == 0) --size_;
  }

  /// Where the memory begins, and how many bytes it has.
  [[nodiscard]] const void* data() const noexcept { return data_; }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }

 private:
  const void* data_ = nullptr;
  std::size_t size_ = 0;
};

/// Returns a buffer for memory given by address and size, for example a part of a larger buffer.
[[nodiscard]] inline mutable_buffer buffer(void* data, std::size_t size) noexcept {
  return {data, size};
}
[[nodiscard]] inline const_buffer buffer(const void* data, std::size_t size) noexcept {
  return {data, size};
}
/// Returns a buffer for the first `max_bytes` bytes of a contiguous range, or for all of a shorter
/// one.
template <class R>
  requires std::constructible_from<mutable_buffer, R>
[[nodiscard]] mutable_buffer buffer(R&& range, std::size_t max_bytes = SIZE_MAX) {
  const mutable_buffer all(range);
  return {all.data(), all.size() < max_bytes ? all.size() : max_bytes};
}
template <class R>
  requires(!std::constructible_from<mutable_buffer, R> && std::constructible_from<const_buffer, R>)
[[nodiscard]] const_buffer buffer(R&& range, std::size_t max_bytes = SIZE_MAX) {
  const const_buffer all(range);
  return {all.data(), all.size() < max_bytes ? all.size() : max_bytes};
}

/// A range of buffers to receive into, which are filled one after the other (scatter).
template <class S>
concept mutable_buffer_sequence =
    !std::constructible_from<mutable_buffer, const S&> && requires(const S& s) {
      { *std::begin(s) } -> std::convertible_to<mutable_buffer>;
      ++std::declval<decltype(std::begin(s))&>() != std::end(s);
    };

/// A range of buffers to send, one after the other (gather).
template <class S>
concept const_buffer_sequence =
    !std::constructible_from<const_buffer, const S&> && requires(const S& s) {
      { *std::begin(s) } -> std::convertible_to<const_buffer>;
      ++std::declval<decltype(std::begin(s))&>() != std::end(s);
    };

namespace detail {

/// For the functions that take a sequence of buffers, and so every argument that is not one buffer:
/// explains the mistake if the argument is not a sequence either.
template <class S>
constexpr void check_receives_into() {
  using R = std::remove_reference_t<S>;
  constexpr bool bytes = contiguous_bytes<R>;
  static_assert(mutable_buffer_sequence<R> || !bytes || !writable_bytes<R>,
                "a temporary as a buffer: what is received into it is lost");
  static_assert(mutable_buffer_sequence<R> || !bytes || writable_bytes<R>,
                "a buffer to receive into cannot be const");
  static_assert(mutable_buffer_sequence<R> || bytes,
                "this is not a buffer, which is memory of bytes or chars (std::span, std::string, "
                "std::vector<char>, an array, cosock::buffer(pointer, size)), or a range of such");
}
template <class S>
constexpr void check_sends_from() {
  static_assert(const_buffer_sequence<std::remove_reference_t<S>>,
                "this is not a buffer, which is memory of bytes or chars (std::span, std::string, "
                "std::vector<char>, an array, cosock::buffer(pointer, size)), or a range of such");
}
template <class S>
concept not_one_mutable_buffer = !std::convertible_to<S, mutable_buffer>;
template <class S>
concept not_one_const_buffer = !std::convertible_to<const S&, const_buffer>;

/// The layout of the system's iovec.
struct piece {
  void* data;
  std::size_t size;
};

/// Writes the pieces of the sequence from its byte `skip` on to `out`, at most `max_pieces` of them.
/// Returns their number.
using gather_function = std::size_t (*)(const void* sequence, std::size_t skip, piece* out,
                                        std::size_t max_pieces);

template <class Buffer, class Sequence>
std::size_t gather(const void* sequence, std::size_t skip, piece* out, std::size_t max_pieces) {
  std::size_t count = 0;
  for (const auto& element : *static_cast<const Sequence*>(sequence)) {
    const Buffer b(element);
    if (b.size() <= skip) {
      skip -= b.size();
      continue;
    }
    if (count == max_pieces) break;
    out[count++] = {
        static_cast<char*>(const_cast<void*>(static_cast<const void*>(b.data()))) + skip,
        b.size() - skip};
    skip = 0;
  }
  return count;
}

}  // namespace detail
}  // namespace cosock
