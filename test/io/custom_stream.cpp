// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#include <cosock/custom_stream.hpp>

#define BOOST_TEST_MODULE custom_stream
#include "memory_stream.hpp"
#include "support.hpp"

#include <cosock/channel.hpp>
#include <cosock/copy.hpp>
#include <cosock/finish.hpp>
#include <cosock/reader.hpp>
#include <cosock/serve.hpp>
#include <cosock/when.hpp>

#include <array>
#include <optional>
#include <stdexcept>
#include <vector>

// That it is a byte_stream in all respects is shown in io/stream.cpp, with memory_stream.

namespace {

namespace errc = boost::system::errc;
using boost::system::error_code;
using boost::system::system_error;
using cosock::byte_stream;
using cosock::const_buffer;
using cosock::custom_stream;
using cosock::error;
using cosock::mutable_buffer;
using cosock::task;
using cosock::yield;
using test::is;

/// A stream whose functions are the test's. Movable.
class stub_stream final : public custom_stream {
 public:
  using custom_stream::notify_readable;
  using custom_stream::notify_writable;
  struct script {
    std::function<std::size_t(std::span<const mutable_buffer>, error_code&)> receive;
    std::function<std::size_t(std::span<const const_buffer>, error_code&)> send;
    std::function<void(error_code&)> shutdown_send;
    std::function<bool(error_code&)> flush;
    int closed = 0;
    stub_stream* stream = nullptr;  // where it is now
  };

  explicit stub_stream(script& s) : script_(&s) { s.stream = this; }
  stub_stream(script& s, cosock::loop& loop) : custom_stream(loop), script_(&s) { s.stream = this; }
  stub_stream(stub_stream&& other) noexcept
      : custom_stream(std::move(other)), script_(other.script_) {
    script_->stream = this;
  }
  stub_stream& operator=(stub_stream&& other) noexcept {
    custom_stream::operator=(std::move(other));
    script_ = other.script_;
    script_->stream = this;
    return *this;
  }

 private:
  std::size_t do_receive(std::span<const mutable_buffer> into, error_code& code) noexcept override {
    return script_->receive(into, code);
  }
  std::size_t do_send(std::span<const const_buffer> from, error_code& code) noexcept override {
    return script_->send(from, code);
  }
  void do_shutdown_send(error_code& code) noexcept override {
    if (script_->shutdown_send) script_->shutdown_send(code);
  }
  bool do_flush(error_code& code) noexcept override {
    return !script_->flush || script_->flush(code);
  }
  void on_close() noexcept override { ++script_->closed; }

  script* script_;
};

std::size_t wait(error_code& code) {
  code = make_error_code(errc::operation_would_block);
  return 0;
}

/// Receives "a" when `ready` is true.
auto letter_when(const bool& ready) {
  return [&ready](std::span<const mutable_buffer> into, error_code& code) -> std::size_t {
    if (!ready) return wait(code);
    *static_cast<char*>(into[0].data()) = 'a';
    return 1;
  };
}

task<std::size_t> receive_one(byte_stream& s) {
  char c;
  co_return co_await s.receive(cosock::buffer(&c, 1));
}

}  // namespace

COROUTINE_TEST_CASE(a_receive_waits_for_the_notification_and_continues_outside_of_it) {
  stub_stream::script script;
  bool ready = false;
  script.receive = letter_when(ready);
  stub_stream stream(script);
  bool received = false;
  const auto receive = [&]() -> task<> {
    co_await receive_one(stream);
    received = true;
  };
  const auto notify = [&]() -> task<> {
    stream.notify_readable();  // spurious
    for (int i = 0; i != 10; ++i) co_await yield();
    BOOST_TEST(!received);
    ready = true;
    stream.notify_readable();
    BOOST_TEST(!received);
  };
  co_await cosock::when_all(receive(), notify());
  BOOST_TEST(received);
}

