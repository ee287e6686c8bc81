// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// A simulated host with its loop and programs. Owned by testing::host. The machine, its kernel, belongs
// to the simulation and outlives the loop.

#include <cosock/loop.hpp>
#include <cosock/testing/network.hpp>

#include "loop/dump.hpp"
#include "loop/engine.hpp"
#include "testing/shuffled_tasks.hpp"
#include "testing/simulation.hpp"

#include <atomic>
#include <deque>
#include <exception>
#include <functional>
#include <memory>
#include <optional>

namespace cosock::testing::detail {

/// What the loop of a host waits in: virtual time and the events of simulated sockets.
class host_reactor final : public cosock::detail::reactor_layer {
 public:
  host_reactor(machine& host, std::atomic<bool>& any_woken) noexcept
      : host_(host), any_woken_(any_woken) {
    watches_.previous = watches_.following = &watches_;
  }

  void attach(cosock::detail::reactor& below, cosock::detail::engine& above) noexcept override;
  void add(cosock::detail::io_watch& w, int fd) override;
  void add_writable(cosock::detail::io_watch& w) noexcept override { host_.add_writable(w); }
  void remove(cosock::detail::io_watch& w) noexcept override;
  unsigned wait(std::int64_t deadline, bool may_wait) override;
  std::int64_t now() noexcept override { return host_.in.now; }
  std::int64_t age(std::uint64_t stamp) noexcept override {
    return now() - static_cast<std::int64_t>(stamp);
  }
  bool has_other_work() const noexcept override { return below_->has_other_work(); }
  std::uint64_t random_number() override { return host_.random_number(); }
  void wake() noexcept override;

 private:
  machine& host_;
  cosock::detail::reactor* below_ = nullptr;
  cosock::detail::engine* loop_ = nullptr;
  std::atomic<bool>& any_woken_;
  cosock::detail::link watches_;
  std::optional<shuffled_tasks> shuffled_;  // not for those that are first come, first served
};

class host_loop final : public loop {
 public:
  host_loop(cosock::detail::reactor_layer& below, machine& host) : loop(below) {
    cosock::detail::engine::get(*this).host = &host;
  }
};

/// A class of its own, because a task_handle is made in place.
struct started_program {
  started_program(loop& on, task<> work) : handle(on.start(std::move(work))) {}
  task_handle<void> handle;
};

class host_state {
 public:
  host_state(machine& kernel, std::atomic<bool>& any_woken);
  ~host_state();
  host_state(const host_state&) = delete;

  void add(std::function<task<>()> program);
  void crash();
  void stop();
  void restart();
  /// Runs what is ready; whether more is ready after that.
  bool poll();
  /// What its tasks wait for, a line each.
  std::string waits() const;
  bool has_ended() const noexcept { return running_ == 0; }

  machine& kernel;

 private:
  task<> run(std::function<task<>()> program);
  void start(const std::function<task<>()>& program);
  void end_loop() noexcept;
  void start_loop();

  std::atomic<bool>& any_woken_;
  std::vector<std::function<task<>()>> programs_;
  int running_ = 0;
  // In this order: the tasks are destroyed first.
  std::unique_ptr<host_reactor> reactor_;
  std::unique_ptr<host_loop> loop_;
  std::deque<started_program> tasks_;
};

}  // namespace cosock::testing::detail
