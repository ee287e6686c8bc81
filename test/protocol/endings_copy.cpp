// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// The endings of copies between streams in memory, and between sockets.

#include <cosock/copy.hpp>

#define BOOST_TEST_MODULE endings_copy
#include "operation_endings.hpp"
#include "scripted_stream.hpp"
#include "stream_endings.hpp"

#include <cosock/local.hpp>

#include <memory>
#include <vector>

namespace {

using cosock::byte_stream;
using cosock::task;
using test::operation_kind;
using test::scripted_stream;
using test::stream_subject;
using test::waitable;
using test::way;

task<> copy_once(byte_stream& from, byte_stream& to) {
  static_cast<void>(co_await cosock::copy(from, to));
}
/// Its errors are results, and are thrown here.
task<> copy_both_once(byte_stream& one, byte_stream& other) {
  const cosock::copy_result result = co_await cosock::copy_both(one, other);
  if (result.error) throw boost::system::system_error(result.error);
}

struct in_memory {
  std::unique_ptr<scripted_stream> from;
  std::unique_ptr<scripted_stream> to;
};
std::shared_ptr<in_memory> make_in_memory(cosock::loop& on) {
  auto made = std::make_shared<in_memory>();
  made->from = on.run(test::make_scripted_stream());
  made->to = on.run(test::make_scripted_stream());
  return made;
}

waitable copy_that_receives(cosock::loop& on) {
  const auto of = make_in_memory(on);
  return {.wait = [of] { return copy_once(*of->from, *of->to); },
          .provide = [of] { of->from->end(); },
          .fail = [of] { of->from->fail_receive(ECONNRESET); },
          .close = [of] { of->from->close(); }};
}
waitable copy_that_sends(cosock::loop& on) {
  const auto of = make_in_memory(on);
  of->from->push("data");
  of->from->end();
  of->to->set_room(0);
  return {.wait = [of] { return copy_once(*of->from, *of->to); },
          .provide = [of] { of->to->set_room(100); },
          .fail = [of] { of->to->fail_send(EPIPE); },
          .close = [of] { of->to->close(); }};
}
waitable copy_in_both_directions(cosock::loop& on) {
  const auto of = make_in_memory(on);
  return {.wait = [of] { return copy_both_once(*of->from, *of->to); },
          .provide =
              [of] {
                of->from->end();
                of->to->end();
              },
          .fail = [of] { of->from->fail_receive(ECONNRESET); },
          .close = [of] { of->from->close(); }};
}

task<std::unique_ptr<stream_subject>> make_socket() {
  int ends[2];
  BOOST_REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
  auto s = std::make_unique<stream_subject>();
  s->fd = ends[0];
  s->peer = cosock::unique_descriptor::adopt(ends[1]);
  s->stream =
      std::make_unique<cosock::local_stream_socket>(cosock::local_stream_socket::adopt(ends[0]));
  co_return s;
}
struct sockets {
  explicit sockets(cosock::loop& on) : from(on.run(make_socket())), to(on.run(make_socket())) {}
  std::unique_ptr<stream_subject> from;
  std::unique_ptr<stream_subject> to;
};

/// So much that it moves through a pipe of the system.
void send_much(stream_subject& to) {
  static const std::vector<char> much(100'000);
  BOOST_REQUIRE(::send(to.peer.get(), much.data(), much.size(), MSG_DONTWAIT) == 100'000);
}
waitable copy_of_sockets_that_receives(cosock::loop& on) {
  const auto of = std::make_shared<sockets>(on);
  send_much(*of->from);
  return {.wait = [of] { return copy_once(*of->from->stream, *of->to->stream); },
          .provide = [of] { ::shutdown(of->from->peer.get(), SHUT_WR); },
          .fail = [of] { test::reset_local(*of->from); },
          .close = [of] { of->from->stream->close(); }};
}
waitable copy_of_sockets_that_sends(cosock::loop& on) {
  const auto of = std::make_shared<sockets>(on);
  send_much(*of->from);
  ::shutdown(of->from->peer.get(), SHUT_WR);
  test::fill_descriptor(of->to->fd, of->to->peer.get());
  return {.wait = [of] { return copy_once(*of->from->stream, *of->to->stream); },
          .provide = [of] { test::make_room(of->to->peer.get(), of->to->fd); },
          .fail = [of] { of->to->peer.close(); },
          .close = [of] { of->to->stream->close(); }};
}
waitable copy_of_sockets_in_both_directions(cosock::loop& on) {
  const auto of = std::make_shared<sockets>(on);
  send_much(*of->from);
  send_much(*of->to);
  return {.wait = [of] { return copy_both_once(*of->from->stream, *of->to->stream); },
          .provide =
              [of] {
                ::shutdown(of->from->peer.get(), SHUT_WR);
                ::shutdown(of->to->peer.get(), SHUT_WR);
              },
          .fail = [of] { test::reset_local(*of->from); },
          .close = [of] { of->from->stream->close(); }};
}

operation_kind row(const char* name, waitable (*make)(cosock::loop&), int error,
                   bool once = false) {
  return {.name = name,
          .make = make,
          .fails_with = test::system_code(error),
          .once = once,
          .except = {{way::destroy, "the streams outlive the call"}}};
}

const test::register_endings registered({
    row("copy_that_receives", copy_that_receives, ECONNRESET),
    row("copy_that_sends", copy_that_sends, EPIPE, true),
    row("copy_both", copy_in_both_directions, ECONNRESET),
    row("copy_of_sockets_that_receives", copy_of_sockets_that_receives, ECONNRESET),
    row("copy_of_sockets_that_sends", copy_of_sockets_that_sends, EPIPE),
    row("copy_both_of_sockets", copy_of_sockets_in_both_directions, ECONNRESET),
});

}  // namespace
