// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

#include "loop/engine.hpp"

#include <cosock/detail/asio_build.hpp>

#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>

#include <vector>

namespace cosock::detail {

/// Whether the process ignores the signal, apart from objects that catch it now.
bool is_ignored(int number) noexcept;

/// Signals that are caught for a loop by way of Asio, until the object is destroyed; then they are
/// again what they were before. Asio, which shares each signal among all sets of the process, would
/// leave the default behind. Used by signal_set and run(). Outlives no loop.
///
/// A child process that was forked without exec catches nothing that its parent caught, until it runs
/// a loop of the parent's on, or makes objects of its own.
class caught_signals {
 public:
  explicit caught_signals(engine& loop);
  ~caught_signals();
  caught_signals(const caught_signals&) = delete;
  caught_signals& operator=(const caught_signals&) = delete;

  /// Catches this signal too. Throws what the system says. Idempotent.
  void add(int number);
  /// Catches nothing more. The signals do what they do by default, not what they did before, until
  /// the object is destroyed, or as long as another object catches them.
  void leave_default() noexcept;
  template <class F>
  void async_wait(F handler) {
    set_.async_wait(std::move(handler));
  }

 private:
  /// The first one in the process makes a pipe.
  caught_signals(engine&, const class standard_numbers_occupied&);
  boost::asio::signal_set set_;
  std::vector<int> numbers_;
  int generation_;  // of the process, see dispositions
  bool catching_ = true;
};

}  // namespace cosock::detail