COROUTINE_TEST_CASE(a_notification_from_inside_a_call_is_not_lost) {
  stub_stream::script script;
  int calls = 0;
  script.receive = [&](std::span<const mutable_buffer>, error_code& code) -> std::size_t {
    if (++calls == 3) return 0;
    script.stream->notify_readable();
    return wait(code);
  };
  script.send = [&](std::span<const const_buffer> from, error_code& code) -> std::size_t {
    if (++calls == 6) return from[0].size();
    script.stream->notify_writable();
    return wait(code);
  };
  stub_stream stream(script);
  BOOST_TEST(co_await receive_one(stream) == 0u);
  BOOST_TEST(calls == 3);
  BOOST_TEST(co_await stream.send("ab") == 2u);
  BOOST_TEST(calls == 6);
}

COROUTINE_TEST_CASE(a_stream_that_moves_while_operations_wait_keeps_them) {
  stub_stream::script script;
  bool ready = false;
  script.receive = letter_when(ready);
  std::optional<stub_stream> first(std::in_place, script);
  std::optional<stub_stream> second;
  const auto move = [&]() -> task<> {
    co_await yield();
    second.emplace(std::move(*first));
    BOOST_TEST(!first->is_open());
    first.reset();
    stub_stream::script other;
    stub_stream third(other);
    third = std::move(*second);
    BOOST_TEST(other.closed == 1);
    BOOST_TEST(third.is_open());
    second.emplace(std::move(third));
    ready = true;
    second->notify_readable();
  };
  const auto received = co_await cosock::when_all(receive_one(*first), move());
  BOOST_TEST(std::get<0>(received) == 1u);
  BOOST_TEST(script.closed == 0);
}

COROUTINE_TEST_CASE(a_call_may_close_the_stream) {
  for (const bool waits : {false, true}) {
    stub_stream::script script;
    bool ready = !waits;
    script.receive = [&](std::span<const mutable_buffer>, error_code& code) -> std::size_t {
      if (!ready) return wait(code);
      script.stream->close();
      return 1;
    };
    script.send = [](std::span<const const_buffer>, error_code& code) { return wait(code); };
    stub_stream stream(script);
    const auto receive = [&]() -> task<> {
      BOOST_CHECK_EXCEPTION(co_await receive_one(stream), system_error, is(error::closed));
    };
    const auto send = [&]() -> task<> {
      BOOST_CHECK_EXCEPTION(co_await stream.send("a"), system_error, is(error::closed));
    };
    const auto wake = [&]() -> task<> {
      co_await yield();
      ready = true;
      stream.notify_readable();
    };
    co_await cosock::when_all(send(), receive(), wake());
    BOOST_TEST(script.closed == 1);
    BOOST_TEST(!stream.is_open());
    stream.close();
    stream.notify_readable();
    stream.notify_writable();
    BOOST_TEST(script.closed == 1);
    BOOST_CHECK_EXCEPTION(stream.shutdown_send(), system_error, is(error::closed));
  }
}

COROUTINE_TEST_CASE(errors_of_the_functions_arrive_with_the_bytes_before_them) {
  stub_stream::script script;
  int calls = 0;
  script.send = [&](std::span<const const_buffer>, error_code& code) -> std::size_t {
    if (++calls < 3) return 2;
    code = make_error_code(errc::connection_reset);
    return 0;
  };
  script.receive = [&](std::span<const mutable_buffer>, error_code& code) -> std::size_t {
    code = make_error_code(error::host_not_found);  // any code
    return 0;
  };
  stub_stream stream(script);
  const auto is_after_four = [](const cosock::transfer_error& e) {
    return e.code() == errc::connection_reset && e.bytes_transferred() == 4;
  };
  BOOST_CHECK_EXCEPTION(co_await stream.send("123456"), cosock::transfer_error, is_after_four);
  BOOST_CHECK_EXCEPTION(co_await receive_one(stream), system_error, is(error::host_not_found));
}

