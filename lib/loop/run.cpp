// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// cosock::run(), for main(): a loop, the signals that stop it, and the exit status. It owns the
// loop.

#include <cosock/run.hpp>

#include "core/failure.hpp"
#include "core/print.hpp"
#include "loop/caught_signals.hpp"

#include <cosock/dump.hpp>
#include <cosock/run_options.hpp>
#include <cosock/watch.hpp>

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

/// Dumps the tasks at each signal.
class dumper {
 public:
  dumper(const loop& of, detail::engine& engine, int number) : loop_(of), signals_(engine) {
    signals_.add(number);
    wait();
  }

 private:
  void wait() {
    signals_.async_wait([this](const boost::system::error_code& ec, int) {
      if (ec) return;
      try {
        detail::print_line(dump_tasks(loop_));
      } catch (const std::bad_alloc&) {
        detail::print_message("there is no memory for a dump of the tasks");
      }
      wait();
    });
  }
  const loop& loop_;
  detail::caught_signals signals_;
};

}  // namespace

int run(task<int> program) { return run(std::move(program), run_options()); }
int run(task<void> program) { return run(std::move(program), run_options()); }

int run(task<int> program, const run_options& options) {
  cosock::loop loop;
  task_handle<int> root = loop.start(std::move(program));
  detail::engine& engine = detail::engine::get(loop);
  stopper signals(engine, root);
  std::optional<dumper> dumps;
  if (options.slow_turn) watch_turns(loop, {.slow_turn = *options.slow_turn});
  if (options.dump_on) dumps.emplace(loop, engine, *options.dump_on);
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

int run(task<void> program, const run_options& options) {
  return run(with_status(std::move(program)), options);
}

int usage_error(std::string_view message) {
  detail::print_message(message);
  return 2;
}

}  // namespace cosock
