// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// One way to wait for a gate with each function that may suspend.

#include <cosock/cancel.hpp>
#include <cosock/nursery.hpp>
#include <cosock/when.hpp>

#include "core_fixture.hpp"
#include "manual_event.hpp"

#include <functional>
#include <utility>
#include <vector>

namespace test {

using cosock::as_result;
using cosock::cancel_scope;
using cosock::nursery;
using cosock::shielded;
using cosock::task;
using cosock::with_deadline;
using cosock::with_grace;
using cosock::with_nursery;
using cosock::with_timeout;
using clock = std::chrono::steady_clock;

/// One way to wait for a gate with each function that may suspend.
struct kind {
  const char* name;
  task<> (*wait)(gate&);
  bool completes = true;  // once the gate is open
};

inline task<> in_sleep_for(gate&) {
  const counted local;
  co_await cosock::sleep_for(1h);
}
inline task<> in_sleep_until(gate&) {
  const counted local;
  co_await cosock::sleep_until(clock::now() + 1h);
}
inline task<> in_task(gate& g) {
  const counted local;
  co_await g.wait();
}
inline task<> in_timeout_of_task(gate& g) {
  const counted local;
  co_await with_timeout(1h, g.wait());
}
inline task<> in_timeout_of_operation(gate&) {
  const counted local;
  co_await with_timeout(1h, forever());
}
inline task<> in_deadline_of_task(gate& g) {
  const counted local;
  co_await with_deadline(clock::now() + 1h, g.wait());
}
inline task<> in_deadline_of_operation(gate&) {
  const counted local;
  co_await with_deadline(clock::now() + 1h, forever());
}
inline task<> in_scope(gate& g) {
  const counted local;
  cancel_scope scope;
  co_await scope.run(g.wait());
}
inline task<> in_scope_with_deadline(gate& g) {
  const counted local;
  cancel_scope scope;
  scope.set_deadline(clock::now() + 1h);
  co_await scope.run(g.wait());
}
inline task<> in_body(gate& g) {
  const counted local;
  co_await with_nursery([&](nursery&) { return g.wait(); });
}
inline task<> in_child(gate& g) {
  const counted local;
  co_await with_nursery([&](nursery& n) -> task<> {
    n.start([](gate& g) { return g.wait(); }, std::ref(g));
    co_return;
  });
}
inline task<> in_all(gate& g) {
  const counted local;
  co_await cosock::when_all(give(1), g.wait());
}
inline task<> in_all_of_vector(gate& g) {
  const counted local;
  std::vector<task<>> all;
  all.push_back(g.wait());
  co_await cosock::when_all(std::move(all));
}
inline task<> in_any(gate& g) {
  const counted local;
  co_await cosock::when_any(wait_for_ever(), g.wait(), forever());
}
inline task<> in_any_of_vector(gate& g) {
  const counted local;
  std::vector<task<>> any;
  any.push_back(wait_for_ever());
  any.push_back(g.wait());
  co_await cosock::when_any(std::move(any));
}
inline task<> in_result_of_task(gate& g) {
  const counted local;
  (co_await as_result(g.wait())).value();
}
inline task<> in_result_of_operation(gate&) {
  const counted local;
  (co_await as_result(forever())).value();
}
inline task<> in_no_grace(gate& g) {
  const counted local;
  co_await with_grace(0s, g.wait());
}
inline task<> in_everything(gate& g) {
  const counted local;
  co_await with_timeout(
      1h, with_nursery([&](nursery& n) -> task<> {
        cancel_scope scope;
        n.start(in_any, std::ref(g));
        (co_await as_result(scope.run(cosock::when_all(cosock::yield(), give_later(1))))).value();
      }));
}

inline task<> in_shield(gate& g) {
  const counted local;
  co_await shielded(g.wait());
}
inline task<> in_grace(gate& g) {
  const counted local;
  co_await with_grace(1h, g.wait());
}
inline task<> in_shielded_timeout(gate& g) {
  const counted local;
  co_await shielded(with_timeout(1h, g.wait()));
}

inline const std::vector<kind> cancellable = {
    {"task", in_task},
    {"sleep_for", in_sleep_for, false},
    {"sleep_until", in_sleep_until, false},
    {"with_timeout of a task", in_timeout_of_task},
    {"with_timeout of an operation", in_timeout_of_operation, false},
    {"with_deadline of a task", in_deadline_of_task},
    {"with_deadline of an operation", in_deadline_of_operation, false},
    {"cancel_scope::run", in_scope},
    {"cancel_scope::run with a deadline", in_scope_with_deadline},
    {"with_nursery, its body", in_body},
    {"with_nursery, its child", in_child},
    {"when_all", in_all},
    {"when_all of a vector", in_all_of_vector},
    {"when_any", in_any},
    {"when_any of a vector", in_any_of_vector},
    {"as_result of a task", in_result_of_task},
    {"as_result of an operation", in_result_of_operation, false},
    {"with_grace of nothing", in_no_grace},
    {"all of them", in_everything},
};

inline const std::vector<kind> protecting = {
    {"shielded", in_shield},
    {"with_grace", in_grace},
    {"shielded with_timeout", in_shielded_timeout},
};

inline std::vector<kind> all_kinds() {
  std::vector<kind> all = cancellable;
  all.insert(all.end(), protecting.begin(), protecting.end());
  return all;
}

}  // namespace test
