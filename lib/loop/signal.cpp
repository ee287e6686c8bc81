// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// signal_set: waits for signals by way of Asio, on one loop. Dispositions of signals, and fork, are
// handled by caught_signals.

#include <cosock/signal.hpp>

#include "core/failure.hpp"
#include "loop/caught_signals.hpp"

#include <memory>

namespace cosock {

namespace detail {

/// The state of a signal_set. Shared with the handler in Asio, which may run after the set is
/// destroyed.
class signal_state final : public std::enable_shared_from_this<signal_state>, public loop_service {
 public:
  explicit signal_state(engine& loop) : loop_(loop) {
    signals_.emplace(loop);
    loop.add_service(*this);
  }
  ~signal_state() { close(); }

  void add(int number) { signals_->add(number); }

  void close() noexcept {
    if (!signals_) return;
    unlink();
    on_loop_shutdown();
    loop_.on_object_closed();
  }
  void on_loop_shutdown() noexcept override {
    waiters_.close_all();
    signals_.reset();
  }

  step start(signal_wait_operation& op, loop_state& loop) {
    if (!signals_ || &loop != &loop_) return op.fail_wrong_loop();
    if (unclaimed_ == 0) {
      arm();
      return op.wait_in(waiters_.end());
    }
    op.number_ = std::exchange(unclaimed_, 0);
    return op.complete_or_yield();
  }

 private:
  void arm() {
    if (armed_) return;
    armed_ = true;
    signals_->async_wait(
        [self = shared_from_this()](const boost::system::error_code& ec, int number) {
          self->armed_ = false;
          if (!ec) self->received(number);
        });
  }
  void received(int number) {
    // The task that asked for it was cancelled: the signal is kept for the next wait.
    if (waiters_.empty()) {
      unclaimed_ = number;
      return;
    }
    auto& to = static_cast<signal_wait_operation&>(waiters_.first());
    to.number_ = number;
    to.complete();
    if (!waiters_.empty()) arm();
  }

  engine& loop_;
  std::optional<caught_signals> signals_;  // empty: closed, or the loop is gone
  wait_list waiters_;
  int unclaimed_ = 0;   // a signal that no task has received; 0: none
  bool armed_ = false;  // an async_wait is pending
};

step signal_wait_operation::start(std::coroutine_handle<> awaiting, cancel_node& parent) {
  return enter(awaiting, parent) ? state_.start(*this, *parent.loop) : complete_or_yield();
}

}  // namespace detail

signal_set::signal_set(std::initializer_list<int> numbers)
    : state_(std::make_shared<detail::signal_state>(detail::engine::required())) {
  for (const int number : numbers) state_->add(number);
}

signal_set::~signal_set() { state_->close(); }

}  // namespace cosock
