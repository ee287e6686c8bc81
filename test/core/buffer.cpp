// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#include <cosock/buffer.hpp>

#define BOOST_TEST_MODULE buffer
#include <boost/asio/buffer.hpp>
#include <boost/test/unit_test.hpp>

#include <array>
#include <deque>
#include <list>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace {

namespace asio = boost::asio;
using cosock::buffer;
using cosock::const_buffer;
using cosock::const_buffer_sequence;
using cosock::mutable_buffer;
using cosock::mutable_buffer_sequence;

template <class T>
constexpr bool can_be_sent = std::convertible_to<T, const_buffer>;
template <class T>
constexpr bool can_be_filled = std::convertible_to<T, mutable_buffer>;
template <class T>
constexpr bool is_one_buffer = can_be_sent<T> && !const_buffer_sequence<std::remove_cvref_t<T>> &&
                               !mutable_buffer_sequence<std::remove_cvref_t<T>>;

// Bytes and chars that can be written.
static_assert(can_be_filled<std::vector<char>&> && is_one_buffer<std::vector<char>&>);
static_assert(can_be_filled<std::vector<unsigned char>&>);
static_assert(can_be_filled<std::vector<signed char>&>);
static_assert(can_be_filled<std::vector<std::byte>&> && is_one_buffer<std::vector<std::byte>&>);
static_assert(can_be_filled<std::vector<char8_t>&>);
static_assert(can_be_filled<std::string&> && is_one_buffer<std::string&>);
static_assert(can_be_filled<std::u8string&>);
static_assert(can_be_filled<std::array<char, 4>&> && is_one_buffer<std::array<char, 4>&>);
static_assert(can_be_filled<std::array<std::byte, 4>&>);
static_assert(can_be_filled<char (&)[4]> && is_one_buffer<char (&)[4]>);
static_assert(can_be_filled<unsigned char (&)[4]>);
static_assert(can_be_filled<std::byte (&)[4]>);
static_assert(can_be_filled<std::span<char>> && can_be_filled<const std::span<char>&>);
static_assert(can_be_filled<std::span<std::byte, 4>>);
static_assert(can_be_filled<asio::mutable_buffer> && is_one_buffer<asio::mutable_buffer>);
static_assert(can_be_filled<mutable_buffer&> && is_one_buffer<mutable_buffer&>);

// The same, and what cannot be written, can be sent.
static_assert(can_be_sent<std::vector<char>&> && can_be_sent<const std::vector<char>&>);
static_assert(can_be_sent<std::string&> && can_be_sent<const std::string&>);
static_assert(can_be_sent<std::string_view> && is_one_buffer<std::string_view>);
static_assert(can_be_sent<std::u8string_view>);
static_assert(can_be_sent<std::span<const std::byte>> && is_one_buffer<std::span<const std::byte>>);
static_assert(can_be_sent<const char (&)[4]> && is_one_buffer<const char (&)[4]>);
static_assert(can_be_sent<const unsigned char (&)[4]>);
static_assert(can_be_sent<const std::array<char, 4>&>);
static_assert(can_be_sent<std::array<const char, 4>&>);
static_assert(can_be_sent<asio::const_buffer> && is_one_buffer<asio::const_buffer>);
static_assert(can_be_sent<mutable_buffer> && can_be_sent<const_buffer>);

static_assert(!can_be_filled<const std::vector<char>&>);
static_assert(!can_be_filled<const std::string&>);
static_assert(!can_be_filled<std::string_view>);
static_assert(!can_be_filled<std::span<const std::byte>>);
static_assert(!can_be_filled<const char (&)[4]>);
static_assert(!can_be_filled<const std::array<char, 4>&>);
static_assert(!can_be_filled<asio::const_buffer>);
static_assert(!can_be_filled<const_buffer>);

// What has no bytes, or no size, is refused; no pointer is taken for a string.
template <class T>
constexpr bool is_refused =
    !std::constructible_from<const_buffer, T> && !std::constructible_from<mutable_buffer, T> &&
    !const_buffer_sequence<std::remove_cvref_t<T>> &&
    !mutable_buffer_sequence<std::remove_cvref_t<T>>;
