// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// The endings of each operation between tasks of one loop.

#include <cosock/broadcast.hpp>
#include <cosock/channel.hpp>
#include <cosock/sync.hpp>

#define BOOST_TEST_MODULE endings_sync
#include "operation_endings.hpp"

#include <memory>
#include <optional>
#include <vector>

namespace {

using boost::system::system_error;
using cosock::broadcast;
using cosock::channel;
using cosock::error;
using cosock::event;
using cosock::mutex;
using cosock::semaphore;
using cosock::task;
using test::completion;
using test::waitable;
using test::way;

/// Destroys it through the unique_ptr.
template <class T, class... A>
std::shared_ptr<std::unique_ptr<T>> make_object(A&&... arguments) {
  return std::make_shared<std::unique_ptr<T>>(std::make_unique<T>(std::forward<A>(arguments)...));
}

/// The end is an error here, so that it differs from a value.
void check_value(const std::optional<int>& got) {
  if (!got) throw system_error(make_error_code(error::end_of_stream));
  BOOST_TEST(*got == 1);
}

waitable event_wait(cosock::loop&) {
  const auto e = make_object<event>();
  static const auto wait = [](event& e) -> task<> { co_await e.wait(); };
  return {.wait = [e] { return wait(**e); },
          .provide = [e] { (*e)->set(); },
          .destroy = [e] { e->reset(); }};
}

waitable semaphore_acquire(cosock::loop&) {
  const auto s = make_object<semaphore>(0);
  static const auto take = [](semaphore& s) -> task<> {
    auto held = co_await s.acquire();
    held.forget();
  };
  return {.wait = [s] { return take(**s); },
          .provide = [s] { (*s)->release(); },
          .destroy = [s] { s->reset(); }};
}
waitable semaphore_acquire_of_two(cosock::loop&) {
  const auto s = make_object<semaphore>(1);
  static const auto take = [](semaphore& s) -> task<> {
    auto held = co_await s.acquire(2);
    held.forget();
    s.release();
  };
  return {.wait = [s] { return take(**s); },
          .provide = [s] { (*s)->release(); },
          .destroy = [s] { s->reset(); }};
}

waitable mutex_lock(cosock::loop&) {
  struct state {
    mutex m;
    mutex::guard held;
  };
  const auto s = std::make_shared<state>();
  s->held = s->m.try_lock();
  static const auto take = [](mutex& m) -> task<> { static_cast<void>(co_await m.lock()); };
  return {.wait = [s] { return take(s->m); }, .provide = [s] { s->held.release(); }};
}

using channel_object = std::shared_ptr<std::unique_ptr<channel<int>>>;
task<> send_to(channel_object c) {
  if (*c) co_await (*c)->send(1);
}
task<> receive_from(channel_object c) {
  if (*c) check_value(co_await (*c)->receive());
}

template <std::size_t capacity>
waitable channel_receive(cosock::loop&) {
  const channel_object c = make_object<channel<int>>(capacity);
  return {.wait = [c] { return receive_from(c); },
          .provide = [c] { BOOST_TEST((*c)->try_send(1)); },
          .close = [c] { (*c)->close(); },
          .destroy = [c] { c->reset(); }};
}
waitable channel_send(cosock::loop&) {
  const channel_object c = make_object<channel<int>>(1u);
  BOOST_TEST((*c)->try_send(1));
  return {.wait = [c] { return send_to(c); },
          .provide = [c] { check_value((*c)->try_receive()); },
          .close = [c] { (*c)->close(); },
          .destroy = [c] { c->reset(); }};
}

/// In a channel without room each operation waits for one of the other direction.
waitable rendezvous(cosock::loop& on, task<> (*wait)(channel_object),
                    task<> (*other)(channel_object)) {
  const channel_object c = make_object<channel<int>>(0u);
  const auto others = std::make_shared<std::vector<std::unique_ptr<cosock::task_handle<void>>>>();
  return {.wait = [c, wait] { return wait(c); },
          .provide =
              [&on, c, other, others] {
                others->emplace_back(new cosock::task_handle<void>(on.start(other(c))));
              },
          .close = [c] { (*c)->close(); },
          .destroy = [c] { c->reset(); }};
}
waitable rendezvous_receive(cosock::loop& on) { return rendezvous(on, receive_from, send_to); }
waitable rendezvous_send(cosock::loop& on) { return rendezvous(on, send_to, receive_from); }

struct broadcast_state {
  std::unique_ptr<broadcast<int>> b = std::make_unique<broadcast<int>>(4);
  std::unique_ptr<broadcast<int>::subscription> s =
      std::make_unique<broadcast<int>::subscription>(b->subscribe());
};
template <auto object>
waitable broadcast_receive(cosock::loop&) {
  const auto of = std::make_shared<broadcast_state>();
  static const auto receive = [](broadcast<int>::subscription& from) -> task<> {
    check_value(co_await from.receive());
  };
  return {.wait = [of] { return receive(*of->s); },
          .provide = [of] { BOOST_TEST(of->b->send(1)); },
          .close = [of] { of->b->close(); },
          .destroy = [of] { (*of.*object).reset(); }};
}

const auto the_end = make_error_code(error::end_of_stream);

const test::register_endings registered({
    {.name = "event_wait",
     .make = event_wait,
     .completes = completion::in_provide,
     .except = {{way::fail, "an event cannot fail"}, {way::close, "there is no close()"}}},
    {.name = "semaphore_acquire",
     .make = semaphore_acquire,
     .completes = completion::in_provide,
     .except = {{way::fail, "a semaphore cannot fail"}, {way::close, "there is no close()"}}},
    {.name = "semaphore_acquire_of_two",
     .make = semaphore_acquire_of_two,
     .completes = completion::in_provide,
     .except = {{way::fail, "a semaphore cannot fail"}, {way::close, "there is no close()"}}},
    {.name = "mutex_lock",
     .make = mutex_lock,
     .completes = completion::in_provide,
     .except = {{way::fail, "a mutex cannot fail"},
                {way::close, "there is no close()"},
                {way::destroy, "a mutex outlives its guard"}}},
    {.name = "channel_receive",
     .make = channel_receive<1>,
     .completes = completion::in_provide,
     .closed_with = the_end,
     .except = {{way::fail, "a channel cannot fail"}}},
    {.name = "channel_receive_with_room_for_two",
     .make = channel_receive<2>,
     .completes = completion::in_provide,
     .closed_with = the_end,
     .except = {{way::fail, "a channel cannot fail"}}},
    {.name = "channel_send",
     .make = channel_send,
     .completes = completion::in_provide,
     .except = {{way::fail, "a channel cannot fail"}}},
    {.name = "rendezvous_receive",
     .make = rendezvous_receive,
     .closed_with = the_end,
     .except = {{way::fail, "a channel cannot fail"}}},
    {.name = "rendezvous_send",
     .make = rendezvous_send,
     .except = {{way::fail, "a channel cannot fail"}}},
    {.name = "broadcast_receive",
     .make = broadcast_receive<&broadcast_state::b>,
     .completes = completion::in_provide,
     .closed_with = the_end,
     .except = {{way::fail, "a broadcast cannot fail"}}},
    {.name = "subscription_receive",
     .make = broadcast_receive<&broadcast_state::s>,
     .completes = completion::in_provide,
     .closed_with = the_end,
     .except = {{way::fail, "a broadcast cannot fail"}}},
});

}  // namespace
