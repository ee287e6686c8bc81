// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// The endings of each function that suspends its task for another task or operation, or for a time.

#include <cosock/cancel.hpp>

#define BOOST_TEST_MODULE endings_tasks
#include "operation_endings.hpp"
#include "suspensions.hpp"

#include <memory>

namespace {

using test::kind;
using test::operation_kind;
using test::waitable;
using test::way;

operation_kind row_of(const kind& k, bool is_cancelled) {
  operation_kind row = {
      .name = k.name,
      .make =
          [k](cosock::loop&) {
            auto e = std::make_shared<cosock::event>();
            waitable made = {.wait = [k, e] { return k.wait(*e); }};
            if (k.completes) made.provide = [e] { e->set(); };
            return made;
          },
      .completes = test::completion::in_provide,
      .except = {{way::fail, "the failure is that of the operation inside"},
                 {way::close, "there is no object"},
                 {way::destroy, "there is no object"}},
  };
  if (!k.completes) row.except.push_back({way::provide, "only the time completes it"});
  if (!is_cancelled) row.except.push_back({way::cancel, "it protects from the cancellation"});
  return row;
}

std::vector<operation_kind> all_rows() {
  std::vector<operation_kind> rows;
  for (const kind& k : test::cancellable) rows.push_back(row_of(k, true));
  for (const kind& k : test::protecting) rows.push_back(row_of(k, false));
  return rows;
}

const test::register_endings registered(all_rows());

}  // namespace