static_assert(is_refused<int (&)[4]> && is_refused<const int (&)[4]>);
static_assert(is_refused<std::vector<int>&> && is_refused<std::array<int, 4>&>);
static_assert(is_refused<std::span<int>> && is_refused<std::span<double>>);
static_assert(is_refused<wchar_t (&)[4]> && is_refused<std::wstring&>);
static_assert(is_refused<char16_t (&)[4]> && is_refused<std::u32string&>);
static_assert(is_refused<std::vector<bool>&>);
static_assert(is_refused<std::deque<char>&> && is_refused<std::list<char>&>);
static_assert(is_refused<const char*> && is_refused<char*> && is_refused<void*>);
static_assert(is_refused<std::nullptr_t> && is_refused<int> && is_refused<char>);
static_assert(is_refused<std::unique_ptr<char[]>&>);

// Sequences, for gather and scatter.
static_assert(const_buffer_sequence<std::vector<const_buffer>>);
static_assert(const_buffer_sequence<std::vector<mutable_buffer>>);
static_assert(const_buffer_sequence<std::array<const_buffer, 2>>);
static_assert(const_buffer_sequence<const_buffer[2]>);
static_assert(const_buffer_sequence<std::span<const const_buffer>>);
static_assert(const_buffer_sequence<std::list<const_buffer>>);
static_assert(const_buffer_sequence<std::vector<std::string>>);
static_assert(const_buffer_sequence<std::array<std::string_view, 3>>);
static_assert(const_buffer_sequence<std::deque<std::vector<char>>>);
static_assert(const_buffer_sequence<char[3][4]>);
static_assert(const_buffer_sequence<std::vector<asio::const_buffer>>);
static_assert(const_buffer_sequence<std::array<asio::mutable_buffer, 2>>);

static_assert(mutable_buffer_sequence<std::vector<mutable_buffer>>);
static_assert(mutable_buffer_sequence<std::array<mutable_buffer, 2>>);
static_assert(mutable_buffer_sequence<mutable_buffer[2]>);
static_assert(mutable_buffer_sequence<std::vector<asio::mutable_buffer>>);
static_assert(mutable_buffer_sequence<std::array<asio::mutable_buffer, 2>>);
static_assert(mutable_buffer_sequence<std::vector<std::span<char>>>);
static_assert(mutable_buffer_sequence<std::span<std::string>>);
static_assert(mutable_buffer_sequence<std::span<std::array<std::byte, 4>>>);

static_assert(!mutable_buffer_sequence<std::vector<const_buffer>>);
static_assert(!mutable_buffer_sequence<std::vector<asio::const_buffer>>);
static_assert(!mutable_buffer_sequence<std::vector<std::string_view>>);
static_assert(!const_buffer_sequence<std::vector<std::vector<int>>>);
static_assert(!const_buffer_sequence<std::vector<std::vector<std::string>>>);

bool is(const const_buffer& b, const void* data, std::size_t size) {
  return b.data() == data && b.size() == size;
}
bool is(const mutable_buffer& b, void* data, std::size_t size) {
  return b.data() == data && b.size() == size;
}
std::string_view text(const const_buffer& b) {
  return {static_cast<const char*>(b.data()), b.size()};
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_buffer_by_default_is_empty) {
  BOOST_TEST(is(mutable_buffer(), nullptr, 0));
  BOOST_TEST(is(const_buffer(), nullptr, 0));
}

BOOST_AUTO_TEST_CASE(a_buffer_is_the_memory_it_was_made_from) {
  std::vector<unsigned char> vector(5);
  const std::string string = "four";
  std::array<std::byte, 3> array;
  char chars[2];
  BOOST_TEST(is(mutable_buffer(vector), vector.data(), 5));
  BOOST_TEST(is(const_buffer(vector), vector.data(), 5));
  BOOST_TEST(is(const_buffer(string), string.data(), 4));
  BOOST_TEST(is(mutable_buffer(array), array.data(), 3));
  BOOST_TEST(is(mutable_buffer(chars), chars, 2));
  BOOST_TEST(is(mutable_buffer(std::span(array).subspan(1)), array.data() + 1, 2));
  BOOST_TEST(is(const_buffer(std::string_view(string).substr(1)), string.data() + 1, 3));
  BOOST_TEST(is(mutable_buffer(chars, 1), chars, 1));
  BOOST_TEST(is(const_buffer(mutable_buffer(chars)), chars, 2));
  BOOST_TEST(is(const_buffer(std::vector<char>()), nullptr, 0));
}

