// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// The endings of each operation that waits for another thread or for the system.

#include <cosock/mailbox.hpp>
#include <cosock/signal.hpp>

#define BOOST_TEST_MODULE endings_loop
#include "operation_endings.hpp"

#include <csignal>
#include <memory>

namespace {

using boost::system::system_error;
using cosock::error;
using cosock::mailbox;
using cosock::signal_set;
using cosock::task;
using test::completion;
using test::waitable;
using test::way;

struct box_state {
  std::unique_ptr<mailbox<int>> box = std::make_unique<mailbox<int>>(4);
  mailbox<int>::sender to = box->make_sender();
};
task<std::shared_ptr<box_state>> make_box() { co_return std::make_shared<box_state>(); }

template <bool by_sender>
waitable mailbox_receive(cosock::loop& on) {
  const auto of = on.run(make_box());
  // The end is an error here, so that it differs from a value.
  static const auto receive = [](mailbox<int>& from) -> task<> {
    const auto got = co_await from.receive();
    if (!got) throw system_error(make_error_code(error::end_of_stream));
    BOOST_TEST(*got == 1);
  };
  return {.wait = [of] { return receive(*of->box); },
          .provide = [of] { BOOST_TEST(of->to.try_send(1)); },
          .close = [of] { by_sender ? of->to.close() : of->box->close(); },
          .destroy = [of] { of->box.reset(); }};
}
task<std::unique_ptr<signal_set>> make_set() {
  co_return std::make_unique<signal_set>(std::initializer_list<int>{SIGUSR1});
}

waitable signal_wait(cosock::loop& on) {
  const auto set = std::make_shared<std::unique_ptr<signal_set>>(on.run(make_set()));
  static const auto wait = [](signal_set& from) -> task<> {
    BOOST_TEST(co_await from.wait() == SIGUSR1);
  };
  return {.wait = [set] { return wait(**set); },
          .provide = [] { ::raise(SIGUSR1); },
          .destroy = [set] { set->reset(); }};
}

const test::register_endings registered({
    {.name = "mailbox_receive",
     .make = mailbox_receive<false>,
     .completes = completion::in_loop,
     .closed_with = make_error_code(error::end_of_stream),
     .except = {{way::fail, "a mailbox cannot fail"}}},
    {.name = "mailbox_receive_that_a_sender_closes",
     .make = mailbox_receive<true>,
     .completes = completion::in_loop,
     .closed_with = make_error_code(error::end_of_stream),
     .except = {{way::fail, "a mailbox cannot fail"}}},
    {.name = "signal_wait",
     .make = signal_wait,
     .except = {{way::fail, "a set of signals cannot fail"}, {way::close, "there is no close()"}}},
});

}  // namespace
