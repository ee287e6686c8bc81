// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#include <cosock/signal.hpp>

#include "detail/engine.hpp"
#include "detail/system.hpp"

#include <boost/asio/signal_set.hpp>

#include <algorithm>
#include <csignal>
#include <vector>

namespace cosock {

namespace detail {

namespace {

/// What signals were before our sets: Asio, which shares each among all sets of the process, leaves
/// the default behind, also where a signal was ignored.
class dispositions {
 public:
  boost::system::error_code add(asio::signal_set& to, int number) {
    const std::lock_guard lock(mutex_);
    const struct sigaction before = current(number);
    boost::system::error_code ec;
    to.add(number, ec);
    if (ec) return ec;
    one& of = all_[number];
    if (of.sets++ == 0) {
      of.before = before;
      of.restores = before.sa_handler != current(number).sa_handler;  // or Asio has it already
    }
    return ec;
  }
  void remove(asio::signal_set& from, int number) noexcept {
    const std::lock_guard lock(mutex_);
    boost::system::error_code ec;
    from.remove(number, ec);
    one& of = all_[number];
    if (--of.sets == 0 && of.restores && current(number).sa_handler == SIG_DFL)
      ::sigaction(number, &of.before, nullptr);
  }

 private:
  struct one {
    int sets = 0;
    bool restores = false;
    struct sigaction before = {};
  };
  static struct sigaction current(int number) noexcept {
    struct sigaction now = {};
    ::sigaction(number, nullptr, &now);
    return now;
  }
  std::mutex mutex_;
  one all_[NSIG];
};

dispositions& process() {
  static dispositions of_process;
  return of_process;
}

}  // namespace

/// Shared with the handler in Asio, which may run after the set is gone.
class signal_state final : public std::enable_shared_from_this<signal_state>, public link {
 public:
  explicit signal_state(engine& on) : on_(on) {
    set_.emplace(on.context_);
    // After Asio's own service for signals, so that it is told of the end of the loop before that.
    insert_before(asio::use_service<service>(on.context_).states);
  }
  ~signal_state() { close(); }

  void add(int number) {
    if (std::find(numbers_.begin(), numbers_.end(), number) != numbers_.end()) return;
    numbers_.reserve(numbers_.size() + 1);
    if (const auto ec = process().add(*set_, number)) raise(to_failure(ec));
    numbers_.push_back(number);
  }

  void close() noexcept {
    unlink();
    waiters_.close_all();
    if (!set_) return;
    for (const int number : numbers_) process().remove(*set_, number);
    set_.reset();
  }

  bool start(signal_wait& op, core& loop) {
    if (!set_ || &loop != &on_) return op.fail_other_loop();
    if (unclaimed_ == 0) {
      arm();
      return op.wait_in(waiters_.end());
    }
    op.number_ = std::exchange(unclaimed_, 0);
    return op.complete_at_once();
  }

 private:
  struct service final : asio::execution_context::service {
    explicit service(asio::execution_context& of) : asio::execution_context::service(of) {
      make_circular(states);
    }
    void shutdown() override {
      while (states.following != &states) static_cast<signal_state*>(states.following)->close();
    }
    static inline asio::execution_context::id id;
    link states;
  };

  void arm() {
    if (armed_) return;
    armed_ = true;
    set_->async_wait([self = shared_from_this()](const boost::system::error_code& ec, int number) {
      self->armed_ = false;
      if (!ec) self->received(number);
    });
  }
  void received(int number) {
    if (waiters_.empty()) {
      unclaimed_ = number;
      return;
    }
    auto& to = static_cast<signal_wait&>(waiters_.first());
    to.number_ = number;
    to.complete();
    if (!waiters_.empty()) arm();
  }

  engine& on_;
  std::optional<asio::signal_set> set_;  // empty: closed, or the loop is gone
  std::vector<int> numbers_;
  wait_list waiters_;
  int unclaimed_ = 0;
  bool armed_ = false;
};

bool signal_wait::start(std::coroutine_handle<> awaiting, scope& where) {
  return enter(awaiting, where) && of_.start(*this, *where.on);
}

}  // namespace detail

signal_set::signal_set(std::initializer_list<int> numbers)
    : state_(std::make_shared<detail::signal_state>(detail::engine::required())) {
  for (const int number : numbers) state_->add(number);
}

signal_set::~signal_set() { state_->close(); }

}  // namespace cosock
