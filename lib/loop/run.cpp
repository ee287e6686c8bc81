// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// cosock::run(), for main(): a loop, the signals that stop it, and the exit status. It owns the
// loop.

#include <cosock/run.hpp>

#include "core/failure.hpp"
#include "core/print.hpp"
#include "loop/caught_signals.hpp"

#include <csignal>

namespace cosock {

namespace {

task<int> with_status(task<void> program) {
  co_await std::move(program);
  co_return 0;
}

/// Cancels the task at the first SIGINT or SIGTERM. The second one has its default effect, so that
/// a program that does not end can be ended. A signal that the process ignores stays ignored:
/// SIGINT of a background job, for example.
class stopper {
 public:
  stopper(detail::engine& loop, task_handle<int>& program) : signals_(loop), program_(program) {
    for (const int number : {SIGINT, SIGTERM})
      if (!detail::is_ignored(number)) signals_.add(number);
    signals_.async_wait([this](const boost::system::error_code& ec, int) {
      if (ec) return;
      stopped_ = true;
      program_.cancel();
      signals_.leave_default();
    });
  }
  bool stopped() const noexcept { return stopped_; }

 private:
  detail::caught_signals signals_;
  task_handle<int>& program_;
  bool stopped_ = false;
};

}  // namespace

int run(task<int> program) {
  cosock::loop loop;
  task_handle<int> root = loop.start(std::move(program));
  detail::engine& engine = detail::engine::get(loop);
  stopper signals(engine, root);
  engine.run_until(root);
  try {
    return root.result();
  } catch (...) {
    const std::exception_ptr e = std::current_exception();
    // Stopped as asked: not an error.
    if (signals.stopped() && detail::is_cancelled(detail::failure_of(e))) return 0;
    detail::print_error(e);
    return 1;
  }
}

int run(task<void> program) { return run(with_status(std::move(program))); }

int usage_error(std::string_view message) {
  detail::print_message(message);
  return 2;
}

}  // namespace cosock
