// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cosock/detail/described_scope.hpp>

#include <string>

namespace cosock {

class loop;

// Shows why a program hangs: the operation for which each task of a loop waits.

/// Returns a line for each task of the loop that runs on this thread: its name, if it was set by named();
/// the place of its co_await, and those of the tasks that await it, innermost first; the operation for
/// which it waits, and since when; the time until its limit expires; whether it was cancelled. Children are
/// indented below the task that waits for them. The format is for people, and may change.
///
///     server.cpp:31: waits for 2 tasks
///       server.cpp:40: accept() on tcp 0.0.0.0:7000, for 12.0 s
///       "Ada", chat.cpp:55 < server.cpp:18: receive() on tcp 127.0.0.1:7000 from 127.0.0.1:51234, for 4.1 s,
///       limit in 55.9 s
///
/// The places need no debug information. Throws std::logic_error if no loop runs on this thread;
/// std::bad_alloc.
[[nodiscard]] COSOCK_API std::string dump_tasks();
/// The same for this loop. Call it on the thread of the loop, or while no thread runs the loop. From
/// another thread: `loop.post([] { log(cosock::dump_tasks()); })`.
[[nodiscard]] COSOCK_API std::string dump_tasks(const loop&);

/// The same as JSON (RFC 8259): an object with a member `tasks`, an array with an object for each task.
/// Its members: `where`, an array of objects with `file`, `line` and `function`, innermost first; and, if
/// they apply, `name`; `waits_for`; `seconds`, the time since it began to wait; `limit_seconds`, the time
/// until its limit expires; `cancelled`; `tasks`, its children.
[[nodiscard]] COSOCK_API std::string dump_tasks_json();
[[nodiscard]] COSOCK_API std::string dump_tasks_json(const loop&);

namespace detail {

/// A scope with a name.
class COSOCK_API named_scope : public described_scope {
 public:
  void describe(wait_report& to) const override {
    to.name(name_.data(), name_.size());
    to.scope(inner_);
  }
  std::string&& description() && noexcept { return std::move(name_); }

 protected:
  explicit named_scope(std::string&& name) noexcept : name_(std::move(name)) {}
  ~named_scope() = default;

 private:
  std::string name_;
};

}  // namespace detail

/// Awaits `operation`, a task or an operation, under a name that dumps and reports of slow turns show.
/// Returns the result of `operation`, and has its errors and its cancellation. serve() names its handlers by
/// the peer.
template <class A>
auto named(std::string name, A&& operation) {
  return detail::described_awaiter<detail::operand_t<A>, detail::named_scope, std::string>(
      std::move(name), std::forward<A>(operation));
}

}  // namespace cosock