COROUTINE_TEST_CASE(a_count_that_cannot_be_true_is_an_error) {
  stub_stream::script script;
  std::size_t count = 0;
  script.receive = [&](std::span<const mutable_buffer>, error_code&) { return count; };
  script.send = [&](std::span<const const_buffer>, error_code&) { return count; };
  stub_stream stream(script);
  BOOST_CHECK_EXCEPTION(co_await stream.send("ab"), system_error, is(errc::io_error));
  count = 3;
  BOOST_CHECK_EXCEPTION(co_await stream.send("ab"), system_error, is(errc::io_error));
  BOOST_CHECK_EXCEPTION(co_await receive_one(stream), system_error, is(errc::io_error));
}

COROUTINE_TEST_CASE(many_buffers_arrive_in_order) {
  std::string expected;
  std::vector<std::string> pieces;
  for (int i = 0; i != 200; ++i) pieces.push_back(std::to_string(i));
  std::vector<const_buffer> buffers(pieces.begin(), pieces.end());
  for (const std::string& piece : pieces) expected += piece;

  stub_stream::script script;
  std::string sent;
  script.send = [&](std::span<const const_buffer> from, error_code&) {
    std::size_t all = 0;
    for (const const_buffer& b : from) {
      sent.append(static_cast<const char*>(b.data()), b.size());
      all += b.size();
    }
    return all;
  };
  stub_stream stream(script);
  BOOST_TEST(co_await stream.send(buffers) == expected.size());
  BOOST_TEST(sent == expected);
}

COROUTINE_TEST_CASE(half_close_is_told_once_and_its_error_is_thrown) {
  stub_stream::script script;
  int told = 0;
  script.shutdown_send = [&](error_code& code) {
    if (++told == 1) code = make_error_code(errc::operation_not_supported);
  };
  script.send = [](std::span<const const_buffer> from, error_code&) { return from[0].size(); };
  stub_stream stream(script);
  BOOST_CHECK_EXCEPTION(stream.shutdown_send(), system_error, is(errc::operation_not_supported));
  co_await stream.send("still open");
  stream.shutdown_send();
  stream.shutdown_send();
  BOOST_TEST(told == 2);
  BOOST_CHECK_EXCEPTION(co_await stream.send("a"), system_error, is(errc::broken_pipe));
}

COROUTINE_TEST_CASE(finish_waits_until_the_buffer_is_flushed) {
  stub_stream::script script;
  std::vector<std::string> events;
  bool flushed = false;
  script.flush = [&](error_code&) {
    events.push_back(flushed ? "flushed" : "not flushed");
    return flushed;
  };
  script.shutdown_send = [&](error_code&) { events.push_back("shutdown"); };
  script.receive = [](std::span<const mutable_buffer>, error_code&) { return std::size_t{0}; };
  stub_stream stream(script);
  const auto flush = [&]() -> task<> {
    co_await yield();
    BOOST_TEST(events == std::vector<std::string>{"not flushed"}, boost::test_tools::per_element());
    flushed = true;
    stream.notify_writable();
  };
  const auto results = co_await cosock::when_all(stream.finish(), flush());
  BOOST_TEST(std::get<0>(results));
  BOOST_TEST(events.at(2) == "shutdown");
  BOOST_TEST(script.closed == 1);
}

COROUTINE_TEST_CASE(finish_reports_bytes_that_cannot_be_flushed) {
  for (const bool input_has_ended : {false, true}) {
    stub_stream::script script;
    script.receive = [](std::span<const mutable_buffer>, error_code&) { return std::size_t{0}; };
    script.flush = [](error_code& code) {
      code = make_error_code(errc::connection_reset);
      return true;
    };
    stub_stream stream(script);
    if (input_has_ended) BOOST_TEST(co_await receive_one(stream) == 0u);
    BOOST_CHECK_EXCEPTION(co_await stream.finish(), system_error, is(errc::connection_reset));
    BOOST_TEST(script.closed == 1);
  }
}

