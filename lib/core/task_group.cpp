// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// Children that run side by side: the common part of nursery, when_all, when_any, the root of a
// loop and spawn(). A group owns its children until they end; it does not own the coroutine that
// waits for them.

#include <cosock/detail/task_group.hpp>

#include "core/capture_check.hpp"
#include "core/failure.hpp"
#include "core/scheduler.hpp"

#include <cosock/when.hpp>

#include <stdexcept>

namespace cosock::detail {

struct error_list {
  std::vector<std::exception_ptr> all;
};

namespace {

child_coroutine::promise_type& promise_of(link& sibling) noexcept {
  return static_cast<child_coroutine::starting&>(
             static_cast<child_coroutine::sibling_link&>(sibling))
      .promise;
}

}  // namespace

task_group::task_group() noexcept { make_circular(children_); }

task_group::~task_group() {
  leave();
  delete more_errors_;
}

void task_group::leave() noexcept {
  // A child that called exit() is on the stack below: its frame is in use.
  if (children_.following != &children_ && scheduler::get(*loop_).is_left_by_exit()) return;
  if constexpr (checks_captures)  // the children end together, so they may refer to each other
    for (link* l = children_.following; l != &children_; l = l->following)
      child_gone(&promise_of(*l));
  while (children_.following != &children_) {
    auto& promise = promise_of(*children_.following);
    promise.start.sibling().unlink();
    std::coroutine_handle<child_coroutine::promise_type>::from_promise(promise).destroy();
    --active_;
    --scheduler::get(*loop_).tasks;
  }
  if (outer_ && outer_->pending == this) outer_->pending = nullptr;
}

void task_group::enter(std::coroutine_handle<> awaiting, cancel_node& outer) noexcept {
  awaiting_ = awaiting;
  outer_ = &outer;
  loop_ = outer.loop;
  cancelled_ = outer.cancelled;
  outer.pending = this;  // the body of a nursery may cancel the outer scope before it first waits
}

std::coroutine_handle<child_coroutine::promise_type> task_group::adopt(
    child_coroutine& started) noexcept {
  const auto handle = started.take();
  auto& promise = handle.promise();
  promise.owner = this;
  // A scope of its own, because the scope of the group can point to one pending operation only.
  promise.parent = &promise.own;
  promise.own.loop = loop_;
  promise.own.cancelled = cancelled_;
  promise.start.sibling().insert_before(children_);
  ++active_;
  ++scheduler::get(*loop_).tasks;
  if constexpr (checks_captures)
    if (promise.function) child_made(&promise, promise.function, promise.function_size);
  return handle;
}

void task_group::add(child_coroutine started) {
  scheduler::get(*loop_).schedule(adopt(started).promise().start);
}

void task_group::add_now(child_coroutine started) {
  const auto handle = adopt(started);
  if (loop_->depth >= max_depth) {
    scheduler::get(*loop_).schedule(handle.promise().start);
    return;
  }
  ++loop_->depth;
  handle.resume();
  --loop_->depth;
}

step task_group::wait() noexcept {
  // The children may have ended before this call.
  if (active_ == 0) {
    outer_->pending = nullptr;
    return step::done;
  }
  waiting_ = true;
  return step::pending;
}

void task_group::cancel() noexcept {
  cancelled_ = true;
  cancel_children();
}

void task_group::describe(wait_report& to) const {
  to.awaited_by(awaiting_.address());
  for (link* l = children_.following; l != &children_; l = l->following)
    to.child(promise_of(*l).own);
}

void task_group::cancel_children() noexcept {
  for (link* l = children_.following; l != &children_; l = l->following)
    promise_of(*l).own.cancel();
}

void task_group::keep_error(const std::exception_ptr& error) noexcept {
  if (!has_errors()) {
    first_error_ = error;
    return;
  }
  try {
    if (!more_errors_) more_errors_ = new error_list;
    more_errors_->all.push_back(error);
  } catch (const std::bad_alloc&) {
    // No memory for the others: the first error is reported alone.
  }
}

void task_group::on_child_done(
    std::coroutine_handle<child_coroutine::promise_type> child) noexcept {
  auto& promise = child.promise();
  bool stop = first_end_cancels_;
  // A child that ends with `cancelled` because it was cancelled has not failed.
  if (promise.error) {
    if (promise.own.cancelled && is_cancelled(failure_of(promise.error))) {
      child_cancelled_ = true;
    } else {
      keep_error(promise.error);
      stop = true;
    }
  }
  promise.start.sibling().unlink();
  if constexpr (checks_captures) child_gone(&promise);
  // Inside its own final_suspend, where the coroutine is suspended already: nothing of it runs
  // after.
  child.destroy();
  --active_;
  --scheduler::get(*loop_).tasks;
  if (stop && !cancelled_) {
    cancelled_ = true;
    cancel_children();
  }
  if (active_ == 0 && waiting_) {
    // on_all_done() comes last: it may destroy the group.
    waiting_ = false;
    outer_->pending = nullptr;
    loop_->next = awaiting_;
    on_all_done();
  }
}

void task_group::rethrow_errors() {
  if (errors_taken_) throw std::logic_error("cosock: the result was taken before");
  if (!first_error_) return;
  errors_taken_ = true;
  const std::exception_ptr first = std::exchange(first_error_, nullptr);
  if (!more_errors_) std::rethrow_exception(first);
  try {
    std::vector<std::exception_ptr> all = {first};
    all.insert(all.end(), more_errors_->all.begin(), more_errors_->all.end());
    throw multiple_errors(std::move(all));
  } catch (const std::bad_alloc&) {
    // No memory for the list: the first error is better than none.
    std::rethrow_exception(first);
  }
}

failure task_group::error_code() const noexcept {
  if (!first_error_) return {};
  const failure first = failure_of(first_error_);
  if (first || !more_errors_) return first;
  return to_failure(
      boost::system::errc::make_error_code(boost::system::errc::state_not_recoverable));
}

void raise_empty_when_any() {
  throw std::invalid_argument("cosock: when_any of nothing would wait for ever");
}

}  // namespace cosock::detail
