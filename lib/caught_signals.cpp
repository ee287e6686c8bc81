// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#include "detail/caught_signals.hpp"

#include "detail/standard_numbers.hpp"
#include "detail/system.hpp"

#include <algorithm>
#include <csignal>
#include <mutex>

namespace cosock::detail {

namespace {

/// What the signals of this process were before they were caught.
class dispositions {
 public:
  static dispositions& process() {
    static dispositions of_process;
    return of_process;
  }

  bool is_ignored(int number) noexcept {
    const std::lock_guard lock(mutex_);
    const one& of = all_[number];
    return (of.owners ? of.before : current(number)).sa_handler == SIG_IGN;
  }

  boost::system::error_code add(asio::signal_set& to, int number) {
    const std::lock_guard lock(mutex_);
    const struct sigaction before = current(number);
    boost::system::error_code ec;
    to.add(number, ec);
    if (ec) return ec;
    one& of = all_[number];
    if (of.owners++ == 0) {
      of.before = before;
      of.caught = current(number);
      of.restores = before.sa_handler != of.caught.sa_handler;  // or Asio has it already
    }
    return ec;
  }

  /// Leaves the default, unless others of Asio's sets catch it; or what the program has put there.
  void stop_catching(asio::signal_set& from, int number) noexcept {
    const std::lock_guard lock(mutex_);
    const struct sigaction found = current(number);
    boost::system::error_code ec;
    from.remove(number, ec);
    if (found.sa_handler != all_[number].caught.sa_handler) ::sigaction(number, &found, nullptr);
  }

  void restore(int number) noexcept {
    const std::lock_guard lock(mutex_);
    one& of = all_[number];
    if (--of.owners == 0 && of.restores && current(number).sa_handler == SIG_DFL)
      ::sigaction(number, &of.before, nullptr);
  }

 private:
  struct one {
    int owners = 0;
    bool restores = false;
    struct sigaction before = {};
    struct sigaction caught = {};
  };
  static struct sigaction current(int number) noexcept {
    struct sigaction now = {};
    ::sigaction(number, nullptr, &now);
    return now;
  }
  std::mutex mutex_;
  one all_[NSIG];
};

}  // namespace

bool is_ignored(int number) noexcept { return dispositions::process().is_ignored(number); }

caught_signals::caught_signals(engine& on) : caught_signals(on, {}) {}
caught_signals::caught_signals(engine& on, const standard_numbers_occupied&)
    : set_(on.context_) {}

caught_signals::~caught_signals() {
  leave_default();
  for (const int number : numbers_) dispositions::process().restore(number);
}

void caught_signals::add(int number) {
  if (std::find(numbers_.begin(), numbers_.end(), number) != numbers_.end()) return;
  numbers_.reserve(numbers_.size() + 1);
  if (const auto ec = dispositions::process().add(set_, number)) raise(to_failure(ec));
  numbers_.push_back(number);
}

void caught_signals::leave_default() noexcept {
  if (!std::exchange(catching_, false)) return;
  for (const int number : numbers_) dispositions::process().stop_catching(set_, number);
}

}  // namespace cosock::detail