COROUTINE_TEST_CASE(a_reader_and_a_copy_work_on_it) {
  auto [near, far] = co_await test::make_memory_pair(5);
  auto [there, end] = co_await test::make_memory_pair(3);
  const auto write = [](byte_stream& to) -> task<> {
    co_await to.send("first line\nsecond line\n");
    to.shutdown_send();
  };
  const auto read = [](byte_stream& from) -> task<> {
    cosock::buffered_reader lines(from);
    BOOST_TEST((co_await lines.read_line() == "first line"));
    BOOST_TEST((co_await lines.read_line() == "second line"));
    BOOST_TEST(!co_await lines.read_line());
  };
  const auto forward = [](byte_stream& from, byte_stream& to) -> task<> {
    co_await cosock::copy(from, to);
    to.shutdown_send();
  };
  co_await cosock::when_all(write(*near), forward(*far, *there), read(*end));
}

BOOST_AUTO_TEST_CASE(the_end_of_the_loop_closes_it) {
  const test::alarm_clock guard;
  stub_stream::script script;
  std::optional<stub_stream> stream;
  {
    cosock::loop loop;
    stream.emplace(script, loop);
    BOOST_TEST(stream->is_open());
    script.receive = [](std::span<const mutable_buffer>, error_code& code) { return wait(code); };
    auto task = loop.start(receive_one(*stream));
    loop.poll();
  }
  BOOST_TEST(!stream->is_open());
  BOOST_TEST(script.closed == 1);
  stream->notify_readable();
  stream->close();
  stream.reset();
  BOOST_TEST(script.closed == 1);
}

BOOST_AUTO_TEST_CASE(a_stream_destroyed_while_an_operation_waits_ends_it) {
  const test::alarm_clock guard;
  cosock::loop loop;
  stub_stream::script script;
  script.receive = [](std::span<const mutable_buffer>, error_code& code) { return wait(code); };
  std::optional<stub_stream> stream(std::in_place, script, loop);
  auto task = loop.start(receive_one(*stream));
  loop.poll();
  stream.reset();
  loop.poll();
  BOOST_REQUIRE(task.done());
  BOOST_CHECK_EXCEPTION(task.result(), system_error, is(error::closed));
  BOOST_TEST(script.closed == 0);
}

BOOST_AUTO_TEST_CASE(without_a_loop_it_throws) {
  stub_stream::script script;
  BOOST_CHECK_THROW(stub_stream{script}, std::logic_error);
}

/// An acceptor, and connections, that are no sockets.
COROUTINE_TEST_CASE(serve_takes_an_acceptor_and_streams_of_the_program) {
  struct queue_acceptor {
    task<stub_stream> accept() {
      auto next = co_await connections.receive();
      if (!next) throw system_error(make_error_code(error::closed));
      co_return std::move(*next);
    }
    void close() noexcept { connections.close(); }
    cosock::channel<stub_stream> connections{1};
  };
  stub_stream::script script;
  std::string sent;
  bool asked = false;
  script.receive = [&](std::span<const mutable_buffer> into, error_code&) -> std::size_t {
    if (std::exchange(asked, true)) return 0;
    std::memcpy(into[0].data(), "hello", 5);
    return 5;
  };
  script.send = [&](std::span<const const_buffer> from, error_code&) {
    sent.append(static_cast<const char*>(from[0].data()), from[0].size());
    return from[0].size();
  };
  queue_acceptor acceptor;
  cosock::server_handle handle;
  const auto echo = [&](byte_stream& peer) -> task<> {
    std::array<char, 64> memory;
    const std::size_t n = co_await peer.receive(memory);
    co_await peer.send(cosock::buffer(memory, n));
    handle.stop();
  };
  co_await acceptor.connections.send(stub_stream(script));
  co_await cosock::serve(acceptor, echo, handle);
  BOOST_TEST(sent == "hello");
  BOOST_TEST(script.closed == 1);  // by finish(), which has received the end
  BOOST_TEST(handle.counters().accepted == 1u);
  BOOST_TEST(handle.counters().bytes_in == 5u);
  BOOST_TEST(handle.counters().bytes_out == 5u);
}
