// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// A buffered_reader on a stream that arrives in pieces of any size, against an oracle that has the
// whole stream at once.

#include "input.hpp"
#include "support/scripted_stream.hpp"

#include <cosock/cancel.hpp>
#include <cosock/nursery.hpp>
#include <cosock/reader.hpp>
#include <cosock/time.hpp>

#include <optional>
#include <vector>

using cosock::error;
using cosock::frame_format;

namespace {

/// What an operation comes to: a result and the bytes that it consumes, or an error, or the end.
struct expected {
  enum class kind { result, end, failed } what = kind::result;
  std::string_view text;
  std::size_t consumed = 0;
  error why{};
};
expected result(std::string_view text, std::size_t consumed) {
  return {expected::kind::result, text, consumed, {}};
}
expected failed(error why, std::size_t consumed = 0) {
  return {expected::kind::failed, {}, consumed, why};
}
expected end_or(std::string_view rest, error why = error::end_of_stream) {
  if (rest.empty()) return {expected::kind::end, {}, 0, {}};
  return failed(why);
}

expected line_of(std::string_view rest, const cosock::buffered_reader_options& limits) {
  const std::size_t lf = rest.find('\n');
  if (lf == rest.npos) {
    const bool may_be_cr = rest.size() - 1 == limits.max_line && rest.ends_with('\r');
    if (rest.size() > limits.max_line && !may_be_cr) return failed(error::line_too_long);
    if (rest.empty() || !limits.unterminated_line) return end_or(rest);
    if (rest.size() > limits.max_line) return failed(error::line_too_long);
    return result(rest, rest.size());
  }
  std::string_view line = rest.substr(0, lf);
  if (line.ends_with('\r')) line.remove_suffix(1);
  if (line.size() > limits.max_line) return failed(error::line_too_long);
  return result(line, lf + 1);
}

expected text_until(std::string_view rest, std::string_view delimiter, std::size_t most) {
  const std::size_t at = rest.find(delimiter);
  if (at != rest.npos && at <= most) return result(rest.substr(0, at), at + delimiter.size());
  const bool full = rest.size() >= delimiter.size() && rest.size() - delimiter.size() >= most;
  if (at != rest.npos || full) return failed(error::line_too_long);
  return end_or(rest);
}

expected frame_of(std::string_view rest, const frame_format& format) {
  unsigned __int128 length = 0;
  std::size_t size = 0;
  if (format.prefix == cosock::frame_prefix::varint) {
    for (;; ++size) {
      if (size == rest.size()) return end_or(rest);
      const auto byte = static_cast<unsigned char>(rest[size]);
      length |= static_cast<unsigned __int128>(byte & 0x7f) << (7 * size);
      if (length > UINT64_MAX || (size == 9 && byte > 1)) return failed(error::malformed_frame);
      if (byte < 0x80) {
        if (byte == 0 && size != 0) return failed(error::malformed_frame);
        ++size;
        break;
      }
    }
  } else {
    size = static_cast<std::size_t>(format.prefix);
    if (rest.size() < size) return end_or(rest);
    for (std::size_t i = 0; i != size; ++i) {
      const std::size_t at = format.order == std::endian::big ? i : size - 1 - i;
      length = length << 8 | static_cast<unsigned char>(rest[at]);
    }
  }
  if (length > format.max_size || length > PTRDIFF_MAX - 10) return failed(error::frame_too_long);
  if (rest.size() - size < length) return failed(error::end_of_stream);
  const auto payload = static_cast<std::size_t>(length);
  return result(rest.substr(size, payload), size + payload);
}

/// The bytes that are to come, and how they are to be read.
struct script {
  std::string stream;
  std::vector<std::size_t> pieces;
  std::size_t at_once = 0;  // pieces that are there from the beginning
};

cosock::task<> feed(test::scripted_stream& into, const script& all) {
  std::size_t begin = 0;
  for (std::size_t i = 0; begin < all.stream.size(); ++i) {
    const std::size_t size =
        all.pieces.empty() ? all.stream.size() : all.pieces[i % all.pieces.size()];
    into.push(all.stream.substr(begin, size));
    begin += size;
    if (i >= all.at_once) co_await cosock::yield();
  }
  into.end();
}

/// Where the reader is.
class checker {
 public:
  checker(test::scripted_stream& from, const script& all, cosock::buffered_reader_options limits)
      : limits_(limits), rest_(all.stream), reader_(from, limits) {}

