// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// The endings of each call of a reader, and of the sending of frames.

#include <cosock/frame.hpp>
#include <cosock/reader.hpp>

#define BOOST_TEST_MODULE endings_reader
#include "loop_endings.hpp"
#include "operation_endings.hpp"
#include "scripted_stream.hpp"

#include <memory>
#include <string>
#include <vector>

namespace {

using cosock::buffered_reader;
using cosock::task;
using test::operation_kind;
using test::scripted_stream;
using test::waitable;
using test::way;

/// What is provided is a line, two bytes and a frame in one.
constexpr const char* data = "\1\n";

task<> read_line(buffered_reader& from) {
  const auto line = co_await from.read_line();
  BOOST_TEST(line.value() == "\1");
}
task<> skip_line(buffered_reader& from) { BOOST_TEST(co_await from.skip_line()); }
task<> read_until(buffered_reader& from) {
  const auto part = co_await from.read_until("\n");
  BOOST_TEST(part.value() == "\1");
}
task<> read_bytes(buffered_reader& from) {
  const auto bytes = co_await from.read_exactly(2);
  BOOST_TEST(bytes.value() == data);
}
task<> read_into_memory(buffered_reader& from) {
  char two[2];
  BOOST_TEST(co_await from.read_exactly(two));
  BOOST_TEST(std::string(two, 2) == data);
}
task<> read_frame(buffered_reader& from) {
  const auto frame = co_await from.read_frame({.prefix = cosock::frame_prefix::one_byte});
  BOOST_TEST(frame.value() == "\n");
}
task<> receive(buffered_reader& from) {
  char into[8];
  const std::size_t n = co_await from.receive(into);
  BOOST_TEST(std::string(into, n) == data);
}

struct read_state {
  explicit read_state(std::unique_ptr<scripted_stream> s)
      : stream(std::move(s)), reader(std::make_unique<buffered_reader>(*stream)) {}
  std::unique_ptr<scripted_stream> stream;
  std::unique_ptr<buffered_reader> reader;
};

operation_kind read_row(const char* name, task<> (*read)(buffered_reader&)) {
  return {.name = name,
          .make = [read](cosock::loop& on) -> waitable {
            const auto of = std::make_shared<read_state>(on.run(test::make_scripted_stream()));
            return {.wait = [of, read] { return read(*of->reader); },
                    .provide = [of] { of->stream->push(data); },
                    .fail = [of] { of->stream->fail_receive(ECONNRESET); },
                    .close = [of] { of->stream->close(); }};
          },
          .fails_with = test::system_code(ECONNRESET),
          .except = {{way::destroy, "the stream and the reader outlive the call"}}};
}

operation_kind frame_row() {
  static const auto send = [](scripted_stream& to) -> task<> {
    co_await cosock::send_frame(to, "payload");
  };
  return {.name = "send_frame",
          .make = [](cosock::loop& on) -> waitable {
            const auto s = std::make_shared<std::unique_ptr<scripted_stream>>(
                on.run(test::make_scripted_stream()));
            (*s)->set_room(0);
            return {.wait = [s] { return send(**s); },
                    .provide = [s] { (*s)->set_room(100); },
                    .fail = [s] { (*s)->fail_send(EPIPE); },
                    .close = [s] { (*s)->close(); },
                    .destroy = [s] { s->reset(); }};
          },
          .fails_with = test::system_code(EPIPE)};
}

const test::register_endings registered({
    read_row("read_line", read_line),
    read_row("skip_line", skip_line),
    read_row("read_until", read_until),
    read_row("read_exactly", read_bytes),
    read_row("read_exactly_into_memory", read_into_memory),
    read_row("read_frame", read_frame),
    read_row("reader_receive", receive),
    frame_row(),
});

}  // namespace
