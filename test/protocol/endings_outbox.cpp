// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// The endings of each operation of an outbox, with and without a task that writes.

#include <cosock/outbox.hpp>

#define BOOST_TEST_MODULE endings_outbox
#include "loop_endings.hpp"
#include "operation_endings.hpp"
#include "scripted_stream.hpp"

#include <memory>
#include <vector>

namespace {

using cosock::outbox;
using cosock::task;
using test::completion;
using test::operation_kind;
using test::scripted_stream;
using test::waitable;
using test::way;

/// An outbox whose stream has no room. It has room for one message, and has that.
struct state {
  explicit state(std::unique_ptr<scripted_stream> s)
      : stream(std::move(s)),
        out(std::make_unique<outbox>(*stream, cosock::outbox_options{.max_messages = 1})) {
    stream->set_room(0);
  }
  void start_writer(cosock::loop& on) {
    static const auto run = [](state& of) -> task<> {
      if (of.out) co_await of.out->run();
    };
    writer.reset(new cosock::task_handle<void>(on.start(run(*this))));
  }
  std::unique_ptr<scripted_stream> stream;
  std::unique_ptr<outbox> out;
  std::unique_ptr<cosock::task_handle<void>> writer;
};
std::shared_ptr<state> make_state(cosock::loop& on) {
  return std::make_shared<state>(on.run(test::make_scripted_stream()));
}
/// One message is being written, and one is queued.
std::shared_ptr<state> make_writing(cosock::loop& on) {
  auto of = make_state(on);
  of->start_writer(on);
  test::run_until_idle(on);
  BOOST_TEST(of->out->try_send("first"));
  test::run_until_idle(on);
  BOOST_TEST(of->out->try_send("second"));
  return of;
}

task<> send(outbox& out) { co_await out.send("message"); }
task<> flush(outbox& out) { co_await out.flush(); }

/// A send ends with close(); a flush goes on, because the messages are still written.
template <bool sends>
waitable without_writer(cosock::loop& on) {
  const auto of = make_state(on);
  BOOST_TEST(of->out->try_send("first"));
  waitable made = {.wait = [of] { return sends ? send(*of->out) : flush(*of->out); },
                   .provide =
                       [of, &on] {
                         of->stream->set_room(100);
                         of->start_writer(on);
                       },
                   .destroy = [of] { of->out.reset(); }};
  if (sends) made.close = [of] { of->out->close(); };
  return made;
}
template <bool sends>
waitable with_writer(cosock::loop& on) {
  const auto of = make_writing(on);
  waitable made = {.wait = [of] { return sends ? send(*of->out) : flush(*of->out); },
                   .provide = [of] { of->stream->set_room(100); },
                   .fail = [of] { of->stream->fail_send(EPIPE); }};
  if (sends) made.close = [of] { of->out->close(); };
  return made;
}

waitable run(cosock::loop& on) {
  const auto of = make_state(on);
  static const auto run = [](outbox& out) -> task<> { co_await out.run(); };
  return {.wait = [of] { return run(*of->out); },
          .provide = [of] { of->out->close(); },
          .fail =
              [of] {
                of->stream->fail_send(EPIPE);
                BOOST_TEST(of->out->try_send("lost"));
              }};
}

const boost::system::error_code broken_pipe = test::system_code(EPIPE);
constexpr const char* no_writer = "nothing is written";
constexpr const char* while_running = "the outbox outlives run()";
constexpr const char* flush_goes_on = "a flush goes on, because queued messages are written";

const test::register_endings registered({
    {.name = "outbox_send", .make = without_writer<true>, .except = {{way::fail, no_writer}}},
    {.name = "outbox_send_while_writing",
     .make = with_writer<true>,
     .fails_with = broken_pipe,
     .except = {{way::destroy, while_running}}},
    {.name = "outbox_flush",
     .make = without_writer<false>,
     .except = {{way::fail, no_writer}, {way::close, flush_goes_on}}},
    {.name = "outbox_flush_while_writing",
     .make = with_writer<false>,
     .fails_with = broken_pipe,
     .except = {{way::close, flush_goes_on}, {way::destroy, while_running}}},
    {.name = "outbox_run",
     .make = run,
     .fails_with = broken_pipe,
     .once = true,
     .except = {{way::close, "it completes by that"}, {way::destroy, while_running}}},
});

}  // namespace
