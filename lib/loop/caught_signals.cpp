// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// The dispositions of signals, one record for the process: what they were before cosock caught
// them, who catches them, and what happens to them in a forked child.

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

/// The dispositions that the signals of this process had before they were caught.
///
/// Asio's handler reports a signal to the loops through a pipe. A forked child gets a pipe of its
/// own. It may never run its copies of the parent's loops, so its signals have their former
/// dispositions, until a loop goes on in the child, or until the child catches signals itself.
class dispositions {
 public:
  static dispositions& process() {
    static dispositions of_process;
    return of_process;
  }

  /// The number of forks between the first process and this one. It tells objects that the parent
  /// has made from those of this process.
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
    // In a child, Asio still counts the sets of the parent, so it believes that its handler is
    // installed.
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

  /// Leaves SIG_DFL, unless other sets of Asio catch the signal. Leaves a disposition that the
  /// program has set itself.
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
    int catching = 0;       // owners that have not stopped catching
    int parent_owners = 0;  // in a child: the owners of its parent
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

  /// Blocks all signals, so that none is reported before the child has its own pipe; and takes the
  /// locks, so that none is held by a thread that the child does not have.
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
  /// A loop goes on in the child: the owners of the parent now belong to the child.
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
  int oldest_ = 0;  // owners of an earlier generation belong to the parent
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
