// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// The watch of a loop: measures each coroutine that the loop resumes. Made by watch_turns(), owned by the
// engine. It calls the observer of the program, which must outlive it.

#include <cosock/loop_counters.hpp>
#include <cosock/watch.hpp>

#include "core/scheduler.hpp"
#include "loop/asio_reactor.hpp"

#include <array>
#include <condition_variable>
#include <mutex>
#include <source_location>
#include <string>
#include <thread>

namespace cosock::detail {

class engine;

class loop_watch final : public turn_watch {
 public:
  loop_watch(const engine& loop, asio_reactor& clock, const watch_options& options);
  ~loop_watch();
  void begin() noexcept override;
  void resume(std::coroutine_handle<>, bool has_waited) override;
  void end(bool some_are_left) noexcept override;
  /// Ends the thread.
  void stop();
  /// In a forked child, which has no such thread. The object is not used any more, but may be on the stack.
  void leave_to_parent() noexcept { in_child_ = true; }
  /// Fills in what the watch counts.
  void count(loop_counters&) const noexcept;

 private:
  static constexpr std::size_t max_places = 8;
  /// The co_awaits at which a task waited before it was resumed.
  struct places {
    std::array<std::source_location, max_places> all;
    std::size_t count = 0;
    std::string text() const;
  };
  static const cancel_node* look(std::coroutine_handle<>, places&) noexcept;
  void measure_rate() noexcept;
  void watch_for_blocked() noexcept;
  void report(std::int64_t duration, bool ended, const places&, std::string_view name) noexcept;

  const engine& loop_;
  asio_reactor& clock_;
  const watch_options options_;
  std::uint64_t runs_ = 0;  // coroutines that were resumed

  // Times of the counter of the processor.
  const std::uint64_t first_;
  std::uint64_t measured_;  // when its rate was measured
  double ns_per_unit_ = 0;
  std::uint64_t look_;         // the last look for events
  std::uint64_t end_;          // when the last turn ended
  std::uint64_t ready_since_;  // what is fired now was not ready before
  bool in_child_ = false;
  bool some_are_left_ = false;  // the last turn has not fired all
  std::uint64_t longest_ = 0;
  std::array<std::uint64_t, loop_counters::delay_buckets> delays_ = {};
  std::uint64_t delay_sum_ = 0;  // ns

  // Shared with the thread.
  std::mutex mutex_;
  std::condition_variable stop_;
  bool stopping_ = false;
  std::uint64_t since_ = 0;  // when the present one was resumed; 0: none runs
  std::uint64_t present_ = 0;
  places where_;
  std::thread thread_;
};

}  // namespace cosock::detail
