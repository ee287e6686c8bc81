// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#include <cosock/run.hpp>

#include "detail/engine.hpp"
#include "detail/print.hpp"
#include "detail/system.hpp"

#include <boost/asio/signal_set.hpp>

#include <csignal>

namespace cosock {

namespace {

task<int> with_status(task<void> program) {
  co_await std::move(program);
  co_return 0;
}

/// Cancels the task at the first signal, and lets the second one do what it does by default.
class stopper {
 public:
  stopper(boost::asio::io_context& context, running<int>& program)
      : signals_(context, SIGINT, SIGTERM), program_(program) {
    signals_.async_wait([this](const boost::system::error_code& ec, int) {
      if (ec) return;
      stopped_ = true;
      program_.cancel();
      signals_.clear();
    });
  }
  bool stopped() const noexcept { return stopped_; }

 private:
  boost::asio::signal_set signals_;
  running<int>& program_;
  bool stopped_ = false;
};

}  // namespace

int run(task<int> program) {
  loop on;
  running<int> root = on.start(std::move(program));
  detail::engine& engine = detail::engine::of(on);
  stopper signals(engine.context_, root);
  engine.run_until(root);
  try {
    return root.result();
  } catch (...) {
    const std::exception_ptr e = std::current_exception();
    if (signals.stopped() && detail::is_cancelled(detail::failure_of(e))) return 0;
    detail::print_message(describe(e));
    return 1;
  }
}

int run(task<void> program) { return run(with_status(std::move(program))); }

int usage_error(std::string_view message) {
  detail::print_message(message);
  return 2;
}

}  // namespace cosock
