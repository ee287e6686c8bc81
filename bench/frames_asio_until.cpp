// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
//
// Counts frames with Asio's own coroutines, in the fastest form that async_read_until has: a condition
// that matches a whole frame, and a streambuf, which has room for a segment from the beginning.

#include "asio_server.hpp"

#include <boost/asio/read_until.hpp>
#include <boost/asio/streambuf.hpp>
#include <boost/endian/conversion.hpp>

#include <algorithm>
#include <array>

constexpr std::size_t head_size = 4;

/// The end of the first frame, and whether it is there.
struct match_frame {
  template <class Iterator>
  std::pair<Iterator, bool> operator()(Iterator begin, Iterator end) const {
    const auto there = static_cast<std::size_t>(end - begin);
    if (there < head_size) return {begin, false};
    std::array<unsigned char, head_size> head;
    std::copy_n(begin, head_size, head.begin());
    const std::size_t size = head_size + boost::endian::load_big_u32(head.data());
    if (there < size) return {begin, false};
    return {begin + static_cast<std::ptrdiff_t>(size), true};
  }
};

template <>
struct asio::is_match_condition<match_frame> : std::true_type {};

asio::awaitable<void> count_frames(tcp::socket socket) {
  tally seen;
  try {
    asio::streambuf data(1 << 20);
    data.prepare(65536);
    for (;;) {
      std::size_t size =
          co_await asio::async_read_until(socket, data, match_frame(), use_awaitable);
      seen.add(size - head_size);
      data.consume(size);
    }
  } catch (const boost::system::system_error&) {
    // End of stream is an error in Asio.
  }
  const std::string answer = seen.answer();
  co_await asio::async_write(socket, asio::buffer(answer), use_awaitable);
}

int main(int argc, char** argv) { return serve_with_asio(argc, argv, count_frames); }
