// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// A scope that changes nothing about what it contains, and tells something about it in a dump of the
// tasks: named(), and the handlers of serve(). Part of the awaitable around the operand, which it owns.

#include <cosock/detail/core.hpp>

namespace cosock::detail {

/// The part that does not know the operand. A derived class tells what it knows in describe(), and then
/// what the scope waits for.
class described_scope : public cancellable {
 public:
  void cancel() noexcept override { inner_.cancel(); }

 protected:
  described_scope() noexcept {}
  ~described_scope() { leave(); }
  void enter(cancel_node& outer) noexcept {
    inner_.loop = outer.loop;
    inner_.cancelled = outer.cancelled;
    outer_ = &outer;
    outer.pending = this;
  }
  void leave() noexcept {
    if (!outer_) return;
    if (outer_->pending == this) outer_->pending = nullptr;
    outer_ = nullptr;
  }
  cancel_node inner_;

 private:
  cancel_node* outer_ = nullptr;
};

/// Awaits the operand in such a scope, which is made from what describes it.
template <class A, class Scope, class Description>
class COSOCK_AWAITABLE described_awaiter final
    : public awaiter_of<described_awaiter<A, Scope, Description>>,
      public Scope {
 public:
  template <class B>
  described_awaiter(Description description, B&& operation)
      : Scope(std::move(description)), operand_(operand(std::forward<B>(operation))) {}
  described_awaiter(described_awaiter&& other) noexcept
      : Scope(std::move(other).description()), operand_(std::move(other.operand_)) {}

  step start(std::coroutine_handle<> awaiting, cancel_node& outer) {
    this->enter(outer);
    return operand_.start(awaiting, this->inner_);
  }
  decltype(auto) result() {
    this->leave();
    return operand_.result();
  }
  failure fail() noexcept {
    this->leave();
    return operand_.fail();
  }
  bool has_details() const noexcept { return detail::has_details(operand_); }
  passed_limit limit() const noexcept { return limit_of(operand_); }

 private:
  A operand_;
};

}  // namespace cosock::detail
