// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// thread_pool: a queue of jobs with bounds of its own. Its jobs share it, so they may outlive the pool.

#include <cosock/threads.hpp>

#include "core/failure.hpp"
#include "loop/thread_pool.hpp"

#include <memory>
#include <stdexcept>
#include <string>

namespace cosock {

namespace {

constexpr std::size_t most_threads = 1024;

std::size_t checked(std::size_t threads) {
  if (threads == 0 || threads > most_threads)
    throw std::invalid_argument("cosock: the number of threads of a thread_pool is " +
                                std::to_string(threads) + "; it is from 1 to " +
                                std::to_string(most_threads));
  return threads;
}

}  // namespace

void detail::raise_not_run(const failure& why) {
  if (why.value == ENOBUFS) raise_as(why, "as many calls wait for a thread as may wait");
  detail::raise(why, "no thread for a call");
}

thread_pool::thread_pool(std::size_t max_threads, thread_pool_options options)
    : queue_(std::make_shared<detail::job_queue>(detail::job_bounds{
          checked(max_threads), max_threads, options.max_queued, "cosock-pool"})) {}

thread_pool::~thread_pool() = default;

thread_pool_counters thread_pool::counters() const noexcept {
  const detail::job_queue::figures now = queue_->counters();
  return {.queued = now.queued,
          .running = now.running,
          .abandoned = now.abandoned,
          .queued_peak = now.queued_peak,
          .completed = now.completed,
          .refused = now.refused};
}

}  // namespace cosock
