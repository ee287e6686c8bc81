// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// Signals of the process for the loops that want them. For signal.cpp and run.cpp.

#include "loop/engine.hpp"

#include <cosock/detail/asio_build.hpp>

#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>

#include <vector>

namespace cosock::detail {

/// Whether the process ignores the signal. If an object catches it now: whether it was ignored
/// before.
bool is_ignored(int number) noexcept;

/// Catches signals for a loop, by way of Asio. The destructor restores their former dispositions;
/// Asio alone, which shares each signal among all its sets of the process, would leave SIG_DFL. It
/// must be destroyed before its loop.
///
/// A forked child catches no signal of its parent, until it runs a loop of the parent, or makes
/// objects of its own.
class caught_signals {
 public:
  explicit caught_signals(engine& loop);
  ~caught_signals();
  caught_signals(const caught_signals&) = delete;
  caught_signals& operator=(const caught_signals&) = delete;

  /// Catches this signal too. Throws system_error. Idempotent.
  void add(int number);
  /// Stops catching. The signals have their default effect, not their former one, until the object
  /// is destroyed; unless another object catches them.
  void leave_default() noexcept;
  template <class F>
  void async_wait(F handler) {
    set_.async_wait(std::move(handler));
  }

 private:
  /// The second argument is a temporary that occupies standard numbers: the first signal_set in the
  /// process makes a pipe.
  caught_signals(engine&, const class standard_numbers_occupied&);
  boost::asio::signal_set set_;
  std::vector<int> numbers_;
  int generation_;  // that of the process when this was made, see dispositions
  bool catching_ = true;
};

}  // namespace cosock::detail
