// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// The watch of a loop: measures each coroutine that the loop resumes. Made by watch_turns(), owned by the
// engine. It calls the observer of the program, which must outlive it.

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
  void resume(std::coroutine_handle<>) override;

 private:
  static constexpr std::size_t max_places = 8;
  /// The co_awaits at which a task waited before it was resumed.
  struct places {
    std::array<std::source_location, max_places> all;
    std::size_t count = 0;
    std::string text() const;
  };
  static const cancel_node* look(std::coroutine_handle<>, places&) noexcept;
  void watch_for_blocked() noexcept;
  void report(std::int64_t duration, bool ended, const places&, std::string_view name) noexcept;

  const engine& loop_;
  asio_reactor& clock_;
  const watch_options options_;
  std::uint64_t runs_ = 0;  // coroutines that were resumed

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
