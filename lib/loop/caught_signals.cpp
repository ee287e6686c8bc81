// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#include "loop/caught_signals.hpp"

#include "core/failure.hpp"
#include "core/standard_numbers.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <mutex>

namespace cosock::detail {

namespace {

/// What the signals of this process were before they were caught.
///
/// A child that is forked shares the pipe with its parent through which Asio's handler reports a
/// signal to the loops: it gets one of its own. Nobody may run its copies of the parent's loops, so
/// signals do there what they did before, until a loop goes on, or somebody catches them in the
/// child.
class dispositions {
 public:
  static dispositions& process() {
    static dispositions of_process;
    return of_process;
  }

  /// How often the process has been forked off: tells owners that were made before from others.
  int generation() noexcept {
    const std::lock_guard lock(mutex_);
    return generation_;
  }

  bool is_ignored(int number) noexcept {
    const std::lock_guard lock(mutex_);
    const signal_entry& entry = all_[number];
    return (entry.owners ? entry.before : current(number)).sa_handler == SIG_IGN;
  }

  boost::system::error_code add(boost::asio::signal_set& to, int number) {
    const std::lock_guard lock(mutex_);
    const struct sigaction before = current(number);
    boost::system::error_code ec;
    to.add(number, ec);
    if (ec) return ec;
    signal_entry& entry = all_[number];
    // Asio counts those of the parent, for which it has been caught already.
    if (entry.catching == 0 && entry.parent_catching != 0)
      ::sigaction(number, &entry.caught, nullptr);
    if (entry.owners++ == 0) {
      entry.before = before;
      entry.caught = current(number);
      entry.restores = before.sa_handler != entry.caught.sa_handler;  // or Asio has it already
    }
    ++entry.catching;
    return ec;
  }

  /// Leaves the default, unless others of Asio's sets catch it; or what the program has put there.
  void stop_catching(boost::asio::signal_set& from, int number, int generation) noexcept {
    const std::lock_guard lock(mutex_);
    const struct sigaction found = current(number);
    boost::system::error_code ec;
    from.remove(number, ec);
    signal_entry& entry = all_[number];
    const bool is_caught = found.sa_handler == entry.caught.sa_handler;
    if (!is_caught) ::sigaction(number, &found, nullptr);
    if (generation < oldest_) {
      --entry.parent_catching;
    } else if (--entry.catching == 0 && entry.parent_catching != 0 && is_caught) {
      struct sigaction by_default = {};
      by_default.sa_handler = SIG_DFL;
      ::sigaction(number, &by_default, nullptr);
    }
  }

  void restore(int number, int generation) noexcept {
    const std::lock_guard lock(mutex_);
    signal_entry& entry = all_[number];
    if (generation < oldest_)
      --entry.parent_owners;
    else if (--entry.owners == 0 && entry.restores && current(number).sa_handler == SIG_DFL)
      ::sigaction(number, &entry.before, nullptr);
  }

 private:
  struct signal_entry {
    int owners = 0;
    int catching = 0;       // of them, those that have not stopped
    int parent_owners = 0;  // in a child: those that its parent had
    int parent_catching = 0;
    bool restores = false;
    struct sigaction before = {};
    struct sigaction caught = {};
  };

  dispositions() {
    static constexpr engine::fork_handlers handlers = {
        []() noexcept { process().prepare_fork(); }, []() noexcept { process().end_fork(); },
        []() noexcept { process().begin_child(); }, []() noexcept { process().go_on(); }};
    engine::take_part_in_forks(handlers);
  }
  static struct sigaction current(int number) noexcept {
    struct sigaction now = {};
    ::sigaction(number, nullptr, &now);
    return now;
  }

  /// No signal comes before the child has its pipe; and no other thread, which the child will not
  /// have, holds a lock.
  void prepare_fork() noexcept {
    sigset_t all;
    sigset_t mask;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &mask);
    mutex_.lock();
    mask_ = mask;
    asio_signals::lock();
  }
  void end_fork() noexcept {
    const sigset_t mask = mask_;
    asio_signals::unlock();
    mutex_.unlock();
    pthread_sigmask(SIG_SETMASK, &mask, nullptr);
  }
  void begin_child() noexcept {
    asio_signals::replace_pipe();
    oldest_ = ++generation_;
    for (int number = 1; number != NSIG; ++number) {
      signal_entry& entry = all_[number];
      if (entry.catching != 0 && current(number).sa_handler == entry.caught.sa_handler)
        ::sigaction(number, &entry.before, nullptr);
      entry.parent_owners += std::exchange(entry.owners, 0);
      entry.parent_catching += std::exchange(entry.catching, 0);
    }
    end_fork();
  }
  /// Who was the parent's is now the child's.
  void go_on() noexcept {
    const std::lock_guard lock(mutex_);
    oldest_ = 0;
    for (int number = 1; number != NSIG; ++number) {
      signal_entry& entry = all_[number];
      if (entry.parent_catching != 0 && current(number).sa_handler == entry.before.sa_handler)
        ::sigaction(number, &entry.caught, nullptr);
      entry.owners += std::exchange(entry.parent_owners, 0);
      entry.catching += std::exchange(entry.parent_catching, 0);
    }
  }

  std::mutex mutex_;
  signal_entry all_[NSIG];
  int generation_ = 0;
  int oldest_ = 0;  // generation that owners have whose signals count here
  sigset_t mask_ = {};
};

}  // namespace

bool is_ignored(int number) noexcept { return dispositions::process().is_ignored(number); }

caught_signals::caught_signals(engine& loop) : caught_signals(loop, {}) {}
caught_signals::caught_signals(engine& loop, const standard_numbers_occupied&)
    : set_(loop.context()), generation_(dispositions::process().generation()) {}

caught_signals::~caught_signals() {
  leave_default();
  for (const int number : numbers_) dispositions::process().restore(number, generation_);
}

void caught_signals::add(int number) {
  if (std::find(numbers_.begin(), numbers_.end(), number) != numbers_.end()) return;
  numbers_.reserve(numbers_.size() + 1);
  if (const auto ec = dispositions::process().add(set_, number)) raise(to_failure(ec));
  numbers_.push_back(number);
}

void caught_signals::leave_default() noexcept {
  if (!std::exchange(catching_, false)) return;
  for (const int number : numbers_)
    dispositions::process().stop_catching(set_, number, generation_);
}

}  // namespace cosock::detail
