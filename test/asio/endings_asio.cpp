// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// The endings of each operation on a stream of Asio.

#include <cosock/asio.hpp>

#define BOOST_TEST_MODULE endings_asio
#include "stream_endings.hpp"

#include <boost/asio/local/stream_protocol.hpp>

#include <memory>
#include <vector>

namespace {

namespace asio = boost::asio;
using cosock::task;
using test::stream_subject;

task<std::shared_ptr<stream_subject>> make_stream() {
  int ends[2];
  BOOST_REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
  auto s = std::make_shared<stream_subject>();
  s->fd = ends[0];
  s->peer = cosock::unique_descriptor::adopt(ends[1]);
  using socket = asio::local::stream_protocol::socket;
  s->stream = std::make_unique<cosock::asio_stream<socket>>(
      socket(cosock::loop_executor(), asio::local::stream_protocol(), ends[0]));
  co_return s;
}

/// The stream has a buffer of its own.
void fill_buffer(cosock::loop& on, stream_subject& s) {
  static const std::vector<char> zeros(32 << 10);
  static const auto send = [](cosock::byte_stream& to) -> task<> { co_await to.send_some(zeros); };
  for (;;) {
    auto sending = on.start(send(*s.stream));
    test::run_until_idle(on);
    if (!sending.done()) return;
  }
}

const test::register_endings registered(test::stream_rows({
    .name = "asio_stream",
    .make = [](cosock::loop& on) { return on.run(make_stream()); },
    .fill = fill_buffer,
    .reset = test::reset_local,
    .receive_fails_with = test::system_code(ECONNRESET),
    .send_fails_with = test::system_code(EPIPE),
}));

}  // namespace
