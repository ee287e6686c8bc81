// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// One way to wait for an event with each function that may suspend.

#include <cosock/cancel.hpp>
#include <cosock/finally.hpp>
#include <cosock/nursery.hpp>
#include <cosock/sync.hpp>
#include <cosock/when.hpp>

#include "core_fixture.hpp"
#include "manual_event.hpp"

#include <functional>
#include <utility>
#include <vector>

namespace test {

using cosock::as_result;
using cosock::cancel_scope;
using cosock::clock;
using cosock::event;
using cosock::nursery;
using cosock::shielded;
using cosock::task;
using cosock::with_deadline;
using cosock::with_grace;
using cosock::with_nursery;
using cosock::with_timeout;

/// One way to wait for an event with each function that may suspend.
struct kind {
  const char* name;
  task<> (*wait)(event&);
  bool completes = true;  // once the event is set
};

inline task<> wait_for(event& e) { co_await e.wait(); }

inline task<> in_sleep_for(event&) {
  const instance_counter local;
  co_await cosock::sleep_for(1h);
}
inline task<> in_sleep_until(event&) {
  const instance_counter local;
  co_await cosock::sleep_until(clock::now() + 1h);
}
inline task<> in_task(event& e) {
  const instance_counter local;
  co_await wait_for(e);
}
inline task<> in_timeout_of_task(event& e) {
  const instance_counter local;
  co_await with_timeout(1h, wait_for(e));
}
inline task<> in_timeout_of_operation(event& e) {
  const instance_counter local;
  co_await with_timeout(1h, e.wait());
}
inline task<> in_deadline_of_task(event& e) {
  const instance_counter local;
  co_await with_deadline(clock::now() + 1h, wait_for(e));
}
inline task<> in_deadline_of_operation(event& e) {
  const instance_counter local;
  co_await with_deadline(clock::now() + 1h, e.wait());
}
inline task<> in_scope(event& e) {
  const instance_counter local;
  cancel_scope scope;
  co_await scope.run(wait_for(e));
}
inline task<> in_scope_with_deadline(event& e) {
  const instance_counter local;
  cancel_scope scope;
  scope.set_deadline(clock::now() + 1h);
  co_await scope.run(wait_for(e));
}
inline task<> in_body(event& e) {
  const instance_counter local;
  co_await with_nursery([&](nursery&) { return wait_for(e); });
}
inline task<> in_child(event& e) {
  const instance_counter local;
  co_await with_nursery([&](nursery& n) -> task<> {
    n.start(wait_for, std::ref(e));
    co_return;
  });
}
inline task<> in_all(event& e) {
  const instance_counter local;
  co_await cosock::when_all(give(1), wait_for(e));
}
inline task<> in_all_of_vector(event& e) {
  const instance_counter local;
  std::vector<task<>> all;
  all.push_back(wait_for(e));
  co_await cosock::when_all(std::move(all));
}
inline task<> in_any(event& e) {
  const instance_counter local;
  co_await cosock::when_any(wait_for_ever(), wait_for(e), forever());
}
inline task<> in_any_of_vector(event& e) {
  const instance_counter local;
  std::vector<task<>> any;
  any.push_back(wait_for_ever());
  any.push_back(wait_for(e));
  co_await cosock::when_any(std::move(any));
}
inline task<> in_result_of_task(event& e) {
  const instance_counter local;
  (co_await as_result(wait_for(e))).value();
}
inline task<> in_result_of_operation(event& e) {
  const instance_counter local;
  (co_await as_result(e.wait())).value();
}
inline task<> in_no_grace(event& e) {
  const instance_counter local;
  co_await with_grace(0s, wait_for(e));
}
inline task<> in_finally(event& e) {
  const instance_counter local;
  co_await cosock::finally(wait_for(e), []() -> task<> { co_return; });
}
inline task<> in_everything(event& e) {
  const instance_counter local;
  co_await with_timeout(
      1h, with_nursery([&](nursery& n) -> task<> {
        cancel_scope scope;
        n.start(in_any, std::ref(e));
        (co_await as_result(scope.run(cosock::when_all(cosock::yield(), give_later(1))))).value();
      }));
}

inline task<> in_shield(event& e) {
  const instance_counter local;
  co_await shielded(wait_for(e));
}
inline task<> in_grace(event& e) {
  const instance_counter local;
  co_await with_grace(1h, wait_for(e));
}
inline task<> in_shielded_timeout(event& e) {
  const instance_counter local;
  co_await shielded(with_timeout(1h, wait_for(e)));
}

inline const std::vector<kind> cancellable = {
    {"task", in_task},
    {"sleep_for", in_sleep_for, false},
    {"sleep_until", in_sleep_until, false},
    {"with_timeout_of_a_task", in_timeout_of_task},
    {"with_timeout_of_an_operation", in_timeout_of_operation},
    {"with_deadline_of_a_task", in_deadline_of_task},
    {"with_deadline_of_an_operation", in_deadline_of_operation},
    {"cancel_scope_run", in_scope},
    {"cancel_scope_run_with_a_deadline", in_scope_with_deadline},
    {"body_of_with_nursery", in_body},
    {"child_of_with_nursery", in_child},
    {"when_all", in_all},
    {"when_all_of_a_vector", in_all_of_vector},
    {"when_any", in_any},
    {"when_any_of_a_vector", in_any_of_vector},
    {"as_result_of_a_task", in_result_of_task},
    {"as_result_of_an_operation", in_result_of_operation},
    {"with_no_grace", in_no_grace},
    {"finally", in_finally},
    {"all_together", in_everything},
};

inline const std::vector<kind> protecting = {
    {"shielded", in_shield},
    {"with_grace", in_grace},
    {"shielded_with_timeout", in_shielded_timeout},
};

}  // namespace test