BOOST_AUTO_TEST_CASE(a_buffer_of_asio_is_taken_as_it_is) {
  std::string string = "text";
  BOOST_TEST(is(mutable_buffer(asio::buffer(string)), string.data(), 4));
  BOOST_TEST(is(const_buffer(asio::buffer(string)), string.data(), 4));
  BOOST_TEST(is(const_buffer(asio::buffer(std::as_const(string), 2)), string.data(), 2));
  BOOST_TEST(is(buffer(asio::buffer(string), 3), string.data(), 3));
}

BOOST_AUTO_TEST_CASE(a_string_literal_counts_without_its_zero) {
  BOOST_TEST(text("literal") == "literal");
  BOOST_TEST(text("").empty());
  BOOST_TEST(text("inner\0zero").size() == 10u);
  BOOST_TEST(text("last\0").size() == 5u);
  BOOST_TEST(const_buffer(u8"literal").size() == 7u);
  BOOST_TEST(buffer("literal").size() == 7u);
  BOOST_TEST(buffer("literal", 100).size() == 7u);
}

BOOST_AUTO_TEST_CASE(an_array_counts_whole) {
  const char without_zero[] = {'a', 'b'};
  const char with_zero[] = "ab";
  char writable[] = "ab";
  const unsigned char bytes[] = {1, 0};
  BOOST_TEST(text(without_zero) == "ab");
  BOOST_TEST(text(with_zero) == "ab");  // as if it were a literal
  BOOST_TEST(const_buffer(writable).size() == 3u);
  BOOST_TEST(mutable_buffer(writable).size() == 3u);
  BOOST_TEST(const_buffer(bytes).size() == 2u);
}

BOOST_AUTO_TEST_CASE(a_part_is_what_comes_first_and_no_more_than_there_is) {
  std::vector<char> vector(10);
  const std::string string = "0123456789";
  static_assert(std::same_as<decltype(buffer(vector)), mutable_buffer>);
  static_assert(std::same_as<decltype(buffer(string)), const_buffer>);
  static_assert(std::same_as<decltype(buffer(vector.data(), 1)), mutable_buffer>);
  static_assert(std::same_as<decltype(buffer(string.data(), 1)), const_buffer>);
  BOOST_TEST(is(buffer(vector), vector.data(), 10));
  BOOST_TEST(is(buffer(vector, 4), vector.data(), 4));
  BOOST_TEST(is(buffer(vector, 0), vector.data(), 0));
  BOOST_TEST(is(buffer(vector, 11), vector.data(), 10));
  BOOST_TEST(text(buffer(string, 3)) == "012");
  BOOST_TEST(text(buffer(string.data() + 2, 3)) == "234");
  BOOST_TEST(text(buffer("0123", 2)) == "01");
  char chars[4] = {'a', 'b', 'c', 'd'};
  BOOST_TEST(is(buffer(chars, 2), chars, 2));
  BOOST_TEST(is(buffer(buffer(vector, 4), 2), vector.data(), 2));
}

/// A transfer that has moved a part goes on in the middle of a buffer.
BOOST_AUTO_TEST_CASE(a_sequence_is_gathered_from_any_byte_on) {
  const std::vector<std::string> parts = {"", "ab", "", "", "cde", "f", ""};
  const std::string all = "abcdef";
  using cosock::detail::gather;
  using cosock::detail::piece;
  for (std::size_t skip = 0; skip <= all.size(); ++skip)
    for (std::size_t most = 1; most != 5; ++most) {
      piece out[4];
      const std::size_t n = gather<const_buffer, std::vector<std::string>>(&parts, skip, out, most);
      BOOST_REQUIRE(n <= most);
      std::string got;
      for (std::size_t i = 0; i != n; ++i) {
        BOOST_TEST(out[i].size != 0u);
        got.append(static_cast<const char*>(out[i].data), out[i].size);
      }
      BOOST_TEST(all.substr(skip).starts_with(got));
      BOOST_TEST(got.empty() == (skip == all.size()));
      if (most == 4) BOOST_TEST(got == all.substr(skip));
    }
}