  /// One operation, and whether it came to what it should.
  cosock::task<> step(fuzz::input& in) {
    const std::size_t what = in.below(8);
    const std::size_t size = in.below(2) ? in.below(40) : in.byte() * std::size_t{16};
    const std::string delimiter(in.text(1 + in.below(3)));
    frame_format format;
    constexpr cosock::frame_prefix prefixes[] = {
        cosock::frame_prefix::varint, cosock::frame_prefix::one_byte,
        cosock::frame_prefix::two_bytes, cosock::frame_prefix::four_bytes,
        cosock::frame_prefix::eight_bytes};
    constexpr std::size_t maxima[] = {0, 5, 100, SIZE_MAX};
    format.prefix = prefixes[in.below(5)];
    format.order = in.flag() ? std::endian::big : std::endian::little;
    format.max_size = maxima[in.below(4)];
    switch (what) {
      case 0: co_await view(reader_.read_line(), line_of(rest_, limits_)); break;
      case 1:
        if (!delimiter.empty())
          co_await view(reader_.read_until(delimiter),
                        text_until(rest_, delimiter, limits_.max_line));
        break;
      case 2: co_await view(reader_.read_exactly(size), block_of(size)); break;
      case 3: co_await view(reader_.read_frame(format), frame_of(rest_, format)); break;
      case 4: co_await fill(size); break;
      case 5: co_await receive(size); break;
      case 6: co_await skip(); break;
      case 7: co_await cancelled(); break;
    }
    REQUIRE(rest_.starts_with(reader_.buffered()));
  }

 private:
  template <class Operation>
  cosock::task<> view(Operation op, expected e) {
    const auto got = co_await cosock::as_result(std::move(op));
    if (e.what == expected::kind::failed) {
      REQUIRE(!got && got.error() == e.why);
    } else {
      REQUIRE(got.has_value());
      REQUIRE(got->has_value() == (e.what == expected::kind::result));
      if (*got) REQUIRE(**got == e.text);
    }
    rest_.remove_prefix(e.consumed);
  }

  expected block_of(std::size_t size) const {
    if (size > limits_.capacity) return failed(error::frame_too_long);
    if (rest_.size() >= size) return result(rest_.substr(0, size), size);
    return end_or(rest_);
  }

  cosock::task<> fill(std::size_t size) {
    std::string into(size, '\0');
    const bool in_buffer = size <= limits_.capacity;
    std::optional<bool> filled;
    try {
      filled = co_await reader_.read_exactly(cosock::mutable_buffer(into));
    } catch (const boost::system::system_error& e) {
      REQUIRE(e.code() == error::end_of_stream);
      const auto* part = dynamic_cast<const cosock::transfer_error*>(&e);
      REQUIRE((part != nullptr) == !in_buffer);
      REQUIRE(rest_.size() < size && !rest_.empty());
      if (!part) co_return;
      REQUIRE(part->bytes_transferred() == rest_.size() && into.starts_with(rest_));
      rest_ = {};
      co_return;
    }
    REQUIRE(*filled == (rest_.size() >= size));
    if (!*filled) REQUIRE(rest_.empty());
    if (*filled) REQUIRE(rest_.starts_with(into));
    if (*filled) rest_.remove_prefix(size);
  }

  cosock::task<> receive(std::size_t size) {
    std::string into(size, '\0');
    const std::size_t n = co_await reader_.receive(cosock::mutable_buffer(into));
    REQUIRE(n <= size && n <= rest_.size());
    REQUIRE((n == 0) == (size == 0 || rest_.empty()));
    REQUIRE(rest_.starts_with(std::string_view(into).substr(0, n)));
    rest_.remove_prefix(n);
  }

  cosock::task<> skip() {
    const std::size_t lf = rest_.find('\n');
    REQUIRE(co_await reader_.skip_line() == (lf != rest_.npos));
    rest_.remove_prefix(lf == rest_.npos ? rest_.size() : lf + 1);
  }

  /// Nothing is consumed.
  cosock::task<> cancelled() {
    cosock::cancel_scope scope;
    scope.cancel();
    const auto got = co_await cosock::as_result(scope.run(reader_.read_line()));
    REQUIRE(!got && got.error() == error::cancelled);
  }

  cosock::buffered_reader_options limits_;
  std::string_view rest_;
  cosock::buffered_reader reader_;
};

cosock::task<> read_all(fuzz::input in) {
  cosock::buffered_reader_options limits;
  constexpr std::size_t sizes[] = {0, 1, 7, 64, 1000};
  constexpr std::size_t lengths[] = {0, 1, 5, 32, 1000, SIZE_MAX - 1, SIZE_MAX};
  limits.capacity = sizes[in.below(5)];
  limits.max_line = lengths[in.below(7)];
  limits.unterminated_line = in.flag();
  script all;
  const std::size_t pieces = in.below(9);
  for (std::size_t i = 0; i != pieces; ++i) all.pieces.push_back(in.below(60) + 1);
  all.at_once = in.below(20);
  const std::size_t steps = in.below(32);
  fuzz::input operations = in.part(steps * 8);
  all.stream = in.rest();
  const auto stream = co_await test::make_scripted_stream();
  checker reader(*stream, all, limits);
  co_await cosock::with_nursery([&](cosock::nursery& n) -> cosock::task<> {
    n.start([&] { return feed(*stream, all); });
    for (std::size_t i = 0; i != steps + 1; ++i) co_await reader.step(operations);
  });
}

}  // namespace

void fuzz_one(fuzz::input in) { fuzz::run(read_all(in)); }
